"""Strategies and gates are read from the stack; every fault is named with its step and a remedy."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.strategy_rules import faults
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.kinds import latency
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import (
    GateQuery,
    Gates,
    Portion,
    Strategy,
    StrategyStep,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import (
    BUILT_IN,
    known_strategies,
    stops_first,
)

CAREFUL = {
    "steps": [
        {"new": 1, "share": 5, "pause": "2m"},
        {"new": "50%", "share": 25, "pause": "5m"},
        {"new": "100%", "share": 100},
    ],
    "watch": "10m",
}


def with_steps(definition: dict[str, Any], steps: list[Any], replicas: int = 3, **more: Any) -> Any:
    definition["strategies"] = {"own": {"steps": steps, **more}}
    definition["services"]["web"] |= {"strategy": "own", "replicas": replicas}
    return definition


def complaints(definition: Any, hosts: Any) -> list[str]:
    try:
        parse_stack(definition, hosts)
    except InvalidInputError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_strategy_of_the_users_own(definition, hosts):
    definition["strategies"] = {"careful": CAREFUL | {"inconclusive": "rollback", "batch": 2}}
    definition["services"]["web"]["strategy"] = "careful"
    stack = parse_stack(definition, hosts)
    assert stack.services["web"].strategy == Strategy(
        "careful",
        (
            StrategyStep(new=Portion(1), share=5, pause=120),
            StrategyStep(new=Portion(50, percent=True), share=25, pause=300),
            StrategyStep(new=Portion(100, percent=True), share=100),
        ),
        watch=600,
        inconclusive="rollback",
        batch=2,
    )
    assert stack.strategies == {"careful": stack.services["web"].strategy}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_strategy_is_chosen_by_its_name(definition, hosts, name):
    definition["services"]["web"]["strategy"] = name
    assert parse_stack(definition, hosts).services["web"].strategy == BUILT_IN[name]


def test_a_service_rolls_unless_it_says_otherwise(definition, hosts):
    service = parse_stack(definition, hosts).services["web"]
    assert service.strategy == BUILT_IN["rolling"]
    assert service.gates == Gates(2.0, 1.0, 2000, 5000, 2.0, 50, (), 90.0, 1800)


def test_the_time_of_a_websocket_is_not_judged_unless_it_is_asked_for(definition, hosts):
    definition["services"]["web"] |= {"protocol": "websocket", "gates": {"p99": "300ms"}}
    gates = parse_stack(definition, hosts).services["web"].gates
    assert (gates.errors, gates.p95, gates.p99, gates.slower_than_old) == (2.0, None, 300, None)


def test_gates_of_the_users_own(definition, hosts):
    query = {"name": "checkout", "query": 'sum(rate(x{pool="$pool",s="$service",p=~"a$"}[1m]))', "max": 0.01}
    definition["services"]["web"]["gates"] = {"errors": 0.5, "p95": "800ms", "queries": [query]}
    gates = parse_stack(definition, hosts).services["web"].gates
    assert (gates.errors, gates.p95, gates.p99) == (0.5, 800, 5000)
    assert gates.queries == (GateQuery("checkout", query["query"], 0.01),)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("replicas", range(1, 51))
def test_built_in_strategies_keep_the_rules_themselves(name, replicas):
    assert list(faults(BUILT_IN[name], name, {replicas})) == []


def test_what_stops_first():
    assert {name for name, it in BUILT_IN.items() if stops_first(it)} == {"recreate", "stop_first"}


def test_the_name_of_a_built_in_strategy_stays_its_own():
    own = Strategy("canary", (StrategyStep(surge=1),))
    assert known_strategies({"canary": own})["canary"] == BUILT_IN["canary"]


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("5ms", 5), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000)]
)
def test_a_latency_in_milliseconds(text, milliseconds):
    assert latency("1ms", "24h").parse(text) == milliseconds


SOUND = [
    pytest.param([{"surge": 2}], 5, {}, id="a-wider-roll"),
    pytest.param([{"stop_first": 2}], 5, {}, id="a-wider-stop-first"),
    pytest.param([{"new": 1, "share": 0, "pause": "1m"}, {"surge": 1}], 3, {}, id="a-probe-before-any-user"),
    pytest.param([{"new": 1, "share": 5}, {"surge": 1}], 3, {}, id="a-canary-that-rolls-on"),
    pytest.param([{"old": 0, "pause": "5s"}, {"new": "100%"}], 3, {}, id="a-recreation"),
    pytest.param(
        [{"new": "50%", "old": "50%"}, {"new": "100%", "old": 0}], 5, {}, id="halves-of-an-odd-number"
    ),
    pytest.param([{"new": "100%"}], 3, {"watch": "1m"}, id="everything-at-once-and-watched"),
    pytest.param([{"new": "100%", "share": 80}, {"pause": "1m"}], 3, {}, id="an-end-that-needs-no-share"),
    pytest.param([{"new": 2, "share": 9}, {"new": "50%", "share": 9}, {"surge": 1}], 4, {}, id="mixed-units"),
]


@pytest.mark.parametrize(("steps", "replicas", "more"), SOUND)
def test_a_sound_strategy_is_accepted(definition, hosts, steps, replicas, more):
    assert complaints(with_steps(definition, steps, replicas, **more), hosts) == []


END = {"new": "100%", "share": 100}
OWN = "stack/strategies/own"
FAULTS = [
    (
        "no-steps",
        [],
        {},
        f"{OWN}/steps: is an empty list",
    ),
    (
        "a-step-that-says-nothing",
        [{}, END],
        {},
        f"{OWN}/steps/0: says nothing. Write what shall be true after it",
    ),
    ("a-misspelt-key", [{"nwe": 1}, END], {}, f"{OWN}/steps/0/nwe: is not a known key. Did you mean new?"),
    ("a-count-that-is-none", [{"new": "1/2"}, END], {}, 'steps/0/new: is "1/2", not a number of replicas'),
    ("more-than-everything", [{"new": "101%"}, END], {}, 'steps/0/new: is "101%", not a number of'),
    ("more-than-there-can-be", [{"new": 51}, END], {}, "steps/0/new: is 51, not a number of replicas from 0"),
    ("a-true-count", [{"new": True}, END], {}, "steps/0/new: is true, not a number of"),
    ("too-large-a-share", [{"new": 1, "share": 101}, END], {}, "steps/0/share: is 101, out of range"),
    ("a-pause-in-nothing", [{"new": 1, "pause": 5}, END], {}, "steps/0/pause: is 5, not a duration"),
    ("an-unknown-policy", [END], {"inconclusive": "procede"}, "own/inconclusive: is"),
    (
        "a-surge-with-a-share",
        [{"surge": 1, "share": 5}],
        {},
        f"{OWN}/steps/0: has surge and share, but surge stands alone. Make two steps of them.",
    ),
    (
        "a-stop-with-a-pause",
        [{"stop_first": 1, "pause": "5s"}],
        {},
        "has stop_first and pause, but stop_first stands alone",
    ),
    ("a-surge-that-stops-first", [{"stop_first": 1, "surge": 1}], {}, "has surge and stop_first, but surge"),
    (
        "new-replicas-that-go",
        [{"new": 2, "share": 5}, {"new": 1, "share": 10}, END],
        {},
        f"{OWN}/steps/1/new: is 1 of 3 replicas, fewer than the 2 before. Write 2 or more",
    ),
    (
        "new-replicas-that-go-in-another-unit",
        [{"new": 3, "share": 5}, {"new": "50%", "share": 10}, END],
        {},
        f"{OWN}/steps/1/new: is 2 of 3 replicas, fewer than the 3 before",
    ),
    (
        "old-replicas-that-come",
        [{"new": 3, "old": 1}, {"old": 2}, END],
        {},
        f"{OWN}/steps/1/old: is 2 of 3 replicas, more than the 1 before. Write 1 or less",
    ),
    (
        "a-share-that-shrinks",
        [{"new": 1, "share": 20}, {"new": 2, "share": 10}, END],
        {},
        f"{OWN}/steps/1/share: is 10: less than the 20 before. Write 20 or more",
    ),
    (
        "a-share-that-shrinks-unsaid",
        [{"new": 1, "share": 60}, {"new": 2}, END],
        {},
        f"{OWN}/steps/1/share: is 40, since every replica gets the same: less than the 60 before",
    ),
    (
        "a-share-that-shrinks-in-a-surge",
        [{"new": 1, "share": 80}, {"surge": 1}],
        {},
        f"{OWN}/steps/1/share: is 66.7, since every replica gets the same: less than the 80 before",
    ),
    (
        "a-share-for-nobody",
        [{"share": 5}, END],
        {},
        f"{OWN}/steps/0/share: is 5, but no new replica is there to take it. Write new: 1 or more",
    ),
    (
        "a-share-that-leaves-traffic-to-nobody",
        [{"new": "100%", "old": 0, "share": 50}, END],
        {},
        f"{OWN}/steps/0/share: is 50, but no old replica is left to take the rest",
    ),
    (
        "too-few-are-left",
        [{"new": 1, "old": 1}, END],
        {},
        f"{OWN}/steps/0: leaves 2 of 3 replicas with traffic. Keep more with old",
    ),
    (
        "too-few-get-traffic",
        [{"new": 1, "share": 100}, END],
        {},
        f"{OWN}/steps/0: leaves 1 of 3 replicas with traffic",
    ),
    (
        "too-few-while-the-new-ones-wait",
        [{"new": 2, "old": 1, "share": 0}, END],
        {},
        f"{OWN}/steps/0: leaves 1 of 3 replicas with traffic",
    ),
    (
        "an-end-that-is-none",
        [{"new": "50%", "share": 50}],
        {},
        f"{OWN}/steps/0/new: the last step does not end with the new pool whole. Write new: 100%.",
    ),
    (
        "an-end-that-is-none-and-says-nothing-of-traffic",
        [{"new": "50%"}],
        {},
        "steps/0/new: the last step does not end with the new pool whole",
    ),
    (
        "an-end-that-leaves-the-pool-as-it-was",
        [{"new": 1, "share": 5}, {"share": 50}],
        {},
        f"{OWN}/steps/1/new: the last step does not end with the new pool whole",
    ),
    (
        "an-end-that-is-whole-by-chance",
        [{"new": 3, "share": 100}],
        {},
        "steps/0/new: the last step does not end with the new pool whole",
    ),
    (
        "an-end-with-half-the-traffic",
        [{"new": "100%", "share": 50}],
        {},
        f"{OWN}/steps/0/share: is 50, but after the last step the new release serves alone. Write 100",
    ),
    (
        "nothing-to-go-back-to",
        [{"new": "100%", "old": "50%", "share": 100}],
        {"watch": "1m"},
        f"{OWN}/watch: needs the old pool whole to go back to, but 1 of 3 replicas are left of it. Remove",
    ),
    ("a-roll-that-is-watched", [{"surge": 1}], {"watch": "1m"}, "watch: needs the old pool whole to go back"),
]


@pytest.mark.parametrize(("steps", "more", "expected"), [pytest.param(*it[1:], id=it[0]) for it in FAULTS])
def test_a_fault_is_named_once_with_its_step(definition, hosts, steps, more, expected):
    (found,) = complaints(with_steps(definition, steps, **more), hosts)
    assert expected in found


def test_a_strategy_that_nobody_uses_is_judged_too(definition, hosts):
    definition["strategies"] = {"own": {"steps": [{"new": "80%"}, {"new": "70%"}, END]}}
    (found,) = complaints(definition, hosts)
    assert found.startswith(f"{OWN}/steps/1/new: is 70 of 100 replicas, fewer than the 80 before")


def test_a_strategy_is_judged_with_the_replicas_of_every_service_that_uses_it(definition, hosts):
    with_steps(definition, [{"new": 2, "share": 5}, {"new": "50%", "share": 10}, END], replicas=4)
    assert complaints(definition, hosts) == []
    definition["services"]["other"] = definition["services"]["web"] | {"replicas": 2, "route": {"path": "/o"}}
    (found,) = complaints(definition, hosts)
    assert f"{OWN}/steps/1/new: is 1 of 2 replicas, fewer than the 2 before" in found


def test_a_built_in_name_cannot_be_taken(definition, hosts):
    definition["strategies"] = {"canary": CAREFUL}
    assert complaints(definition, hosts) == [
        "stack/strategies/canary: is built in and cannot be redefined. "
        "Give yours another name, for example my-canary."
    ]


def test_an_unknown_strategy(definition, hosts):
    definition["strategies"] = {"careful": CAREFUL}
    definition["services"]["web"]["strategy"] = "carefull"
    assert complaints(definition, hosts) == [
        "stack/services/web/strategy: carefull is not a strategy. Did you mean careful? Known here: "
        "blue_green, canary, careful, recreate, rolling, stop_first; declare your own under stack/strategies."
    ]


GATE_FAULTS = [
    ("a-duration-in-nothing", {"p95": 2}, "gates/p95: is 2, not a duration with a unit"),
    ("no-time-at-all", {"p99": "0ms"}, 'gates/p99: is "0ms", out of range'),
    ("more-errors-than-requests", {"errors": 101}, "gates/errors: is 101, out of range"),
    ("a-faster-release-only", {"slower_than_old": 0.5}, "gates/slower_than_old: is 0.5, out of range"),
    ("a-misspelt-gate", {"p96": "1s"}, "gates/p96: is not a known key. Did you mean p9"),
    ("a-query-without-limit", {"queries": [{"name": "q", "query": "up"}]}, "gates/queries/0/max: is missing"),
    (
        "a-query-that-is-empty",
        {"queries": [{"name": "q", "query": " ", "max": 1}]},
        "gates/queries/0/query: is",
    ),
    (
        "a-name-twice",
        {"queries": [{"name": "q", "query": "up", "max": 1}] * 2},
        "gates/queries/1/name: q is the name of an earlier query",
    ),
    (
        "a-variable-nobody-replaces",
        {"queries": [{"name": "q", "query": 'up{pool="$pol"}', "max": 1}]},
        "gates/queries/0/query: $pol is replaced by nothing. Did you mean pool?",
    ),
]


@pytest.mark.parametrize(("gates", "expected"), [pytest.param(*it[1:], id=it[0]) for it in GATE_FAULTS])
def test_a_fault_in_a_gate_is_named_once(definition, hosts, gates, expected):
    definition["services"]["web"]["gates"] = gates
    (found,) = complaints(definition, hosts)
    assert f"stack/services/web/{expected}" in found
