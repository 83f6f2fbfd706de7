"""What one host tells the control node of its services, where `fleet` takes all hosts' accounts together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..docker.compose_file import replicas_defined
from ..docker.engine import Engine
from ..pool_names import POOLS
from ..routing.router_state import Order
from ..tree import File, ReleaseTree
from .definitions import Definitions
from .plan import Step, replica_of
from .pools import Pools, ServicePools


class ServicesSeen:
    """One host's services as they run, against a release."""

    def __init__(
        self,
        engine: Engine,
        tree: ReleaseTree,
        definitions: Definitions,
        *,
        orders: Mapping[str, Order],
        pools: Pools,
    ) -> None:
        """`orders`: what routers were told of this host's replicas, by Compose name."""
        self._engine = engine
        self._tree = tree
        self._definitions = definitions
        self._orders = orders
        self._pools = pools

    def tell(self, release: str, steps: Sequence[Step], files: Sequence[File]) -> dict[str, dict[str, Any]]:
        """Each service with replicas on this host, as `fleet.Seen` has it."""
        containers = self._engine.containers()
        there = [replica_of(container.service) for container in containers]
        running = [replica_of(container.service) for container in containers if container.running]
        reasons = {step.service: step.reason for step in steps if step.action == "rollout"}
        reasons = self._declared_otherwise(release, files) | reasons
        told = {}
        for service in sorted(self._definitions.services):
            pools = self._pools.of(service)
            told[service] = {
                "live": pools.live,
                "releases": dict(pools.releases),
                "changed": reasons.get(service, ""),
                "running": {pool: running.count((service, pool)) for pool in POOLS},
                "there": {pool: there.count((service, pool)) for pool in POOLS},
                "weights": self._weights(service),
                "defined": self._stored(service, pools) if service in reasons else 0,
                "wanted": replicas_defined(service, files),
                "warm": pools.warm,
            }
        return told

    def _weights(self, service: str) -> dict[str, int]:
        firsts = {pool: self._orders.get(f"{service}-{pool}-1") for pool in POOLS}
        return {pool: order.weight for pool, order in firsts.items() if order} if all(firsts.values()) else {}

    def _stored(self, service: str, pools: ServicePools) -> int:
        """Replicas of a service in the release of its live pool."""
        release = pools.releases.get(pools.live, "")
        return replicas_defined(service, self._tree.staged(release)) if release else 0

    def _declared_otherwise(self, release: str, files: Sequence[File]) -> dict[str, str]:
        """Services that the release of their live pool defines differently, whether they run or not."""
        found: dict[str, str] = {}
        fresh: dict[str, tuple[str, str]] = {}
        known: dict[str, dict[str, tuple[str, str]]] = {}
        for unit in self._definitions.units.values():
            pools = self._pools.of(unit.service)
            old = pools.releases.get(pools.live, "")
            if not unit.service or unit.pool != pools.live or old in ("", release):
                continue
            fresh = fresh or self._definitions.of(files, release)
            known[old] = known.get(old) or self._definitions.of(self._tree.staged(old), old)
            # One more replica than before is not another definition.
            if unit.name in known[old].keys() & fresh.keys() and known[old][unit.name] != fresh[unit.name]:
                found.setdefault(unit.service, f"{unit.name} is not what release {old} defines")
        return found
