"""What renewing replicas needs on a host: all routers, this host's replicas, a probe with patience."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import SlipwayError
from .health import FAIL, Probe
from .host_release import Traffic
from .probes import measure
from .rolling import RollingReplica
from .router import Address, Router, Routers, client_context
from .run import Run


def traffic(
    root: Path, addresses: Sequence[Mapping[str, Any]], replicas: Sequence[Mapping[str, Any]], run: Run
) -> Traffic:
    context = client_context(root / "config/host/tls")
    members = [Router(Address.from_dict(address), context) for address in addresses]
    own = [RollingReplica.from_dict(replica) for replica in replicas]
    return Traffic(
        Routers(members), {replica.name: replica for replica in own}, lambda it: wait_ready(it, run)
    )


def left_out(
    root: Path, addresses: Sequence[Mapping[str, Any]], replicas: Sequence[Mapping[str, Any]], run: Run
) -> set[str]:
    """This host's Compose services that a router was told to send nothing to; none before a release."""
    if not (root / "config/host/tls/tls.key").exists():
        return set()
    servers = traffic(root, addresses, replicas, run).routers.left_out()
    return {str(replica["name"]) for replica in replicas if replica["server"] in servers}


def wait_ready(replica: RollingReplica, run: Run) -> None:
    """Ask the replica itself until it says that it is ready, or its time is up."""
    (check,) = measure([Probe.from_dict(replica.probe)], run, wait=replica.start_timeout)
    if check.status == FAIL:
        raise SlipwayError(
            f"{replica.name} is not ready after {replica.start_timeout} s ({check.where}): {check.detail}",
            check.remedy or "Read its logs: `docker logs`",
        )
