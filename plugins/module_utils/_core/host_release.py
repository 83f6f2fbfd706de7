"""Bring one host to a release: prepare everything first, then commit it phase by phase."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine import Engine
from .errors import SlipwayError
from .jobs import PREFIX
from .plan import Observed, Step, Unit, Wanted, plan, replica_of
from .pools import Pools, ServicePools
from .refusals import Refusals
from .rolling import RollingReplica
from .router_state import Order
from .routers import Routers
from .topology import POOLS
from .tree import File, ReleaseTree, folder_digest, write_file

COMPOSE_FILE = "docker-compose.prod.yml"
IMAGE = re.compile(r"^    image: (\S+)$", re.MULTILINE)
# Decided when etcd was founded: another list in a file changes nobody's mind, and splits the cluster.
VOTERS = "config/etcd/members"


@dataclass(frozen=True)
class Change:
    """One file that a release changes, as its old and its new text (empty: was not, or will not be there)."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Traffic:
    """What renewing replicas under load needs: all routers, this host's replicas, a patient probe."""

    routers: Routers
    replicas: Mapping[str, RollingReplica]
    wait_ready: Callable[[RollingReplica], None]
    # Around what a component notices: told its name, it sees to it that no client does.
    changing: Callable[[str], AbstractContextManager[None]]


def readmit(replica: RollingReplica, traffic: Traffic) -> None:
    traffic.wait_ready(replica)
    traffic.routers.admit(replica.server, replica.start_timeout)


def file_changes(old: Sequence[File], new: Sequence[File]) -> list[Change]:
    before = {file.path: file for file in old}
    after = {file.path: file for file in new}
    changed = [path for path in sorted(before | after) if before.get(path) != after.get(path)]
    return [
        Change(
            path,
            before[path].content if path in before else "",
            after[path].content if path in after else "",
        )
        for path in changed
    ]


def unified(changes: Sequence[Change]) -> str:
    lines: list[str] = []
    for change in changes:
        texts = (
            change.before.splitlines(keepends=True),
            change.after.splitlines(keepends=True),
        )
        lines += difflib.unified_diff(*texts, f"current/{change.path}", f"new/{change.path}", n=1)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _defined(service: str, files: Sequence[File]) -> int:
    """Replicas of a service in a release: both pools have as many."""
    return len(re.findall(rf"^  {re.escape(service)}-{POOLS[0]}-\d+:$", _compose(files), re.MULTILINE))


def _compose(files: Sequence[File]) -> str:
    return next((file.content for file in files if file.path == COMPOSE_FILE), "")


