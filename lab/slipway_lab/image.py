"""The image of a lab host: built when its recipe changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from .engine import Docker
from .report import LabError, step
from .shell import as_root

REPOSITORY = "slipway/lab-host"
FOLDER = Path(__file__).resolve().parents[1] / "image"
MIRRORS = ("SLIPWAY_DEBIAN_MIRROR", "SLIPWAY_DEBIAN_SECURITY_MIRROR")


def reference() -> str:
    """The image's name, with the digest of its recipe as tag."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        digest.update(path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def ensure(docker: Docker) -> str:
    """Build the image unless there is one of the same recipe."""
    image = reference()
    if docker.attempt("image", "inspect", image).returncode:
        with step(f"building {image} from Debian packages (about 30 s)"):
            _build(docker, image)
        for other in docker.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY):
            # Refused, rightly, where a lab still runs from it.
            if other != image:
                docker.attempt("image", "rm", other)
    return image


def remove(docker: Docker) -> None:
    images = docker.lines("image", "ls", "--quiet", REPOSITORY)
    if images:
        docker("image", "rm", "--force", *sorted(set(images)))


def _build(docker: Docker, image: str) -> None:
    mirrors = [f"{name}={os.environ[name]}" for name in MIRRORS if name in os.environ]
    build = as_root(["env", *mirrors, str(FOLDER / "build.sh")])
    made = subprocess.run(build, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    if made.returncode:
        lines = made.stderr.decode(errors="replace").strip().splitlines()
        reason = next((line for line in lines if line.startswith("E:")), lines[-1] if lines else "no message")
        raise LabError(
            f"The host image could not be built: {reason}",
            "Check that a Debian mirror answers, or name one in SLIPWAY_DEBIAN_MIRROR",
        )
    docker("import", "--change", 'CMD ["/sbin/init"]', "-", image, data=made.stdout)
