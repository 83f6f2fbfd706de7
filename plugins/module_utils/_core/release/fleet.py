"""What every host says of a service, taken together: which pool is live, and what has to happen to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..pool_names import POOLS
from ..stack.model_service import Service
from ..stack.strategies import RETURN
from .rollout import Pools
from .shares import share_of


@dataclass(frozen=True)
class Seen:
    """One service on one host: its live pool, the releases its pools were started from, replicas that run.

    there: replicas in any state: what crashes all the time does not run, and must go all the same.
    changed: why it needs a rollout; empty where the live pool's release defines it as the new one does.
    weights: of the pools' servers in a router; empty where none could be asked.
    defined: replicas that the live pool's release has; 0 where nobody knows.
    wanted: replicas that the release to come has; 0 where it has none here.
    warm: whether the free pool is kept to go back to.
    """

    live: str
    releases: Mapping[str, str]
    changed: str
    running: Mapping[str, int]
    there: Mapping[str, int]
    weights: Mapping[str, int] = field(default_factory=dict)
    defined: int = 0
    wanted: int = 0
    warm: bool = False

    def had(self, pool: str) -> bool:
        """Whether the pool's release ever ran here: of the old one, a new host knows nothing."""
        return pool in self.releases or self.there[pool] > 0


@dataclass(frozen=True)
class Change:
    """One service on its way from the pool `old` (of release `before`) to the pool `new`.

    hosts: how many; veterans: those that had the release before, the others begin with the new one.
    old_replicas: on each host in the release before. foreign: the free pool holds replicas of some other
    release, which go first.
    """

    service: Service
    old: str
    new: str
    before: str
    hosts: int
    veterans: tuple[str, ...]
    old_replicas: int
    observed: Pools
    foreign: bool
    reason: str


def emptied(seen: Mapping[str, Seen], pool: str) -> dict[str, Seen]:
    """What will be seen once all replicas of a pool are retired."""
    return {
        host: replace(told, running={**told.running, pool: 0}, there={**told.there, pool: 0})
        for host, told in seen.items()
    }


def agreed_live(seen: Mapping[str, Seen], release: str = "") -> str:
    """The live pool. Hosts disagree after a run that died while promoting; one that is new has no say."""
    known = [host for host in seen.values() if host.releases] or list(seen.values())
    lives = {host.live for host in known}
    if len(lives) == 1:
        return lives.pop()

    def rank(pool: str) -> tuple[int, bool]:
        wanted = all(host.releases.get(pool) == release for host in seen.values())
        return sum(host.running[pool] for host in seen.values()), wanted

    return max(POOLS, key=rank)


def elsewhere(service: str, told: Iterable[Mapping[str, Any]]) -> set[str]:
    """The pools that hosts without a service take for its live one; a new host knows of the first only.

    told: by host the service's `services` and the `live` pools it has on record.
    """
    return {it.get("live", {}).get(service, POOLS[0]) for it in told if service not in it.get("services", {})}


def as_released(service: Service, seen: Mapping[str, Seen]) -> Service:
    """The service with as many replicas as its release has: an earlier one may have fewer than today's."""
    wanted = max((host.wanted for host in seen.values()), default=0)
    return replace(service, replicas=min(wanted, service.replicas)) if wanted else service


def change(service: Service, seen: Mapping[str, Seen], release: str) -> Change | None:
    """What has to happen to one service; None where it is as wanted everywhere."""
    live = agreed_live(seen, release)
    free = next(pool for pool in POOLS if pool != live)
    reason = next(
        (host.changed for host in seen.values() if host.changed and host.live == live),
        "",
    )
    if not reason:
        return None
    foreign = any(host.there[free] and host.releases.get(free) != release for host in seen.values())
    before = next((host.releases[live] for host in seen.values() if live in host.releases), "")
    defined = max(host.defined for host in seen.values()) or service.replicas
    found = Change(
        service,
        live,
        free,
        before,
        len(seen),
        tuple(host for host, told in seen.items() if told.had(live)),
        defined,
        Pools(0, 0, None),
        foreign,
        reason,
    )
    found = replace(found, observed=observed(found, seen))
    return replace(found, service=replace(service, strategy=RETURN)) if _is_warm(found, seen) else found


def _is_warm(it: Change, seen: Mapping[str, Seen]) -> bool:
    """Whether what it shall go to still runs, whole, from when it was live."""
    warm = all(host.warm and host.live == it.old for host in seen.values())
    return warm and not it.foreign and it.observed.new >= it.service.replicas


def observed(it: Change, seen: Mapping[str, Seen]) -> Pools:
    """How far a change has come on the host that is furthest behind."""
    new, old = min(host.running[it.new] for host in seen.values()), fewest_old(it, seen)
    return Pools(0, old, None) if it.foreign else Pools(new, old, _share(seen, it.new, it.old))


def fewest_old(it: Change, seen: Mapping[str, Seen]) -> int:
    """Old replicas that run on any host; one that never had any lacks none."""
    counts = [told.running[it.old] for told in seen.values() if told.had(it.old)]
    return min(counts, default=it.old_replicas)


def _share(seen: Mapping[str, Seen], new: str, old: str) -> int | None:
    """Percent of the traffic that the routers send to the new pool, as far as it is there."""
    weights_of = next((host.weights for host in seen.values() if host.weights), None)
    if not weights_of:
        return None
    # As the weights were made: of hosts that have both.
    both = [host for host in seen.values() if host.had(old)]
    totals = [sum(host.running[pool] for host in both) for pool in (new, old)]
    return share_of(weights_of[new], weights_of[old], totals[0], totals[1])
