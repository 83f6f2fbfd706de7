"""Images of ours on this engine."""

from __future__ import annotations

import subprocess

import pytest


def newest(name: str) -> str:
    """The newest one of that name: what is tested is what is deployed."""
    command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"slipway/{name}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    tagged = [one for one in listed if not one.endswith(":<none>")]
    if not tagged:
        pytest.fail(f"no image slipway/{name} on this engine; build it: make up")
    return tagged[0]
