"""Hosts that take turns: some go through all stages of a strategy before the next ones begin; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..stack.model_rollout import Strategy
from .extents import extents, homewards
from .fleet import Change, Seen
from .rollout import Stage
from .stage_moves import Move, names, served, walk
from .traffic_moves import keep_traffic, send_traffic


def takes_turns(strategy: Strategy) -> bool:
    """Whether some hosts go through all stages before the next ones begin.

    Where a stage has a share of the traffic, that is the whole fleet's: all hosts are in it together.
    """
    return bool(strategy.batch) and all(step.share is None for step in strategy.steps)


def turn_by_turn(
    changes: Sequence[Change],
    seen: Mapping[str, Mapping[str, Seen]],
    release: str,
    way: Callable[[Change, Mapping[str, Seen]], list[Stage]],
    judged: bool = False,
) -> Iterator[Move]:
    """Batches of hosts, each through all stages; meanwhile every replica gets the same traffic.

    The very first new replicas of a service start without any, so that they can be probed before. A service
    is judged on its own hosts that have had their turn: the others' replicas are not there yet.
    """
    none_yet = judged and not any(
        told.there[it.new] for it in changes for told in seen[it.service.name].values()
    )
    equal = {it.service.name: {it.old: 100, it.new: 100} for it in served(changes)}
    if none_yet:
        yield from keep_traffic(changes)
    else:
        yield from send_traffic(f"the same traffic for every replica of {names(served(changes))}", equal)
    turned: tuple[str, ...] = ()
    begun: set[str] = set()
    for hosts in _batches(changes, seen):
        turned += hosts
        some = _of(hosts, seen)
        here = [it for it in changes if some[it.service.name]]
        found = extents(here, some) if release else homewards(extents(here, some))
        before = {}
        for name, (low, high) in found.items():
            share = 0 if none_yet and name not in begun else None
            before[name] = (replace(low, share=share), replace(high, share=share))
        ways = {
            it.service.name: [replace(stage, share=None) for stage in way(it, some[it.service.name])]
            for it in here
        }
        where = {"hold": turned, **dict.fromkeys(("start", "probe", "retire", "stay"), hosts)}
        for move in walk(here, ways, before, release, judged=judged):
            named = where.get(move.kind, ())
            yield replace(move, hosts=tuple(host for host in named if host in (move.hosts or named)))
        begun |= ways.keys()


def _batches(changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]]) -> list[tuple[str, ...]]:
    running: dict[str, int] = {}
    for it in changes:
        for host, told in seen[it.service.name].items():
            running[host] = running.get(host, 0) + sum(told.running.values())
    # Whoever has fewest comes first: there an interrupted run was at work.
    hosts = sorted(running, key=lambda host: (running[host], host))
    size = changes[0].service.strategy.batch
    return [tuple(hosts[at : at + size]) for at in range(0, len(hosts), size)]


def _of(hosts: Sequence[str], seen: Mapping[str, Mapping[str, Seen]]) -> dict[str, dict[str, Seen]]:
    """What was found on some hosts; nothing of a service that none of them has."""
    return {
        name: {host: told for host, told in there.items() if host in hosts} for name, there in seen.items()
    }
