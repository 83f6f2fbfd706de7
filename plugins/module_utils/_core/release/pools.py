"""Which of a service's two pools is live, and which release each was started from: state on every host."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..pool_names import POOLS
from ..tree import File, write_file
from .plan import replica_of

# Below the stack's root.
STATE = "state/pools.json"


@dataclass(frozen=True)
class ServicePools:
    """One service. `releases`: pool -> id of the release its replicas were last started from.

    warm: whether the free pool is kept running, without traffic, to go back to.
    routed: pools that the traffic is being moved between, wherever they run, until one is promoted.
    """

    live: str = POOLS[0]
    releases: Mapping[str, str] = field(default_factory=dict)
    warm: bool = False
    routed: Sequence[str] = ()

    @property
    def free(self) -> str:
        return POOLS[1 - POOLS.index(self.live)]

    @property
    def scraped(self) -> set[str]:
        """The pools that hold replicas, or are about to, here or on other hosts."""
        return {self.live, *self.releases, *self.routed}

    def sharing(self, pools: Iterable[str]) -> ServicePools:
        return replace(self, routed=sorted(pools))

    def started(self, pool: str, release: str) -> ServicePools:
        warm = self.warm and pool == self.live
        return replace(self, releases={**self.releases, pool: release}, warm=warm)

    def promoted(self, pool: str, *, warm: bool) -> ServicePools:
        return replace(self, live=pool, warm=warm, routed=())

    def confirmed(self, release: str) -> ServicePools:
        """At the end of a release, of whose definition the live pool is whoever started it."""
        return replace(self.started(self.live, release), routed=())

    def emptied(self, pool: str) -> ServicePools:
        left = {name: told for name, told in self.releases.items() if name != pool}
        return replace(self, releases=left, warm=self.warm and pool == self.live)


class Pools:
    """The pools of all services on one host. A service that nobody has recorded lives in the first pool."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, service: str) -> ServicePools:
        return self.all().get(service, ServicePools())

    def all(self) -> dict[str, ServicePools]:
        if not (self._root / STATE).exists():
            return {}
        stored = json.loads((self._root / STATE).read_text(encoding="utf-8"))
        return {name: ServicePools(**values) for name, values in stored.items()}

    def warm(self) -> dict[tuple[str, str], str]:
        """Service and pool of every one that is kept warm, and the release it is of."""
        found = {(name, pools.free): pools for name, pools in self.all().items() if pools.warm}
        return {where: pools.releases.get(pools.free, "") for where, pools in found.items()}

    def record(self, changed: Mapping[str, ServicePools]) -> None:
        """Remember, after the fact and whole: a reader never sees half of it."""
        told = {name: _told(pools) for name, pools in sorted((self.all() | dict(changed)).items())}
        _write(self._root, STATE, json.dumps(told, indent=1) + "\n")


def _told(pools: ServicePools) -> dict[str, Any]:
    # At rest the file is one that earlier versions can read.
    return {key: value for key, value in asdict(pools).items() if value or key != "routed"}


def is_live(name: str, pools: Pools) -> bool:
    """Whether what bears this Compose name is expected to run; a component always is."""
    service, pool = replica_of(name)
    return not service or pools.of(service).live == pool


def write_metrics(
    root: Path,
    replicas: Iterable[Mapping[str, Any]],
    targets: Mapping[str, Mapping[str, Any]],
    pools: Pools,
) -> None:
    """Tell the monitoring what to expect, so that it never takes a free pool for a dead one.

    replicas: this host's, of both pools. targets: what to scrape, service -> pool -> target groups; only on
    hosts that have a Prometheus.
    """
    live = [replica for replica in replicas if is_live(replica["name"], pools)]
    lines = [
        "# HELP slipway_replica_expected Replicas of live pools.",
        "# TYPE slipway_replica_expected gauge",
    ]
    lines += [
        f'slipway_replica_expected{{server="{replica["server"]}"}} 1' for replica in live if replica["server"]
    ]
    lines += [
        "# HELP slipway_worker_expected Workers of live pools, which no router knows.",
        "# TYPE slipway_worker_expected gauge",
    ]
    lines += [
        f'slipway_worker_expected{{replica="{replica["name"]}"}} 1'
        for replica in live
        if not replica["server"]
    ]
    _write(root, "state/metrics/replicas.prom", "\n".join([*lines, ""]))
    for service, groups in targets.items():
        listed = [group for pool in sorted(pools.of(service).scraped) for group in groups.get(pool, [])]
        _write(root, f"state/targets/{service}.json", json.dumps(listed, indent=1) + "\n")


def _write(root: Path, path: str, content: str) -> None:
    write_file(root / path, File(path, content, 0o644, os.geteuid()))
