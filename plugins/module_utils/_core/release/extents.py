"""How far the hosts of a service have come where they differ, as after a run that died; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .fleet import Change, Seen, fewest_old
from .rollout import Pools, Stage
from .stage_moves import UNKNOWN


def extents(
    changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]]
) -> dict[str, tuple[Stage, Stage]]:
    """The fewest and the most replicas on any host; nobody knows what every router was told."""
    found = {}
    for it in changes:
        hosts = seen[it.service.name].values()
        found[it.service.name] = (
            Stage(
                min(host.running[it.new] for host in hosts),
                fewest_old(it, seen[it.service.name]),
                UNKNOWN,
            ),
            Stage(
                max(host.there[it.new] for host in hosts), max(host.there[it.old] for host in hosts), UNKNOWN
            ),
        )
    return found


def homewards(found: Mapping[str, tuple[Stage, Stage]]) -> dict[str, tuple[Stage, Stage]]:
    """On the way back no new replica is started, also where it crashes."""
    return {name: (replace(low, new=high.new), high) for name, (low, high) in found.items()}


def furthest(it: Change, seen: Mapping[str, Seen]) -> Pools:
    """The most new replicas and the fewest old ones that any host has."""
    new = max(host.there[it.new] for host in seen.values())
    return Pools(new, min(fewest_old(it, seen), it.old_replicas), 50 if new else 0)
