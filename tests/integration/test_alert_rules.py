"""Every alert rule against invented series, by the promtool of the image that is deployed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from images import newest

CHECKOUT = Path(__file__).resolve().parents[2]


def test_each_rule_fires_when_it_should_and_only_then() -> None:
    command = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        f"--volume={CHECKOUT}:/work:ro",
        newest("prometheus"),
    ]
    rules = ["promtool", "test", "rules", "/work/tests/alerts/alerts.yml"]
    done = subprocess.run([*command, *rules], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
