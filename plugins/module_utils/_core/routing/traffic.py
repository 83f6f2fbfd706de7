"""What renewing replicas needs on a host: all routers, this host's replicas, a probe with patience."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks.health import FAIL, Probe
from ..checks.probes import measure
from ..errors import SlipwayError
from ..run import Run
from ..tree import File, write_file
from . import edge, maintenance
from .edge import Edge
from .rolling import RollingReplica
from .router import Router, client_context
from .router_address import Address
from .router_state import Order, healthy_again
from .routers import Routers


@dataclass(frozen=True)
class Traffic:
    """What renewing replicas under load needs: all routers, this host's replicas, a patient probe."""

    routers: Routers
    replicas: Mapping[str, RollingReplica]
    wait_ready: Callable[[RollingReplica], None]
    # Around what a component notices: told its name, it sees to it that no client does.
    changing: Callable[[str], AbstractContextManager[None]]
    # Before a component starts that did not run: told its name, a router begins with what the others send.
    starting: Callable[[str], None]


def readmit(replica: RollingReplica, traffic: Traffic) -> None:
    traffic.wait_ready(replica)
    traffic.routers.admit(replica.server, replica.start_timeout)


def traffic(
    root: Path,
    addresses: Sequence[Mapping[str, Any]],
    replicas: Sequence[Mapping[str, Any]],
    run: Run,
    own_routers: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    forgiving: bool = False,
) -> Traffic:
    """What renewing replicas needs.

    own_routers: component -> runtime address of this host's routers, for what may make them start anew.
    forgiving: see `routers.Routers`.
    """
    context = client_context(root / "config/host/tls")
    members = [Router(Address.from_dict(address), context) for address in addresses]
    own = [RollingReplica.from_dict(replica) for replica in replicas]
    here = {replica.name: replica for replica in own}
    beside = {name: Router(Address.from_dict(told), context) for name, told in (own_routers or {}).items()}
    routers = Routers(members, forgiving=forgiving)

    def starting(component: str) -> None:
        if component in beside:
            learn_orders(root, component, beside[component].address, routers)

    @contextmanager
    def changing(component: str) -> Iterator[None]:
        try:
            if component in beside:
                keep_orders(root, component, beside[component])
        except SlipwayError:
            # One that does not answer keeps nothing; the change itself will say what is wrong with it.
            starting(component)
        with Edge(run, root.name, root).changing() if component == edge.COMPONENT else nullcontext():
            yield

    return Traffic(routers, here, lambda it: wait_ready(it, run), changing, starting)


def orders(
    root: Path, addresses: Sequence[Mapping[str, Any]], replicas: Sequence[Mapping[str, Any]], run: Run
) -> dict[str, Order]:
    """What routers were told of this host's replicas, by Compose name; nothing before the first release."""
    if not (root / "config/host/tls/tls.key").exists():
        return {}
    told = traffic(root, addresses, replicas, run).routers.orders()
    return {
        str(replica["name"]): told[replica["server"]] for replica in replicas if replica["server"] in told
    }


def wait_ready(replica: RollingReplica, run: Run) -> None:
    """Ask the replica itself until it says that it is ready, or its time is up."""
    (check,) = measure([Probe.from_dict(replica.probe)], run, wait=replica.start_timeout)
    if check.status == FAIL:
        raise SlipwayError(
            f"{replica.name} is not ready ({check.where}): {check.detail}",
            check.remedy or "Read its logs: `docker logs`",
        )


def keep_orders(root: Path, component: str, router: Router) -> None:
    """Store what a router's servers were told where it finds it when it starts again."""
    _keep(root, component, router.table())


def learn_orders(root: Path, component: str, own: Address, routers: Routers) -> None:
    """Store for a router that is to start what the others were told: by itself it sends to every pool.

    Where no other answers, as on a first deployment, it has what it kept itself, if anything.
    """
    table = routers.table_for(own)
    if table:
        _keep(root, component, table)


def _keep(root: Path, component: str, table: str) -> None:
    path, out = f"state/{component}/servers", maintenance.read(root)
    kept = healthy_again(table, out.host if out else "")
    write_file(root / path, File(path, kept, 0o644, os.geteuid()))
