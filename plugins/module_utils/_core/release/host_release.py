"""Bring one host to a release: prepare everything first, then commit it phase by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..docker.compose_file import COMPOSE_FILE
from ..docker.engine import Engine
from ..errors import SlipwayError
from ..refusals import Refusals
from ..routing.router_state import Order
from ..routing.traffic import Traffic, readmit
from ..tree import File, ReleaseTree
from .definitions import Definitions
from .jobs import PREFIX
from .plan import Observed, Step, Unit, Wanted, plan, replica_of
from .pools import Pools
from .retention import cool, forget

# Decided when etcd was founded: another list in a file changes nobody's mind, and splits the cluster.
VOTERS = "config/etcd/members"


class HostRelease:
    """One host on its way to one release."""

    def __init__(
        self,
        engine: Engine,
        tree: ReleaseTree,
        release: str,
        definitions: Definitions,
        *,
        orders: Mapping[str, Order],
        pools: Pools,
    ) -> None:
        """`orders`: what routers were told of this host's replicas, by Compose name."""
        self._engine = engine
        self._tree = tree
        self._release = release
        self._orders = orders
        self._pools = pools
        self._definitions = definitions
        self._units = definitions.units
        self._services = definitions.services

    @property
    def compose_file(self) -> str:
        return str(self._tree.release(self._release) / COMPOSE_FILE)

    def preview(self, files: Sequence[File]) -> list[Step]:
        """The steps, without leaving a trace on the host: what check mode reports."""
        self._refuse_other_voters(files)
        with self._definitions.file(files, self._release) as path:
            return self._steps(files, path)

    def missing_images(self, files: Sequence[File]) -> list[str]:
        with self._definitions.file(files, self._release) as path:
            return self._engine.missing_images(path)

    def store(self, files: Sequence[File]) -> None:
        """Keep the release here; nothing that runs reads it."""
        self._tree.stage(self._release, files)
        # What modules use on this host; no container mounts it.
        self._tree.bring_live(self._release, "config/host")

    def check(self, steps: Sequence[Step], refusals: Refusals) -> None:
        """Let each component that has a step judge its own new configuration."""
        for unit in self._of(steps):
            if unit.check and unit.image:
                folder = self._tree.release(self._release) / str(unit.folder)
                with refusals.of(unit.name):
                    self._engine.check(unit.image, unit.user, str(folder), unit.check)

    def unwell(self) -> list[str]:
        """Live replicas that are not well before anything was done to them."""
        found = []
        for container in self._engine.containers():
            service, pool = replica_of(container.service)
            sick = not container.running or "unhealthy" in container.status
            if service in self._services and pool == self._pools.of(service).live and sick:
                found.append(f"{container.service} ({container.status or container.state})")
        return found

    def steps(self) -> list[Step]:
        """What is still to be done, read from the running system and the stored release."""
        files = self._tree.staged(self._release)
        if not files:
            raise SlipwayError(
                f"release {self._release} is not prepared on this host",
                "Run the deployment again",
            )
        return self._steps(files, self.compose_file)

    def commit(self, phase: str, actions: Sequence[str], timeout: int, traffic: Traffic) -> list[str]:
        """Carry out one phase's steps of the given kinds; return what was done, a line each."""
        steps = [step for step in self.steps() if step.phase == phase and step.action in actions]
        for folder in sorted({unit.folder for unit in self._of(steps) if unit.folder}):
            self._tree.bring_live(self._release, folder)
        if phase == "services":
            # Everything else about services is decided over the whole fleet (fleet.py).
            steps = [step for step in steps if step.action == "readmit"]
        started = [step for step in steps if step.action in ("create", "start")]
        forgotten = [step for step in steps if step.action == "readmit"]
        others = [step for step in steps if step not in started + forgotten]
        if started:
            for step in started:
                traffic.starting(step.service)
            self._start(started, timeout)
        for step in forgotten:
            readmit(traffic.replicas[step.service], traffic)
        for step in others:
            with traffic.changing(step.service):
                self._carry_out(step, timeout)
        return [str(step) for step in started + forgotten + others]

    def finish(self, keep: int, protected: Sequence[str] = ()) -> list[str]:
        """Remove what is no longer declared, point `current` at the release and forget the oldest ones."""
        steps = [step for step in self.steps() if step.action == "remove"]
        unfinished = [step for step in self.steps() if step.action != "remove"]
        if unfinished:
            raise SlipwayError(
                f"release {self._release} is not complete on this host: {'; '.join(map(str, unfinished))}",
                "Run the deployment again; it continues from here",
            )
        gone = {step.service for step in steps}
        self._engine.remove(
            [container for container in self._engine.containers() if container.service in gone]
        )
        for service in gone:
            self._tree.set_applied(service, None)
        # Live pools are from now on what this release says, also those it did not touch: it is the same.
        self._pools.record(
            {name: pools.confirmed(self._release) for name, pools in self._pools.all().items()}
        )
        told = [str(step) for step in steps]
        if self._tree.make_current(self._release):
            told.append(f"current -> {self._release}")
        told += cool(self._engine, self._tree, self._pools)
        return [*told, *forget(self._engine, self._tree, keep, protected)]

    def _refuse_other_voters(self, files: Sequence[File]) -> None:
        live = self._tree.root / VOTERS
        if not self._tree.current or not live.exists():
            return
        old = sorted(live.read_text(encoding="utf-8").split())
        new = sorted(next((file.content for file in files if file.path == VOTERS), "").split())
        if old != new:
            raise SlipwayError(
                f"etcd's members would change from {' '.join(old)} to {' '.join(new) or 'none here'}",
                "Put `stack.components.etcd.hosts` and the hosts' addresses back as they were; "
                "a member that lost its host is brought back as docs/runbooks/etcd.md says",
            )

    def _start(self, steps: Sequence[Step], timeout: int) -> None:
        self._engine.up(self.compose_file, [step.service for step in steps], timeout)
        self._remember(steps)

    def _carry_out(self, step: Step, timeout: int) -> None:
        unit = self._units[step.service]
        if step.action == "reload":
            self._engine.signal(self.compose_file, step.service, str(unit.reload))
        elif step.action == "restart":
            self._engine.restart(self.compose_file, step.service, timeout)
        else:
            self._engine.up(self.compose_file, [step.service], timeout)
        self._remember([step])

    def _remember(self, steps: Sequence[Step]) -> None:
        files = self._tree.staged(self._release)
        for step in steps:
            self._tree.set_applied(step.service, self._definitions.config(step.service, files))

    def _of(self, steps: Sequence[Step]) -> list[Unit]:
        return [self._units[step.service] for step in steps if step.service in self._units]

    def _steps(self, files: Sequence[File], compose_file: str) -> list[Step]:
        hashes = {
            name: told
            for name, told in self._definitions.hashes(compose_file).items()
            if not name.startswith(PREFIX)
        }
        forgotten = sorted(
            name for name in hashes.keys() - self._units.keys() if replica_of(name)[0] not in self._services
        )
        if forgotten:
            raise SlipwayError(
                f"release {self._release} has {', '.join(forgotten)}, which the stack no longer declares",
                "Deploy from the revision that declares them",
            )
        # A release that went before may lack what is declared today.
        wanted = {
            name: Wanted(unit, hashes[name], self._definitions.config(name, files))
            for name, unit in self._units.items()
            if name in hashes
        }
        live = {unit.service: self._pools.of(unit.service).live for unit in self._units.values()}
        return plan(self._observed(), wanted, live, self._pools.warm())

    def _observed(self) -> Mapping[str, Observed]:
        applied = self._tree.applied()
        seen = {}
        for container in self._engine.containers():
            unit = self._units.get(container.service)
            config = applied.get(container.service, "")
            if unit and unit.folder and self._tree.live_digest(unit.folder) != config:
                config = "drifted"  # somebody edited what the container has mounted
            order = self._orders.get(container.service)
            admitted = not (order and order.left_out)
            seen[container.service] = Observed(container.hash, config, container.running, admitted)
        return seen
