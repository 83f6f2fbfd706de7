"""Moves of the whole fleet back to the old release, from wherever a rollout has come: decisions, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from ..stack.model_rollout import Strategy
from ..stack.model_service import Service
from .extents import extents, furthest, homewards
from .fleet import Change, Seen, change
from .host_turns import takes_turns, turn_by_turn
from .rollout import Stage, back
from .stage_moves import Move, walk
from .traffic_moves import all_traffic_to, send_traffic


def plan_back(services: Sequence[Service], seen: Mapping[str, Mapping[str, Seen]]) -> list[Move]:
    """From wherever a rollout has come to the old release alone. A host that is lost is not in `seen`."""
    moves: list[Move] = []
    found = [change(service, seen[service.name], "") for service in services]
    # Without an old release there is nothing to return to.
    changes = [it for it in found if it and it.before]
    for strategy, group in groupby(changes, key=lambda it: it.service.strategy):
        here = list(group)

        def home(it: Change, there: Mapping[str, Seen], strategy: Strategy = strategy) -> list[Stage]:
            return back(furthest(it, there), it.old_replicas, strategy)

        if takes_turns(strategy):
            moves += turn_by_turn(here, seen, "", home)
            moves += send_traffic("send all the traffic to the old replicas", all_traffic_to(here, "old"))
        else:
            ways = {it.service.name: home(it, seen[it.service.name]) for it in here}
            moves += walk(here, ways, homewards(extents(here, seen)), "", batch=strategy.batch)
    if changes:
        live = {it.service.name: {"pool": it.old, "warm": False} for it in changes}
        moves.append(Move("promote", "keep the old replicas live", live))
    return moves
