"""From any observed state a rollout ends in one whole pool, and never takes capacity away on its way."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release.rollout import (
    Pools,
    Stage,
    back,
    forward,
    settled,
    stages,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.rollout_text import describe
from ansible_collections.slipway.compose.plugins.module_utils._core.release.shares import share_of, weights
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.strategy_rules import faults
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import (
    Portion,
    Strategy,
    StrategyStep,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import Service
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import ALL, BUILT_IN
from hypothesis import assume, given
from hypothesis import strategies as st
from whole_stack import stack, with_service

ROLLING, BLUE_GREEN, CANARY = (BUILT_IN[name] for name in ("rolling", "blue_green", "canary"))
RECREATE, STOP_FIRST = BUILT_IN["recreate"], BUILT_IN["stop_first"]


def serving(at: Stage | Pools) -> int:
    """Replicas that get traffic."""
    return (at.new if at.share != 0 else 0) + (at.old if at.share != 100 else 0)


def there(at: Stage | Pools) -> int:
    return at.new + at.old


def on_the_way(start: Pools, planned: list[Stage]) -> list[Pools]:
    """Everything that is ever true on a host: started, then with other weights, then stopped."""
    seen, at = [start], start
    for stage in planned:
        seen.append(Pools(max(at.new, stage.new), max(at.old, stage.old), at.share))
        seen.append(Pools(max(at.new, stage.new), max(at.old, stage.old), stage.share))
        at = Pools(stage.new, stage.old, stage.share)
        seen.append(at)
    return seen


def states(planned: list[Stage]) -> list[Pools]:
    return [Pools(stage.new, stage.old, stage.share) for stage in planned]


REPLICAS = st.integers(1, 12)
SHARES = st.none() | st.integers(0, 100)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Strategy, int]:
    """Any sound strategy that starts first, and the replicas it is sound for."""
    replicas, length = draw(REPLICAS), draw(st.integers(0, 4))
    counts = st.builds(Portion, st.integers(0, replicas)) | st.builds(
        Portion, st.integers(0, 100), st.just(True)
    )
    news = sorted(
        draw(st.lists(counts, min_size=length, max_size=length)),
        key=lambda it: it.amount * (replicas if it.percent else 100),
    )
    shares = sorted(draw(st.lists(st.integers(0, 60), min_size=length, max_size=length)))
    weighted, pauses = draw(st.booleans()), st.integers(0, 300)
    steps = [
        StrategyStep(new, None, share if weighted and new.amount else None, draw(pauses))
        for new, share in zip(news, shares, strict=True)
    ]
    end = [StrategyStep(new=ALL, share=draw(st.sampled_from([None, 100])), old=draw(st.none() | counts))]
    tail = draw(st.sampled_from([[StrategyStep(surge=draw(st.integers(1, 4)))], end]))
    keeps = tail is end and end[0].old is None
    strategy = Strategy("any", (*steps, *tail), watch=draw(pauses) if keeps else 0)
    assume(not list(faults(strategy, "any", {replicas})))
    return strategy, replicas


@st.composite
def stopping(draw: st.DrawFn) -> tuple[Strategy, int, int]:
    """A strategy that stops first, its replicas, and how many of them it stops at once."""
    replicas, width = draw(REPLICAS), draw(st.integers(1, 5))
    return Strategy("any", (StrategyStep(stop_first=width),)), replicas, width


def observed(most: int) -> st.SearchStrategy[Pools]:
    return st.builds(Pools, st.integers(0, most), st.integers(0, most), SHARES)


def ended(planned: list[Stage], strategy: Strategy, replicas: int) -> bool:
    last = planned[-1]
    warm = replicas if strategy.watch else 0
    return last.new == replicas and last.old in (0, warm) and last.share == 100


# --- the built-in strategies, in full


def test_rolling_replaces_one_at_a_time():
    assert stages(ROLLING, 3) == [Stage(1, 2, None), Stage(2, 1, None), Stage(3, 0, 100)]


def test_blue_green_keeps_the_old_pool_whole_and_warm():
    assert stages(BLUE_GREEN, 3) == [Stage(3, 3, 10, 30), Stage(3, 3, 50, 30), Stage(3, 3, 100)]


def test_canary_grows():
    grown = [Stage(1, 5, 5, 60), Stage(3, 5, 25, 60), Stage(5, 5, 50, 60), Stage(5, 5, 100)]
    assert stages(CANARY, 5) == grown


def test_canary_of_a_single_replica_grows_in_traffic_only():
    assert [(stage.new, stage.share) for stage in stages(CANARY, 1)] == [(1, 5), (1, 25), (1, 50), (1, 100)]


def test_recreate_stops_all_before_it_starts_any():
    assert stages(RECREATE, 2) == [Stage(0, 0, None), Stage(2, 0, 100)]


def test_stop_first_makes_room_before_it_starts_one():
    assert stages(STOP_FIRST, 2) == [
        Stage(0, 1, 0),
        Stage(1, 1, None),
        Stage(1, 0, 100),
        Stage(2, 0, 100),
    ]


# --- what a step says


def test_portions_are_rounded_towards_more_capacity():
    half = StrategyStep(new=Portion(50, percent=True), old=Portion(50, percent=True))
    assert stages(Strategy("any", (half, StrategyStep(new=ALL, old=Portion(0)))), 5)[0] == Stage(3, 2, None)


def test_the_last_step_gives_all_traffic_to_the_new_pool_unless_it_says_so_itself():
    warm = Strategy("any", (StrategyStep(new=ALL),), watch=60)
    assert stages(warm, 2) == [Stage(2, 2, 100)]


def test_an_old_pool_that_nobody_watches_is_stopped():
    assert stages(Strategy("any", (StrategyStep(new=ALL, share=100),)), 2)[-1] == settled(2)


def test_more_replicas_than_there_are_is_all_of_them():
    many = StrategyStep(new=Portion(5), share=5)
    assert stages(Strategy("any", (many, StrategyStep(surge=1))), 3)[0] == Stage(3, 3, 5)


def test_steps_that_say_the_same_are_one_of_both_their_pauses():
    step = StrategyStep(new=Portion(1), share=5, pause=10)
    assert stages(Strategy("any", (step, step, StrategyStep(surge=1))), 2)[0] == Stage(1, 2, 5, 20)


def test_a_surge_after_a_canary_goes_on_from_it():
    mixed = Strategy("any", (StrategyStep(new=Portion(2), share=5), StrategyStep(surge=2)))
    assert stages(mixed, 5) == [Stage(2, 5, 5), Stage(4, 1, None), Stage(5, 0, 100)]


@pytest.mark.parametrize("strategy", BUILT_IN.values(), ids=BUILT_IN)
def test_the_first_release_has_nothing_to_be_compared_with(strategy):
    assert stages(strategy, 3, old_replicas=0) == [Stage(3, 0, 100)]


@pytest.mark.parametrize("strategy", BUILT_IN.values(), ids=BUILT_IN)
def test_a_service_scaled_to_nothing_ends_with_nothing(strategy):
    assert stages(strategy, 0, old_replicas=3) == [Stage(0, 0, None)]


def test_a_release_may_change_the_number_of_replicas():
    assert stages(ROLLING, 4, old_replicas=2) == [
        Stage(1, 2, None),
        Stage(2, 2, None),
        Stage(3, 1, None),
        Stage(4, 0, 100),
    ]
    assert [(stage.new, stage.old) for stage in stages(CANARY, 2, old_replicas=5)] == [(1, 5)] * 2 + [
        (2, 5)
    ] * 2


# --- an interrupted run


@pytest.mark.parametrize(
    ("found", "rest"),
    [
        pytest.param(Pools(0, 5, None), [0, 1, 2, 3], id="nothing-has-happened"),
        pytest.param(Pools(1, 5, 0), [0, 1, 2, 3], id="started-but-without-traffic"),
        pytest.param(Pools(1, 5, 5), [0, 1, 2, 3], id="killed-in-a-pause-which-begins-again"),
        pytest.param(Pools(1, 3, 5), [0, 1, 2, 3], id="old-replicas-have-crashed-and-come-back"),
        pytest.param(Pools(3, 5, 25), [1, 2, 3], id="a-stage-further"),
        pytest.param(Pools(3, 5, 30), [2, 3], id="on-the-way-to-the-next"),
        pytest.param(Pools(5, 5, 100), [3], id="killed-in-the-watch-window"),
    ],
)
def test_a_canary_goes_on_from_where_it_was(found, rest):
    assert forward(found, CANARY, 5) == [stages(CANARY, 5)[index] for index in rest]


def test_replicas_started_beyond_a_stage_are_kept():
    assert forward(Pools(2, 5, 5), CANARY, 5)[0] == Stage(3, 5, 25, 60)
    assert forward(Pools(2, 5, 0), CANARY, 5)[0] == Stage(2, 5, 5, 60)


def test_an_old_pool_that_was_being_retired_is_not_started_again():
    assert forward(Pools(5, 2, 100), CANARY, 5) == [settled(5)]
    assert forward(Pools(5, 0, None), CANARY, 5) == [settled(5)]


def test_one_host_without_old_replicas_does_not_promote_a_canary():
    assert forward(Pools(1, 0, 5), CANARY, 1) == stages(CANARY, 1)


def test_a_host_without_old_replicas_does_not_promote_an_unwatched_canary_either():
    unwatched = replace(CANARY, watch=0)
    assert forward(Pools(1, 0, 5), unwatched, 1) == stages(unwatched, 1)


def test_traffic_that_went_ahead_of_its_replicas_is_no_promotion():
    assert forward(Pools(3, 3, 100), CANARY, 5) == stages(CANARY, 5)[2:]


def test_more_new_replicas_than_there_shall_be_are_a_whole_pool():
    assert forward(Pools(7, 0, 100), ROLLING, 5) == [settled(5)]


def test_new_replicas_that_stand_alone_need_nothing_of_the_old_pool_whatever_their_weight():
    assert forward(Pools(2, 0, 0), STOP_FIRST, 3) == [Stage(2, 0, 100), settled(3)]


@given(cases(), st.data())
def test_forward_ends_in_the_new_release(case, data):
    strategy, replicas = case
    assert ended(forward(data.draw(observed(replicas + 2)), strategy, replicas), strategy, replicas)


@given(cases(), st.data())
def test_forward_never_takes_capacity_away(case, data):
    strategy, replicas = case
    found = data.draw(observed(replicas + 2))
    promised = min(serving(found), replicas)
    assert all(serving(at) >= promised for at in on_the_way(found, forward(found, strategy, replicas)))


@given(cases(), st.integers(1, 12))
def test_capacity_is_the_smaller_releases_where_the_number_of_replicas_changes(case, old_replicas):
    strategy, replicas = case
    start = Pools(0, old_replicas, None)
    planned = stages(strategy, replicas, old_replicas)
    assert all(serving(at) >= min(replicas, old_replicas) for at in on_the_way(start, planned))
    assert (planned[-1].new, planned[-1].old in (0, old_replicas)) == (replicas, True)


@given(cases(), st.data())
def test_new_replicas_only_come_and_old_ones_go_once_they_are_whole(case, data):
    strategy, replicas = case
    found = data.draw(observed(replicas))
    planned = forward(found, strategy, replicas)
    assert planned[0].new >= found.new
    assert all(here.new <= after.new and here.old >= after.old for here, after in pairwise(planned))
    assert all(there(stage) <= 2 * replicas for stage in planned)


@given(cases(), st.data())
def test_an_interrupted_run_ends_as_the_whole_one(case, data):
    strategy, replicas = case
    planned = stages(strategy, replicas)
    reached = data.draw(st.integers(0, len(planned) - 1))
    at = planned[reached]
    rest = forward(Pools(at.new, at.old, at.share), strategy, replicas)
    assert rest == planned[reached:]


@given(cases(), st.data())
def test_forward_may_be_interrupted_as_often_as_it_likes(case, data):
    strategy, replicas = case
    rest = forward(data.draw(observed(replicas)), strategy, replicas)
    while len(rest) > 1:
        again = forward(Pools(rest[0].new, rest[0].old, rest[0].share), strategy, replicas)
        assert states(again) == states(rest)[-len(again) :]
        rest = again[1:] if len(again) == len(rest) else again
    assert ended(rest, strategy, replicas)


# --- back


def test_back_has_the_old_pool_whole_before_traffic_returns_to_it():
    assert back(Pools(2, 1, None), 3) == [Stage(2, 3, None), Stage(2, 3, 0), Stage(0, 3, 0)]


def test_back_is_a_matter_of_weights_while_the_old_pool_is_warm():
    assert back(Pools(3, 3, 100), 3) == [Stage(3, 3, 0), Stage(0, 3, 0)]


def test_back_from_nowhere_has_nothing_to_do():
    assert back(Pools(0, 3, None), 3) == [Stage(0, 3, 0)]


@given(REPLICAS, st.data())
def test_back_ends_in_the_old_release_without_losing_capacity(replicas, data):
    found = data.draw(observed(replicas + 2))
    planned = back(found, replicas)
    assert planned[-1] == Stage(0, replicas, 0)
    promised = min(serving(found), replicas)
    assert all(serving(at) >= promised for at in on_the_way(found, planned))
    assert all(here.new >= after.new and here.old <= after.old for here, after in pairwise(planned))


@given(cases(), st.data())
def test_every_stage_can_be_taken_back(case, data):
    strategy, replicas = case
    at = data.draw(st.sampled_from(stages(strategy, replicas)))
    planned = back(Pools(at.new, at.old, at.share), replicas, strategy)
    assert planned == back(Pools(at.new, at.old, at.share), replicas)
    assert planned[-1] == Stage(0, replicas, 0)


# --- strategies that stop first


@given(stopping(), st.data())
def test_stopping_first_never_has_more_than_there_may_be(case, data):
    strategy, replicas, _ = case
    found = data.draw(observed(replicas).filter(lambda it: there(it) <= replicas))
    for planned in (forward(found, strategy, replicas), back(found, replicas, strategy)):
        assert all(there(at) <= replicas for at in on_the_way(found, planned))
    assert ended(forward(found, strategy, replicas), strategy, replicas)
    assert back(found, replicas, strategy)[-1] == Stage(0, replicas, 0)


@given(stopping(), st.data())
def test_stopping_first_stops_no_more_at_once_than_it_says(case, data):
    strategy, replicas, width = case
    planned = stages(strategy, replicas)
    assert all(there(stage) >= replicas - width for stage in planned)
    at = data.draw(st.sampled_from(planned))
    home = back(Pools(at.new, at.old, at.share), replicas, strategy)
    assert all(there(stage) >= min(there(at), replicas - width) for stage in home)


@given(stopping())
def test_stopping_first_only_starts_or_only_stops_in_a_stage(case):
    strategy, replicas, _ = case
    way = [Stage(0, replicas, 0), *stages(strategy, replicas)]
    assert all(here.new == after.new or here.old == after.old for here, after in pairwise(way))


def test_recreate_goes_back_as_it_came():
    assert back(Pools(2, 0, 100), 2, RECREATE) == [Stage(0, 0, None), Stage(0, 2, 0)]


# --- weights


def percent(pair: tuple[int, int], new: int, old: int) -> float:
    return 100 * pair[0] * new / (pair[0] * new + pair[1] * old)


@given(st.integers(1, 99), st.integers(1, 60), st.integers(1, 60))
def test_weights_give_the_share_as_near_as_integers_can(share, new, old):
    pair = weights(share, new, old)
    assert all(1 <= weight <= 256 for weight in pair)
    lightest, heaviest = percent((1, 256), new, old), percent((256, 1), new, old)
    assert abs(percent(pair, new, old) - min(max(share, lightest), heaviest)) <= 0.5


@pytest.mark.parametrize(
    ("share", "new", "old"), [(50, 1, 1), (33, 2, 7), (1, 3, 2), (99, 1, 40), (5, 1, 150)]
)
def test_no_other_weights_would_be_nearer(share, new, old):
    every = (percent((heavy, light), new, old) for heavy in range(1, 257) for light in range(1, 257))
    nearest = min(abs(found - share) for found in every)
    assert abs(percent(weights(share, new, old), new, old) - share) == pytest.approx(nearest)


@given(st.integers(1, 99), st.integers(1, 20), st.integers(1, 20))
def test_a_share_can_be_read_back_from_its_weights(share, new, old):
    pair = weights(share, new, old)
    lightest, heaviest = round(percent((1, 256), new, old)), round(percent((256, 1), new, old))
    nearest = min(max(share, lightest), heaviest)
    assert share_of(*pair, new, old) == (None if pair[0] == pair[1] else nearest)


def test_weights_of_all_or_nothing():
    assert weights(None, 3, 1) == weights(5, 3, 0) == weights(5, 0, 3) == (100, 100)
    assert (weights(0, 3, 3), weights(100, 3, 3)) == ((0, 100), (100, 0))
    assert (weights(0, 0, 3), weights(100, 3, 0)) == ((0, 100), (100, 0))
    assert (share_of(0, 100, 3, 3), share_of(100, 0, 3, 3)) == (0, 100)
    assert share_of(0, 100, 3, 0) == 0


@pytest.mark.parametrize(
    ("share", "new", "old", "pool"), [(100, 0, 3, "new"), (0, 3, 0, "old")], ids=["forward", "back"]
)
def test_traffic_is_not_sent_to_nobody(share, new, old, pool):
    with pytest.raises(SlipwayError, match=f"to the {pool} pool, which has no replica"):
        weights(share, new, old)


# --- the plan in words


def api(replicas: int) -> Service:
    return with_service(stack(), "api", replicas=replicas).services["api"]


def told(strategy: Strategy, replicas: int) -> list[str]:
    return describe(api(replicas), strategy, stages(strategy, replicas))


def test_a_canary_in_words():
    assert told(CANARY, 3) == [
        "api: start 1 of 3 new replicas on each host, 5 % of the traffic, judge for 1 min",
        "api: start 1 more of 3 new replicas on each host, 25 % of the traffic, judge for 1 min",
        "api: start 1 more of 3 new replicas on each host, 50 % of the traffic, judge for 1 min",
        "api: all traffic to the new replicas",
        "api: watch for 5 min, then stop all 3 old replicas on each host",
    ]


def test_rolling_in_words():
    assert told(ROLLING, 2) == [
        "api: start 1 of 2 new replicas on each host, the same traffic for every replica, "
        "stop 1 of 2 old replicas on each host",
        "api: start 1 more of 2 new replicas on each host, stop the old replica on each host",
    ]


def test_stopping_first_in_words():
    assert told(STOP_FIRST, 1) == [
        "api: stop the old replica on each host (1 at a time)",
        "api: start the new replica on each host (1 at a time)",
    ]


def test_the_way_back_in_words():
    found = Pools(2, 1, 90)
    assert describe(api(2), ROLLING, back(found, 2), found) == [
        "api: start 1 more of 2 old replicas on each host, 90 % of the traffic to the new replicas",
        "api: no traffic to the new replicas",
        "api: stop all 2 new replicas on each host",
    ]


def test_nobody_watches_what_has_no_old_pool_left():
    assert describe(api(2), CANARY, [settled(2)], Pools(2, 1, 100)) == [
        "api: stop the old replica on each host"
    ]


def test_nothing_to_do_in_words():
    assert describe(api(2), ROLLING, [settled(2)], Pools(2, 0, 100)) == ["api: nothing to do"]
