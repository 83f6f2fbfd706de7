"""Asks a host's probes, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from ..errors import SlipwayError
from ..retry import Patience, delays
from ..run import Run
from . import probes_data, probes_host, probes_network
from .health import FAIL, Check, Finding, Probe
from .probes_host import Containers

# A probe waits for an answer nearly all of its time; this bounds what a very long list starts at once.
WORKERS = 64
LONGEST_PAUSE = 5.0

Ask = Callable[[Probe], Finding]


def measure(probes: Sequence[Probe], run: Run, wait: float = 0) -> list[Check]:
    """One check per probe, in their order; with `wait`, failed ones are tried again for so many seconds."""
    asks = _asks(
        Containers(run, [str(item.target["container"]) for item in probes if item.kind == "container"])
    )
    if not probes:
        return []
    with ThreadPoolExecutor(min(len(probes), WORKERS)) as pool:
        return list(pool.map(lambda probe: _check(probe, asks[probe.kind], wait), probes))


def _asks(containers: Containers) -> Mapping[str, Ask]:
    return {
        "http": probes_network.http,
        "https": probes_network.http,
        "tcp": probes_network.tcp,
        "tls": probes_network.tls,
        "grpc": probes_network.grpc,
        "postgres": probes_data.postgres,
        "redis": probes_data.redis,
        "container": containers.look,
        "disk": probes_host.disk,
        "memory": probes_host.memory,
    }


def _check(probe: Probe, ask: Ask, wait: float) -> Check:
    begun = time.monotonic()
    tries = Patience(max(wait, probe.deadline), delays(probe.backoff, LONGEST_PAUSE))
    retries = probe.retries
    while True:
        asked = time.monotonic()
        finding = _answer(probe, ask)
        ended = time.monotonic()
        waiting = ended - begun < wait
        if finding.status != FAIL or (retries <= 0 and not waiting) or not tries.again():
            return Check.of(probe, finding, ended - asked)
        retries -= 1


def _answer(probe: Probe, ask: Ask) -> Finding:
    try:
        return ask(probe)
    except SlipwayError as error:
        return Finding(FAIL, error.problem, error.remedy)
    except (OSError, ValueError, EOFError, HTTPException) as error:
        return probes_network.no_answer(probe, error)
