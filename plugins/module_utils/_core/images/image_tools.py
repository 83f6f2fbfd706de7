"""What a machine needs to build images: an engine, a client with BuildKit, mmdebstrap for the base."""

from __future__ import annotations

import shutil
from collections.abc import Collection

from ..errors import SlipwayError
from ..run import Run

# Debian's client stands in /usr/bin; another one may come before it on PATH and lack BuildKit.
CLIENTS = ("docker", "/usr/bin/docker")
FIRST_WITHOUT_BUILDKIT = 23


def building_client(run: Run) -> str | None:
    """The first Docker client that can build with BuildKit; None when the package docker-buildx is needed."""
    for client in CLIENTS:
        if shutil.which(client) is None:
            continue
        code, out, _err = run([client, "version", "--format", "{{.Client.Version}}"])
        if code:
            raise SlipwayError(
                "no Docker engine answers on the machine that builds images",
                "Start it there (`systemctl start docker`), or set images_builder to a host that has one",
            )
        if int(out.split(".", 1)[0]) < FIRST_WITHOUT_BUILDKIT or run([client, "buildx", "version"])[0] == 0:
            return client
    if shutil.which("docker") is None:
        raise SlipwayError(
            "Docker is not installed on the machine that builds images",
            "Provision that host first, or set images_builder to a host that has an engine",
        )
    return None


def lacking_packages(run: Run, building: Collection[str]) -> list[str]:
    """Debian packages to install before these images can be built."""
    packages = []
    if "base" in building and shutil.which("mmdebstrap") is None:
        packages += ["mmdebstrap", "debian-archive-keyring"]
    if building and building_client(run) is None:
        packages.append("docker-buildx")
    return packages
