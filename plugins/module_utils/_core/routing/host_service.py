"""One host's part in going out of service and coming back: its routers, its roles, its edge, its replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..checks.health import FAIL, Probe
from ..checks.probes import measure
from ..checks.probes_data import patroni_view
from ..docker import commands
from ..docker.compose_file import COMPOSE_FILE
from ..docker.engine import Engine
from ..errors import SlipwayError
from ..run import Run
from . import maintenance
from .edge import COMPONENT, Edge
from .maintenance import SETTLED
from .rolling import RollingReplica
from .router import Router
from .router_state import parse_places
from .traffic import Traffic, keep_orders

# What a probe that expects a replica finds in a leader or a master.
NOT_A_FOLLOWER = "expected replica"
# nginx has said goodbye to HTTP/2 clients by then; others are waited for no longer.
LEAVING = 10.0


def leave_out(root: Path, routers: Mapping[str, Router], host: str) -> list[str]:
    """Tell this host's routers that nothing new goes to a host, for as long as it is out."""
    return _tell(root, routers, host, taken_back=False)


def take_back(root: Path, routers: Mapping[str, Router], host: str) -> list[str]:
    return _tell(root, routers, host, taken_back=True)


def _tell(root: Path, routers: Mapping[str, Router], host: str, *, taken_back: bool) -> list[str]:
    decide = maintenance.orders_in if taken_back else maintenance.orders_out
    told = []
    for component, router in routers.items():
        orders = decide(parse_places(router.table()), host)
        for backend, server, state in orders:
            router.set_state(backend, server, state)
        keep_orders(root, component, router)
        told.append(
            f"{component}: {len(orders)} servers of {host} {'taken back' if taken_back else 'left out'}"
        )
    return told


class HostService:
    """The host that goes, or comes back."""

    def __init__(self, run: Run, root: Path, engine: Engine, road: Traffic, live: Sequence[str]) -> None:
        """`live`: Compose names of this host's replicas that are expected to run."""
        self._run = run
        self._root = root
        self._engine = engine
        self._road = road
        self._live = list(live)
        self._edge = Edge(run, root.name, root)

    @property
    def _compose_file(self) -> str:
        return str(self._root / "current" / COMPOSE_FILE)

    def hand_over(self, roles: Sequence[Probe]) -> list[str]:
        """Let others lead PostgreSQL and be Redis's master; `roles` are answered well by a follower.

        One that is down or ill leads nothing: it keeps no host in service.
        """
        told = []
        for probe in roles:
            if NOT_A_FOLLOWER not in measure([probe], self._run)[0].detail:
                continue
            if probe.kind == "postgres":
                name, cluster = patroni_view(probe)
                successor = maintenance.candidate(name, cluster)
                self._inside("postgres", commands.switchover(self._root.name, name, successor))
                told.append(f"PostgreSQL: {successor} leads")
            else:
                # Writers wait meanwhile, and nothing that was acknowledged is lost.
                told.append(f"Redis: {self._inside('redis', commands.move_master())}")
            (check,) = measure([probe], self._run, wait=SETTLED)
            if check.status == FAIL:
                raise SlipwayError(f"{check.component} did not settle: {check.detail}", check.remedy)
        return told

    def empty(self, *, has_edge: bool) -> list[str]:
        """Send clients away, drain replicas on every router, stop them, which ends sessions properly."""
        if has_edge:
            self._edge.send_away()
        running = [it for it in self._engine.containers() if it.running and it.service in self._road.replicas]
        told = []
        if running:
            with ThreadPoolExecutor(len(running)) as pool:
                told = list(pool.map(self._drained, [self._road.replicas[it.service] for it in running]))
            self._engine.stop(running)
        if has_edge:
            self._edge.until_idle_ones_left()
            # Says goodbye to HTTP/2 clients, which have no other way to know.
            self._engine.signal(self._compose_file, COMPONENT, "HUP")
            left = self._edge.until_left(LEAVING)
            told.append(f"edge: {left} connections are still open" if left else "edge: nobody is connected")
        return told

    def fill(self) -> list[str]:
        """Start what is expected to run and wait until it is ready; the edge takes clients again."""
        there = {it.service for it in self._engine.containers() if it.running}
        missing = [name for name in self._live if name not in there]
        replicas = [self._road.replicas[name] for name in self._live]
        if missing:
            self._engine.up(self._compose_file, missing, max(it.start_timeout for it in replicas))
        for replica in replicas:
            self._road.wait_ready(replica)
        back = self._edge.out
        self._edge.take_back()
        return [f"start {name}" for name in missing] + (["edge: takes clients again"] if back else [])

    def admit(self) -> list[str]:
        """Wait until every router finds this host's replicas up."""
        replicas = [self._road.replicas[name] for name in self._live]
        for replica in replicas:
            self._road.routers.admit(replica.server, replica.start_timeout)
        return [f"{replica.name}: up on every router" for replica in replicas]

    def _drained(self, replica: RollingReplica) -> str:
        cut = self._road.routers.drain(replica.server, replica.drain)
        return f"{replica.name}: " + (f"{cut} sessions ended at the drain deadline" if cut else "drained")

    def _inside(self, component: str, argv: Sequence[str]) -> str:
        """The last line of what a command in a component's container says."""
        code, out, err = self._run(["docker", "exec", f"{self._root.name}-{component}-1", *argv])
        last = ((out + err).strip().splitlines() or [str(code)])[-1]
        if code:
            raise SlipwayError(
                f"{component} does not hand its role over: {last}", f"Look at docs/runbooks/{component}.md"
            )
        return last


def of_followers(roles: Sequence[Mapping[str, Any]]) -> list[Probe]:
    """Probes of this host's databases, answered well only by one that follows another."""
    found = [Probe.from_dict(role) for role in roles]
    return [
        Probe(it.name, it.component, it.kind, it.target, {**it.expect, "role": "replica"}) for it in found
    ]
