"""The Docker engine, as far as the tests need it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

APPLICATION = Path(__file__).resolve().parents[2]
BASE = os.environ.get("WAYFARE_TEST_BASE", "slipway/base:dev")
IMAGE = "wayfare-test:dev"
BACKING = "wayfare-test-backing:dev"


def docker(*arguments: str, stdin: str | None = None) -> str:
    # Debian's own client knows BuildKit; a newer one first on PATH may lack its buildx plugin.
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    client = "/usr/bin/docker" if arguments[0] == "build" and Path("/usr/bin/docker").exists() else "docker"
    done = subprocess.run(
        [client, *arguments], input=stdin, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr}{done.stdout}")
    return done.stdout.strip()


def until(question: Callable[[], object], seconds: float, what: str) -> object:
    """The first true answer, or a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.1)  # between two looks
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")


def build() -> None:
    authorities = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    secret = ["--secret", f"id=ca_bundle,src={authorities}"] if Path(authorities).exists() else []
    docker("build", "-q", *secret, "--build-arg", f"BASE={BASE}", "-t", IMAGE, str(APPLICATION))
    docker(
        "build", "-q", "--build-arg", f"BASE={BASE}", "-t", BACKING, str(Path(__file__).parent / "backing")
    )
