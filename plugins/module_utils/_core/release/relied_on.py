"""Whether what a release relies on is there: a PostgreSQL leader, a Redis master, this host's own routers.

The services that a release changes are not asked: it may be their cure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from itertools import repeat
from pathlib import Path
from typing import Any

from ..checks.health import OK, Probe
from ..checks.probes_data import patroni_view, redis
from ..errors import SlipwayError
from ..refusals import Refusals
from ..retry import Patience
from ..routing.router import Router, client_context
from ..routing.router_address import Address

# Seconds for which nobody must be found to lead: one answer that came too late holds no release.
CERTAIN = 6.0
_REMEDIES = {
    "postgres": ("PostgreSQL has no leader", "Bring one back first: docs/runbooks/postgres.md"),
    "redis": ("Redis has no master", "Bring one back first: docs/runbooks/redis.md"),
}


def look(
    root: Path,
    members: Mapping[str, Sequence[Mapping[str, Any]]],
    routers: Mapping[str, Mapping[str, Any]],
    refusals: Refusals,
) -> None:
    """members: by component the probes of all its members, of which one must lead."""
    if not (root / "config/host/tls/tls.key").exists():
        return  # a host without a certificate is new, and has nothing yet to ask with
    for component, declared in members.items():
        with refusals.of(component):
            _one_leads(component, [Probe.from_dict(probe) for probe in declared])
    for component, address in routers.items():
        with refusals.of(component):
            Router(Address.from_dict(address), client_context(root / "config/host/tls")).table()


def _one_leads(component: str, probes: Sequence[Probe]) -> None:
    if not probes:
        return
    leads = {"postgres": _patroni, "redis": _redis}[component]
    patience = Patience(CERTAIN, repeat(1.0))
    with ThreadPoolExecutor(len(probes)) as pool:
        while "" not in (answers := list(pool.map(lambda probe: _asked(probe, leads), probes))):
            if not patience.again():
                problem, remedy = _REMEDIES[component]
                raise SlipwayError(f"{problem} ({'; '.join(dict.fromkeys(answers))})", remedy)


def _asked(probe: Probe, leads: Callable[[Probe], str]) -> str:
    try:
        return leads(probe)
    except SlipwayError as error:
        return f"{probe.where}: {error.problem}"
    except (OSError, ValueError, EOFError, HTTPException) as error:
        return f"{probe.where}: {error or type(error).__name__}"


def _patroni(probe: Probe) -> str:
    """Nothing where the cluster has a leader that runs, as this member sees it; else what it says."""
    _name, cluster = patroni_view(probe)
    # One that leads a site which follows another streams itself.
    well = ("running", "streaming")
    running = [member for member in cluster.get("members", ()) if member.get("state") in well]
    if any(member.get("role") in ("leader", "standby_leader") for member in running):
        return ""
    return f"{probe.where}: no member leads"


def _redis(probe: Probe) -> str:
    finding = redis(replace(probe, expect={"role": "master"}))
    return "" if finding.status == OK else f"{probe.where}: {finding.detail}"
