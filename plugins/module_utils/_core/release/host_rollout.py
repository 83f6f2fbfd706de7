"""One host's part in a rollout: start replicas of one pool, retire those of the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from ..docker.compose_file import COMPOSE_FILE
from ..docker.engine import CRASHES, Container, Engine
from ..errors import SlipwayError
from ..routing.rolling import RollingReplica
from ..routing.routers import Routers
from ..tree import ReleaseTree, folder_digest
from .plan import replica_of
from .pools import Pools

# Seconds of asking whether a replica is ready, between looks at whether it crashes.
LOOK = 2


@dataclass(frozen=True)
class PoolOrder:
    """`count` replicas of one pool of a service on this host; `release`: what to start missing ones from.

    confirmed: whether every router must find what is started; not so before there are routers.
    """

    service: str
    pool: str
    count: int
    release: str = ""
    confirmed: bool = True

    @property
    def names(self) -> list[str]:
        return [f"{self.service}-{self.pool}-{number}" for number in range(1, self.count + 1)]

    @property
    def folder(self) -> str:
        return f"config/services/{self.service}-{self.pool}"


class HostRollout:
    """Knows this host's replicas of both pools by Compose name."""

    def __init__(
        self,
        engine: Engine,
        tree: ReleaseTree,
        replicas: Mapping[str, RollingReplica],
        routers: Routers,
        wait_ready: Callable[[RollingReplica], None],
    ) -> None:
        self._engine = engine
        self._tree = tree
        self._pools = Pools(tree.root)
        self._replicas = replicas
        self._routers = routers
        self._wait_ready = wait_ready
        self._memory = Lock()

    def start(self, orders: Sequence[PoolOrder]) -> list[str]:
        """Bring pools up to their counts, all at once, until every router has found each replica ready."""
        done = []
        for release in sorted({order.release for order in orders}):
            done += self._start(release, [order for order in orders if order.release == release])
        return done

    def retire(self, orders: Sequence[PoolOrder]) -> list[str]:
        """Bring pools down to their counts, side by side: out of every router, drained, stopped, removed."""
        surplus = [
            container
            for container in self._engine.containers()
            for order in orders
            if _beyond(container, order)
        ]
        if surplus:
            with ThreadPoolExecutor(len(surplus)) as pool:
                told = list(pool.map(self._retire, surplus))
        else:
            told = []
        # What the live pool is of must be known until another one is live: it is the way back.
        emptied = [
            order for order in orders if not order.count and self._pools.of(order.service).live != order.pool
        ]
        self._pools.record(
            {order.service: self._pools.of(order.service).emptied(order.pool) for order in emptied}
        )
        return told

    def rest(self, orders: Sequence[PoolOrder]) -> list[str]:
        """Let pools without a share of the traffic finish what they have; they run on, to go back to."""
        idle = [it for it in self._engine.containers() for order in orders if _beyond(it, order)]
        with ThreadPoolExecutor(len(idle) or 1) as pool:
            return list(pool.map(self._rest, idle))

    def promote(self, live: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Remember which pool of each service is live, and whether the other one is empty, or kept warm."""
        there = {replica_of(container.service) for container in self._engine.containers()}
        told, changed = [], {}
        for service, order in live.items():
            pool = order["pool"]
            before = self._pools.of(service)
            after = before.promoted(pool, warm=bool(order["warm"]))
            changed[service] = after if (service, after.free) in there else after.emptied(after.free)
            told += [f"{service}: {pool} is live"] if before.live != pool else []
        self._pools.record(changed)
        return told

    def _start(self, release: str, orders: Sequence[PoolOrder]) -> list[str]:
        files = self._tree.staged(release)
        if not files:
            raise SlipwayError(f"release {release} is not stored on this host", "Run the deployment again")
        file = str(self._tree.release(release) / COMPOSE_FILE)
        missing = self._missing(file, [name for order in orders for name in order.names])
        if not missing:
            return []
        self._engine.pull_missing(file)
        for order in orders:
            self._tree.bring_live(release, order.folder)
        self._pools.record(
            {order.service: self._pools.of(order.service).started(order.pool, release) for order in orders}
        )
        # Each says itself when it is ready; one that crashes is not waited for.
        self._engine.up(file, missing, None)
        for order in orders:
            for name in set(order.names) & set(missing):
                self._tree.set_applied(name, folder_digest(files, order.folder))
        confirmed = {name for order in orders if order.confirmed for name in order.names}
        with ThreadPoolExecutor(len(missing)) as pool:
            list(pool.map(lambda name: self._admit(name, name in confirmed), missing))
        return [f"start {name} of {release}" for name in missing]

    def _missing(self, file: str, names: Sequence[str]) -> list[str]:
        hashes = self._engine.service_hashes(file)
        running = {
            container.service: container.hash for container in self._engine.containers() if container.running
        }
        # A host that has no replicas of a service has none to start.
        return [name for name in names if name in hashes and running.get(name) != hashes[name]]

    def _admit(self, name: str, confirmed: bool) -> None:
        replica = self._replicas[name]
        try:
            self._until_ready(replica)
            if not replica.server:
                return
            if confirmed:
                self._routers.admit(replica.server, replica.start_timeout)
            else:
                self._routers.offer(replica.server)
        except SlipwayError as error:
            raise SlipwayError(f"{error.problem}{self._engine.evidence([name])}", error.remedy) from error

    def _until_ready(self, replica: RollingReplica) -> None:
        """Wait as long as the replica may take, but not for one that has crashed twice meanwhile."""
        limit = time.monotonic() + replica.start_timeout
        while True:
            try:
                return self._wait_ready(replace(replica, start_timeout=min(LOOK, replica.start_timeout)))
            except SlipwayError as error:
                crashes = self._engine.restarts(replica.name)
                if crashes >= CRASHES:
                    raise SlipwayError(
                        f"{replica.name} has crashed {crashes} times before it was ready",
                        "Read its last words; correct the image or its configuration",
                    ) from error
                if time.monotonic() >= limit:
                    told = f"{error.problem}, for {replica.start_timeout} s"
                    raise SlipwayError(told, error.remedy) from error

    def _retire(self, container: Container) -> str:
        replica = self._known(container.service)
        cut = self._routers.drain(replica.server, replica.drain) if replica.server else 0
        self._engine.remove([container])
        with self._memory:  # replicas are retired side by side
            self._tree.set_applied(container.service, None)
        return f"retire {container.service}{_cut(cut)}"

    def _rest(self, container: Container) -> str:
        replica = self._known(container.service)
        cut = self._routers.rest(replica.server, replica.drain)
        return f"keep {container.service} warm{_cut(cut)}"

    def _known(self, name: str) -> RollingReplica:
        """A replica, also one beyond today's count: as its siblings, under its own name."""
        if name in self._replicas:
            return self._replicas[name]
        stem = name.rsplit("-", 1)[0]
        sibling = next(it for it in self._replicas.values() if it.name.rsplit("-", 1)[0] == stem)
        return replace(sibling, name=name, server=sibling.server.replace(sibling.name, name, 1))


def _cut(sessions: int) -> str:
    return f" ({sessions} sessions cut at the drain deadline)" if sessions else ""


def _beyond(container: Container, order: PoolOrder) -> bool:
    stem, _, number = container.service.rpartition("-")
    return stem == f"{order.service}-{order.pool}" and number.isdigit() and int(number) > order.count
