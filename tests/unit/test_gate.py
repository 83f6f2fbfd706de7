"""A gate ends at once when something is clearly wrong, else at the end of its time, and says why."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, replace
from functools import partial

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.gate import gatekeeping
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.gatekeeping import (
    Judged,
    Watched,
    watch,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.judging import Sample, judge
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.memory_watch import (
    LIMIT,
    USED,
    WRITTEN,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.server_watch import Alarm
from ansible_collections.slipway.compose.plugins.module_utils._core.prometheus import Prometheus
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import (
    GateQuery,
    Gates,
)
from ansible_collections.slipway.compose.plugins.modules import gate
from prometheus_server import World, served

GATES = Gates(2, 100, None, None, None, 20, ())
API = Watched("api", "green", "blue", GATES, (), (), "proceed")
ALARM = Alarm("api", "servers", "api-green-1.h1 is down on every router", "Read its logs")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def judged(requests, failed):
    sample = Sample(requests, failed)
    return Judged(judge(sample, None, GATES, {}), sample, None, Sample(0, 0))


def held(seconds, measured, looks=(), api=API):
    """The outcome where measurements follow one another, and the last one is for ever."""
    clock, answers = Clock(), list(measured)

    def measure():
        return {"api": answers.pop(0) if len(answers) > 1 else answers[0]}

    return watch([api], measure, looks, seconds, clock=clock, sleep=clock.sleep)


def test_a_good_pool_is_judged_to_the_end_of_the_time():
    outcome = held(30, [judged(0, 0), judged(100, 1)])
    assert (outcome.verdict, outcome.seconds, outcome.refused) == ("pass", 30, ())


def test_a_clear_failure_ends_it_at_once():
    outcome = held(30, [judged(0, 0), judged(3, 0), judged(6, 3)])
    assert (outcome.verdict, outcome.seconds) == ("fail", 2)
    assert outcome.refused == (
        "api (green) failed its gate errors: 3 of 6 requests failed (50 %), limit 2 % "
        "(6 of at least 20 requests)",
    )
    assert "api-green-*" in outcome.remedy


def test_what_may_be_chance_is_judged_at_the_end():
    outcome = held(30, [judged(100, 3)])
    assert (outcome.verdict, outcome.seconds) == ("fail", 30)
    assert held(30, [judged(100, 3)] * 20 + [judged(200, 3)]).verdict == "pass"


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        ("proceed", ()),
        (
            "rollback",
            (
                "api (green) could not be judged: errors: 0 of 3 requests failed, limit 2 % "
                "(3 of at least 20 requests)",
            ),
        ),
    ],
)
def test_an_inconclusive_verdict_is_left_to_the_strategy(policy, refused):
    outcome = held(5, [judged(3, 0)], api=replace(API, inconclusive=policy))
    assert (outcome.verdict, outcome.refused) == ("inconclusive", refused)


def test_an_alarm_ends_it_at_once_whoever_gives_it():
    looked = []

    def probe():
        looked.append(1)
        return [ALARM] if len(looked) == 4 else []

    outcome = held(30, [judged(100, 0)], [probe, lambda: []])
    assert (outcome.verdict, outcome.seconds) == ("fail", 3)
    assert outcome.refused == ("api: api-green-1.h1 is down on every router",)
    assert outcome.remedy == "Read its logs"


def test_no_time_is_one_look():
    assert held(0, [judged(100, 0)]).seconds == 0
    assert held(0, [judged(100, 0)], [lambda: [ALARM]]).verdict == "fail"


def test_a_single_look_that_alarms_is_repeated_until_it_is_certain():
    once = iter([[ALARM]])
    late = held(0, [judged(100, 0)], [lambda: next(once, [])])
    assert (late.verdict, late.seconds) == ("pass", 1)
    lasting = held(0, [judged(100, 0)], [lambda: [ALARM]])
    assert (lasting.verdict, lasting.seconds) == ("fail", gatekeeping.CERTAIN)
    clock, answers = Clock(), iter([[ALARM]])

    def slow():
        clock.sleep(5)  # a router that does not answer takes longer than CERTAIN to say so
        return next(answers, [])

    judgement = {"api": judged(100, 0)}
    assert watch([API], lambda: judgement, [slow], 0, clock=clock, sleep=clock.sleep).verdict == "pass"
    broken = held(0, [judged(100, 60)], [lambda: [ALARM]])
    assert (broken.verdict, broken.seconds) == ("fail", 0), "what is clear needs no second look"


def test_looks_and_measurements_run_side_by_side():
    meet = threading.Barrier(3, timeout=60)
    looks = [lambda: meet.wait() and [] or []] * 2
    outcome = watch([API], lambda: meet.wait() * 0 or {"api": judged(100, 0)}, looks, 0)
    assert outcome.verdict == "pass"


def test_a_bug_in_a_look_is_not_swallowed():
    def broken():
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        held(0, [judged(1, 0)], [broken])


# The module, with a Prometheus that speaks HTTP.


@pytest.fixture
def call(capsys, monkeypatch):
    # On a machine that stalls Prometheus answers late, and is not to be judged by that.
    monkeypatch.setattr(gate, "Prometheus", partial(Prometheus, deadline=60))

    def call(services, port, **more):
        arguments = {"services": services, "prometheus": {"host": "127.0.0.1", "port": port}, **more}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            gate.main()
        return json.loads(capsys.readouterr().out)

    return call


def api(**more):
    gates = replace(GATES, **more)
    return {"api": {**asdict(replace(API, gates=gates)), "gates": asdict(gates)}}


class Live(World):
    """A world whose clock is the real one: what it counts is scraped whenever it is asked."""

    def __init__(self, traffic):
        super().__init__("edge-1", start=time.time() - 30)
        self._traffic = traffic
        self._lock = threading.Lock()
        self.scrape()

    def answer(self, query):
        with self._lock:
            if not self.values.get(query):
                self._traffic(self.edges["edge-1"])
                self.scrape(max(time.time() - self.now, 0.001))
            return super().answer(query)


def test_a_good_pool_passes_with_its_numbers(call, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(gate, "watch", partial(watch, clock=clock, sleep=clock.sleep))

    def traffic(edge):
        for _ in range(20):
            edge.answer("api", "green")
        edge.answer("api", "blue", seconds=0.5)
        edge.answer("api", "", "4xx")

    with served(Live(traffic).answer) as port:
        result = call(api(p95=2000), port, seconds=2)
    assert not result.get("failed") and not result["changed"]
    assert result["verdict"] == "pass" and result["seconds"] == 2
    told = result["services"]["api"]
    assert told["new"]["requests"] >= 40 and told["new"]["errors"] == 0
    assert told["new"]["p95"] == pytest.approx(0.0955)
    assert told["old"]["requests"] >= 2 and told["unanswered"]["requests"] >= 2
    assert [(one["gate"], one["verdict"]) for one in told["findings"]] == [
        ("errors", "pass"),
        ("p95", "pass"),
    ]
    assert result["lines"][0].startswith("api errors: pass, 0 of ")


def test_a_bad_pool_is_refused_at_once_with_problem_and_remedy(call):
    def traffic(edge):
        edge.answer("api", "green", "5xx")
        edge.answer("api", "blue")

    with served(Live(traffic).answer) as port:
        result = call(api(), port, seconds=600)
    assert result["seconds"] < 600
    assert result["failed"] and result["verdict"] == "fail"
    assert result["problem"].startswith("api (green) failed its gate errors: ")
    assert "limit 2 %" in result["problem"] and "api-green-*" in result["remedy"]
    assert result["services"]["api"]["findings"][0]["clear"]


def test_without_a_prometheus_nothing_can_be_judged(call):
    with served(lambda _: (503, b"")) as port:
        result = call(api(), port, seconds=0.5)
    assert result["verdict"] == "inconclusive" and not result.get("failed")
    assert any("refuses" in line for line in result["lines"])


def test_queries_are_asked_for_the_service_and_its_pool(call):
    mine = GateQuery("queue", 'queue{service="$service",pool="$pool"}', 10.0)
    world = World("edge-1")
    world.values = {'queue{service="api",pool="green"}': [{"metric": {}, "value": [1, "11"]}]}
    with served(world.answer) as port:
        result = call(api(queries=(mine,)), port)
    assert result["failed"]
    assert result["problem"] == "api (green) failed its gate query queue: queue is 11, limit 10"
    assert [one["gate"] for one in result["services"]["api"]["findings"]] == ["query queue"]


def test_memory_is_judged_of_a_service_that_exports_nothing(call):
    def answer(query):
        if query == WRITTEN:
            now = time.time()
            return {"resultType": "vector", "result": [{"metric": {"host": "h1"}, "value": [now, str(now)]}]}
        if USED not in query:
            return {"resultType": "vector", "result": []}
        own = {"host": "h1", "service": "api", "pool": "green", "replica": "api-green-1"}
        told = [({**own, "__name__": USED}, "95"), ({**own, "__name__": LIMIT}, "100")]
        series = [{"metric": labels, "values": [[time.time(), value]]} for labels, value in told]
        return {"resultType": "matrix", "result": series}

    with served(answer) as port:
        result = call(api(errors=100, memory=90), port)
    assert result["failed"]
    assert result["problem"] == (
        "api (green) failed its gate memory: api-green-1 on h1 uses 95 % of its 100 B, limit 90 %"
    )


def test_a_query_that_prometheus_refuses_is_inconclusive_and_said(call):
    with served(lambda _: (400, b'{"status":"error","error":"parse error"}')) as port:
        result = call(api(queries=(GateQuery("queue", "sum(", 10.0),)), port)
    assert result["verdict"] == "inconclusive"
    assert any("refuses `sum(`: parse error" in line for line in result["lines"])


def test_a_stack_without_prometheus_says_what_to_write(call, capsys):
    with patch_module_args({"services": api()}), pytest.raises(SystemExit):
        gate.main()
    result = json.loads(capsys.readouterr().out)
    assert "stack.components.monitoring" in result["remedy"]


def test_check_mode_asks_nothing(call):
    def forbidden(query):
        raise AssertionError(query)

    with served(forbidden) as port:
        result = call(api(), port, seconds=60, _ansible_check_mode=True)
    assert (result["verdict"], result["services"]) == ("skipped", {})


def test_a_judgement_that_lacks_numbers_is_still_a_failure_but_no_pass():
    bad, good = judged(50, 30).judgement, judged(50, 0).judgement
    assert gatekeeping.doubted(bad, ["Prometheus is gone"]).verdict == "fail"
    assert gatekeeping.doubted(good, ["Prometheus is gone"]).verdict == "inconclusive"
    assert gatekeeping.doubted(good, []) is good


def test_an_edge_that_is_not_counted_is_mentioned():
    found = gatekeeping.noted(judged(50, 0).judgement, ["edge-2"])
    assert found.verdict == "pass"
    assert found.findings[-1].sentence == "requests through edge-2 are not counted"
