"""A pool that fills its memory is found while there is time, and one that only warms up is left alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.memory_gate import Use, judge_memory
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.memory_watch import (
    LIMIT,
    USED,
    WRITTEN,
    MemoryWatch,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.prometheus import Series
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import Gates

MIB = 1024**2
GATES = Gates(100, 100, None, None, None, 20, (), memory=90, memory_lasts=1800)
FULL = 256


def use(shape, seconds=60, replica="api-green-1 on h1"):
    """A replica read every 5 s, whose megabytes are a function of time."""
    return Use(replica, FULL * MIB, tuple((at, shape(at) * MIB) for at in range(0, seconds + 1, 5)))


def steady(amount):
    return use(lambda _: amount)


def leak(rate, begin=40, seconds=60):
    return use(lambda at: begin + rate * at, seconds)


def judged(new, old=(), gates=GATES, seconds=60):
    return [(one.gate, one.verdict, one.clear) for one in judge_memory(new, old, gates, seconds)]


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param([steady(60)], [steady(60)], ("pass", False), id="as-before"),
        pytest.param([steady(60), steady(250)], [steady(60)], ("fail", True), id="the-fullest-one-counts"),
        pytest.param([steady(240)], [steady(245)], ("pass", False), id="no-fuller-than-the-old-pool"),
        pytest.param([steady(240)], [], ("fail", True), id="nothing-to-compare-with"),
        pytest.param(
            [use(lambda at: 250 if at == 60 else 60)], [], ("fail", False), id="a-peak-may-pass-until-the-end"
        ),
    ],
)
def test_the_level_is_judged(new, old, expected):
    assert judged(new, old) == [("memory", *expected)]


def grown(new, old=()):
    return [finding for finding in judge_memory(new, old, GATES, 60) if finding.gate == "memory_lasts"]


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param([leak(1)], [steady(45)], id="it-outgrows-the-old-pool"),
        pytest.param([steady(45), leak(1)], [steady(45)], id="one-of-two"),
        pytest.param([use(lambda at: 40 + at + 3 * math.sin(at))], [steady(45)], id="not-quite-straight"),
        pytest.param([leak(1)], [], id="nothing-to-compare-with"),
    ],
)
def test_a_leak_is_clear_once_it_has_lasted(new, old):
    (finding,) = grown(new, old)
    assert (finding.verdict, finding.clear) == ("fail", True)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param([leak(1, seconds=55)], [steady(45)], id="not-long-enough"),
        pytest.param([leak(0.05, begin=60)], [steady(45)], id="so-slow-that-it-lasts"),
        pytest.param([leak(1, begin=20)], [steady(100)], id="still-smaller-than-the-old-pool"),
        pytest.param(
            [use(lambda at: 40 + 60 * (1 - math.exp(-at / 15)))], [steady(45)], id="a-cache-that-fills-up"
        ),
        pytest.param(
            [use(lambda at: 40 + 60 * (1 - math.exp(-at / 40)))], [steady(45)], id="one-that-fills-slowly"
        ),
        pytest.param([use(lambda at: 60 + 40 * (at % 20) / 20)], [steady(45)], id="saw-teeth"),
        pytest.param([leak(1, begin=60)], [leak(1, begin=50)], id="the-old-pool-grows-as-fast"),
        pytest.param([steady(60)], [steady(45)], id="no-growth"),
    ],
)
def test_growth_that_proves_nothing_is_left_alone(new, old):
    assert grown(new, old) == []


def test_a_leak_is_told_in_numbers():
    (finding,) = grown([leak(1)])
    assert finding.sentence == (
        "api-green-1 on h1 has grown by 60 MiB a minute for 60 s and uses 39 % of its 256 MiB: full in "
        "3 min, limit 30 min"
    )


def test_what_nobody_has_measured_is_inconclusive_once_it_should_have_been():
    assert judged([], seconds=10) == []
    assert judged([], seconds=15) == [("memory", "inconclusive", False)]


def test_both_can_be_switched_off():
    assert judged([leak(3)], gates=replace(GATES, memory=100, memory_lasts=0)) == []
    assert judged([], gates=replace(GATES, memory=100, memory_lasts=0)) == []
    assert judged([steady(250)], gates=replace(GATES, memory=100)) == []


# Read from Prometheus


class Store:
    """What was scraped, as Prometheus gives it out."""

    def __init__(self):
        self.now = 1000.0
        self.written = 1000.0
        self.asked = []
        self.amounts = {}
        self.away = False

    def scrape(self, later, **amounts):
        self.now += later
        self.written = self.now
        for replica, amount in amounts.items():
            self.amounts.setdefault(replica, []).append((self.now, float(amount)))

    def ask(self, query):
        if self.away:
            raise SlipwayError("Prometheus does not answer", "Start it")
        self.asked.append(query)
        if query == WRITTEN:
            return [Series({"host": "h1"}, ((self.now, self.written),))]
        found = []
        for replica, samples in self.amounts.items():
            service, pool, _ = replica.split("_")
            labels = {"host": "h1", "service": service, "pool": pool, "replica": replica.replace("_", "-")}
            found.append(Series({"__name__": USED, **labels}, tuple(samples)))
            found.append(Series({"__name__": LIMIT, **labels}, ((self.now, 100.0),)))
        return found


@pytest.fixture
def store():
    return Store()


def watch(store):
    return MemoryWatch(store.ask, ["api"], lambda: store.now)


def test_replicas_of_a_pool_are_read_since_the_gate_began(store):
    store.scrape(0, api_green_1=10)
    store.now += 1
    memory = watch(store)
    store.scrape(5, api_green_1=20, api_blue_1=50)
    memory.update()
    (use,) = memory.of("api", "green")
    assert (use.replica, use.limit, use.samples) == ("api-green-1 on h1", 100, ((1006.0, 20.0),))
    assert [one.percent for one in memory.of("api", "blue")] == [50]


def test_it_is_asked_no_more_often_than_prometheus_scrapes(store):
    memory = watch(store)
    for _ in range(10):
        memory.update()
        store.now += 1
    assert len(store.asked) == 2 * 2


def test_a_replica_that_has_gone_is_not_seen(store):
    memory = watch(store)
    store.scrape(1, api_green_1=20, api_green_2=20)
    store.scrape(30, api_green_1=20)
    memory.update()
    assert [use.replica for use in memory.of("api", "green")] == ["api-green-1 on h1"]


def test_readings_that_nobody_writes_any_more_are_not_believed(store):
    memory = watch(store)
    store.scrape(1, api_green_1=20)
    written = store.written
    store.scrape(30, api_green_1=20)
    store.written = written
    memory.update()
    assert memory.of("api", "green") == []


def test_what_was_read_is_kept_while_prometheus_is_away(store):
    memory = watch(store)
    store.scrape(1, api_green_1=20)
    memory.update()
    store.away = True
    store.now += 6
    memory.update()
    assert len(memory.of("api", "green")) == 1
