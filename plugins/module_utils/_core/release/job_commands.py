"""Docker command lines for jobs, as values."""

from __future__ import annotations

from ..docker.commands import compose
from .jobs import PREFIX

LABEL, RELEASE = "io.slipway.job", "io.slipway.release"
_FOUND = "\t".join(("{{.ID}}", f'{{{{.Label "{LABEL}"}}}}', f'{{{{.Label "{RELEASE}"}}}}'))
_STATE = "\t".join(f"{{{{.State.{fact}}}}}" for fact in ("Status", "ExitCode", "OOMKilled", "StartedAt"))


def found(stack: str) -> list[str]:
    """Every container of a job of this stack, whatever its state."""
    project = ["--filter", f"label=com.docker.compose.project={stack}", "--filter", f"label={LABEL}"]
    return ["docker", "ps", "--all", "--no-trunc", *project, "--format", _FOUND]


def start(stack: str, file: str, job: str, release: str) -> list[str]:
    # The name is what keeps a job from running twice at once: the engine has each only once.
    own = ["--name", f"{stack}-job-{job}", "--label", f"{RELEASE}={release}"]
    return [*compose(stack, file), "run", "--detach", "--no-TTY", "--no-deps", *own, f"{PREFIX}{job}"]


def state(container: str) -> list[str]:
    return ["docker", "inspect", "--format", _STATE, container]