class HostRelease:
    """One host on its way to one release."""

    def __init__(
        self,
        engine: Engine,
        tree: ReleaseTree,
        release: str,
        units: Sequence[Unit],
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
        self._units = {unit.name: unit for unit in units}
        # Of stored releases, which nobody edits: each question costs a start of Compose.
        self._hashes: dict[str, dict[str, str]] = {}
        self._services = {unit.service for unit in units if unit.service}

    @property
    def compose_file(self) -> str:
        return str(self._tree.release(self._release) / COMPOSE_FILE)

    def preview(self, files: Sequence[File]) -> list[Step]:
        """The steps, without leaving a trace on the host: what check mode reports."""
        self._refuse_other_voters(files)
        with self._compose_file(files, self._release) as path:
            return self._steps(files, path)

    def missing_images(self, files: Sequence[File]) -> list[str]:
        with self._compose_file(files, self._release) as path:
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
            self._start(started, timeout)
        for step in forgotten:
            readmit(traffic.replicas[step.service], traffic)
        for step in others:
            with traffic.changing(step.service):
                self._carry_out(step, timeout)
        return [str(step) for step in started + forgotten + others]

    def services(self, steps: Sequence[Step], files: Sequence[File]) -> dict[str, dict[str, Any]]:
        """Each service with replicas on this host, as `fleet.Seen` has it."""
        containers = self._engine.containers()
        there = [replica_of(container.service) for container in containers]
        running = [replica_of(container.service) for container in containers if container.running]
        reasons = {step.service: step.reason for step in steps if step.action == "rollout"}
        reasons = self._declared_otherwise(files) | reasons
        told = {}
        for service in sorted(self._services):
            pools = self._pools.of(service)
            told[service] = {
                "live": pools.live,
                "releases": dict(pools.releases),
                "changed": reasons.get(service, ""),
                "running": {pool: running.count((service, pool)) for pool in POOLS},
                "there": {pool: there.count((service, pool)) for pool in POOLS},
                "weights": self._weights(service),
                "defined": self._stored(service, pools) if service in reasons else 0,
                "wanted": _defined(service, files),
                "warm": pools.warm,
            }
        return told

    def _weights(self, service: str) -> dict[str, int]:
        firsts = {pool: self._orders.get(f"{service}-{pool}-1") for pool in POOLS}
        return {pool: order.weight for pool, order in firsts.items() if order} if all(firsts.values()) else {}

    def _stored(self, service: str, pools: ServicePools) -> int:
        """Replicas of a service in the release of its live pool."""
        release = pools.releases.get(pools.live, "")
        return _defined(service, self._tree.staged(release)) if release else 0

    def _declared_otherwise(self, files: Sequence[File]) -> dict[str, str]:
        """Services that the release of their live pool defines differently, whether they run or not."""
        found: dict[str, str] = {}
        fresh: dict[str, tuple[str, str]] = {}
        known: dict[str, dict[str, tuple[str, str]]] = {}
        for unit in self._units.values():
            pools = self._pools.of(unit.service)
            old = pools.releases.get(pools.live, "")
            if not unit.service or unit.pool != pools.live or old in ("", self._release):
                continue
            fresh = fresh or self._definitions(files, self._release)
            known[old] = known.get(old) or self._definitions(self._tree.staged(old), old)
            # One more replica than before is not another definition.
            if unit.name in known[old].keys() & fresh.keys() and known[old][unit.name] != fresh[unit.name]:
                found.setdefault(unit.service, f"{unit.name} is not what release {old} defines")
        return found

    def _definitions(self, files: Sequence[File], release: str) -> dict[str, tuple[str, str]]:
        """Compose's fingerprint and that of the configuration of every service in a release."""
        if not files:
            return {}
        with self._compose_file(files, release) as path:
            hashes = self._service_hashes(path)
        return {name: (hashes[name], self._config(name, files)) for name in self._units if name in hashes}

    @contextmanager
    def _compose_file(self, files: Sequence[File], release: str) -> Iterator[str]:
        """The Compose file of a release: where it is stored, or a passing copy of one that is not."""
        wanted = next(file for file in files if file.path == COMPOSE_FILE)
        stored = self._tree.release(release) / COMPOSE_FILE
        if stored.exists() and stored.read_text(encoding="utf-8") == wanted.content:
            yield str(stored)
            return
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            copy = Path(folder) / COMPOSE_FILE
            write_file(copy, wanted)
            yield str(copy)

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
            {name: pools.started(pools.live, self._release) for name, pools in self._pools.all().items()}
        )
        told = [str(step) for step in steps]
        if self._tree.make_current(self._release):
            told.append(f"current -> {self._release}")
        told += self._cool()
        return [*told, *self._forget(keep, protected)]

    def _forget(self, keep: int, protected: Sequence[str]) -> list[str]:
        """Delete the oldest releases, and the images that none of the others names."""
        old = self._tree.oldest(keep, protected)
        if not old:
            return []
        named = {
            release: set(IMAGE.findall(_compose(self._tree.staged(release))))
            for release in self._tree.releases()
        }
        for release in old:
            self._tree.forget(release)
        needed = {image for release, images in named.items() if release not in old for image in images}
        self._engine.remove_images(sorted({image for release in old for image in named[release]} - needed))
        return [f"forget release {release}" for release in old]

    def _cool(self) -> list[str]:
        """Remove what is kept warm of a release that is no longer the one before; it has no traffic."""
        stale = [where for where, release in self._pools.warm().items() if release != self._tree.previous]
        gone = [it for it in self._engine.containers() if replica_of(it.service) in stale]
        self._engine.remove(gone)
        for container in gone:
            self._tree.set_applied(container.service, None)
        self._pools.record({service: self._pools.of(service).emptied(pool) for service, pool in stale})
        return [f"retire {container.service} (not of the release before any more)" for container in gone]

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
            self._tree.set_applied(step.service, self._config(step.service, files))

    def _of(self, steps: Sequence[Step]) -> list[Unit]:
        return [self._units[step.service] for step in steps if step.service in self._units]

    def _config(self, service: str, files: Sequence[File]) -> str:
        folder = self._units[service].folder
        return folder_digest(files, folder) if folder else ""

    def _steps(self, files: Sequence[File], compose_file: str) -> list[Step]:
        hashes = {
            name: told
            for name, told in self._service_hashes(compose_file).items()
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
            name: Wanted(unit, hashes[name], self._config(name, files))
            for name, unit in self._units.items()
            if name in hashes
        }
        live = {unit.service: self._pools.of(unit.service).live for unit in self._units.values()}
        return plan(self._observed(), wanted, live, self._pools.warm())

    def _service_hashes(self, compose_file: str) -> dict[str, str]:
        if compose_file not in self._hashes:
            self._hashes[compose_file] = self._engine.service_hashes(compose_file)
        return self._hashes[compose_file]

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
