"""What containers of one host have said: those of a component, or of every replica of a service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..errors import SlipwayError
from ..images.image_catalog import REGISTRY
from ..run import Run

# Where words are looked for and no time is given: whole logs may be 50 MB a container.
SEARCHED = "1h"
_SINCE = re.compile(r"\d+[smhd]|\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?")
_DAY = re.compile(r"(\d+)d")


def since_from(text: str, contains: str) -> str:
    """As the engine takes it, which knows no days; SlipwayError where it is neither a time nor an age."""
    if text and not _SINCE.fullmatch(text):
        raise SlipwayError(
            f"since is {text!r}, which is no time", "Write an age (90s, 15m, 3h, 2d) or 2026-11-27T15:00:00Z"
        )
    whole_days = _DAY.fullmatch(text)
    return f"{24 * int(whole_days[1])}h" if whole_days else text or (SEARCHED if contains else "")


def containers(run: Run, stack: str, component: str) -> dict[str, str]:
    """Container by name in the stack: the component itself, or each replica of a service. Ended ones, too."""
    project = f"{stack}-{REGISTRY}" if component == REGISTRY else stack
    form = '{{.Names}} {{.Label "com.docker.compose.service"}}'
    listing = ["docker", "ps", "--all", "--filter", f"label=com.docker.compose.project={project}"]
    told = _do(run, [*listing, "--format", form])[0]
    named = re.compile(rf"{re.escape(component)}(-(blue|green)-\d+)?")
    pairs = (line.split() for line in told.splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and named.fullmatch(pair[1])}


def read(run: Run, container: str, lines: int, since: str, contains: str) -> list[str]:
    """The last lines, each after its time; those that contain some words, where any are given."""
    words = ["docker", "logs", "--timestamps"]
    words += [f"--since={since}"] if since else []
    words += [] if contains else [f"--tail={lines}"]
    found = [line for text in _do(run, [*words, container]) for line in text.splitlines()]
    return newest((line for line in found if contains in line), lines)


def newest(told: Iterable[str], lines: int) -> list[str]:
    """In the order of their times, which all lines begin with."""
    return sorted(told)[-lines:] if lines > 0 else []


def _do(run: Run, argv: Sequence[str]) -> tuple[str, str]:
    code, out, err = run(list(argv))
    if code:
        raise SlipwayError(
            f"`{' '.join(argv[:2])}` failed: {err.strip()[-200:]}", "See that the engine runs: `docker ps`"
        )
    return out, err
