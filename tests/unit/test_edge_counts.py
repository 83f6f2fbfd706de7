"""Requests are counted exactly: few of them, on several edge hosts, over restarts and gaps."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_counts import EdgeCounts
from hypothesis import given
from hypothesis import strategies as st
from prometheus_server import World


def begun(*hosts, services=("api",)):
    """A world that was scraped for a while, and counts from now."""
    world = World(*(hosts or ("edge-1",)))
    for _ in range(3):
        world.scrape()
    return world, EdgeCounts(world.ask, services, world.now, world.clock)


def requests(counts, pool="green", service="api"):
    sample = counts.sample(service, pool)
    return sample.requests, sample.errors


def test_one_request_is_one_request():
    world, counts = begun()
    world.edges["edge-1"].answer("api", "green")
    world.scrape()
    counts.update()
    assert requests(counts) == (1, 0)
    counts.update()
    assert requests(counts) == (1, 0)


def test_what_was_before_does_not_count():
    world = World("edge-1")
    edge = world.edges["edge-1"]
    for _ in range(3):
        edge.answer("api", "green", "5xx")
        world.scrape()
    counts = EdgeCounts(world.ask, ["api"], world.now, world.clock)
    counts.update()
    edge.answer("api", "green")
    world.scrape()
    counts.update()
    assert requests(counts) == (1, 0)


def test_pools_codes_and_services_are_kept_apart():
    world, counts = begun(services=("api", "web"))
    edge = world.edges["edge-1"]
    for service, pool, code in [
        ("api", "green", "2xx"),
        ("api", "green", "5xx"),
        ("api", "green", "4xx"),
        ("api", "blue", "2xx"),
        ("api", "", "4xx"),
        ("web", "green", "5xx"),
        ("other", "green", "5xx"),
    ]:
        edge.answer(service, pool, code)
    world.scrape()
    counts.update()
    assert requests(counts) == (3, 1)
    assert requests(counts, "blue") == (1, 0)
    assert requests(counts, "") == (1, 0)
    assert requests(counts, "green", "web") == (1, 1)
    assert requests(counts, "green", "other") == (0, 0)


def test_times_are_added_up_over_the_edges():
    world, counts = begun("edge-1", "edge-2")
    for _ in range(19):
        world.edges["edge-1"].answer("api", "green", seconds=0.05)
    world.edges["edge-2"].answer("api", "green", seconds=0.5)
    world.scrape()
    counts.update()
    sample = counts.sample("api", "green")
    assert (sample.requests, sample.timed, sample.slower_than(0.1)) == (20, 20, 1)
    assert sample.p95 == pytest.approx(0.1)
    assert 0.1 < sample.p99 <= 1


def test_a_pool_without_requests_has_no_percentile():
    _, counts = begun()
    sample = counts.sample("api", "green")
    assert (sample.requests, sample.p95, sample.buckets) == (0, None, ())


def test_a_restarted_exporter_begins_anew():
    world, counts = begun()
    edge = world.edges["edge-1"]
    for _ in range(5):
        edge.answer("api", "green")
    world.scrape()
    counts.update()
    edge.restart()
    edge.answer("api", "green", "5xx")
    edge.answer("api", "green")
    world.scrape()
    counts.update()
    assert requests(counts) == (7, 1)


def test_an_edge_that_was_not_scraped_for_a_while_loses_nothing():
    world, counts = begun()
    edge = world.edges["edge-1"]
    edge.answer("api", "green")
    world.scrape()
    counts.update()
    edge.up = False
    for _ in range(5):
        edge.answer("api", "green")
        world.scrape()
        counts.update()
    assert counts.unseen() == ["edge-1"]
    assert counts.blind
    edge.up = True
    world.scrape()
    counts.update()
    assert requests(counts) == (6, 0)
    assert counts.unseen() == []


def test_an_edge_never_seen_before_brings_none_of_its_past():
    world, counts = begun()
    late = World("edge-2").edges["edge-2"]
    for _ in range(100):
        late.answer("api", "green", "5xx")
    world.edges["edge-2"] = late
    world.scrape()
    late.answer("api", "green")
    world.scrape()
    counts.update()
    assert requests(counts) == (1, 0)


def test_one_blind_edge_of_two_is_named():
    world, counts = begun("edge-1", "edge-2")
    world.edges["edge-2"].up = False
    for _ in range(4):
        world.scrape()
    counts.update()
    assert (counts.unseen(), counts.blind) == (["edge-2"], False)


def test_nothing_scraped_at_all_is_blind():
    world = World()
    counts = EdgeCounts(world.ask, ["api"], world.now, world.clock)
    counts.update()
    assert counts.blind


def test_what_was_missed_while_prometheus_was_silent_is_read_afterwards():
    world, counts = begun()
    silent = False

    def ask(query):
        if silent:
            raise SlipwayError("Prometheus does not answer", "Start it")
        return world.ask(query)

    counts = EdgeCounts(ask, ["api"], world.now, world.clock)
    counts.update()
    silent = True
    for _ in range(20):
        world.edges["edge-1"].answer("api", "green")
        world.scrape()
        with pytest.raises(SlipwayError):
            counts.update()
    silent = False
    counts.update()
    assert requests(counts) == (20, 0)


def test_counting_may_begin_in_the_past():
    world = World("edge-1")
    edge = world.edges["edge-1"]
    world.scrape()
    edge.answer("api", "green")
    world.scrape()
    since = world.now
    for _ in range(30):
        edge.answer("api", "green")
        world.scrape()
    counts = EdgeCounts(world.ask, ["api"], since, world.clock)
    counts.update()
    assert requests(counts) == (30, 0)


def test_looking_often_counts_nothing_twice():
    world, counts = begun()
    for _ in range(4):
        world.edges["edge-1"].answer("api", "green")
        world.scrape()
        counts.update()
        counts.update()
    assert requests(counts) == (4, 0)


QUIET = ["answer 1", "answer 2", "fail 1", "fail 2", "scrape", "update", "down 2", "up 2"]


def counted(events):
    """What was answered and failed on two edges, and what came of it."""
    world, counts = begun("1", "2")
    done, failed = 0, 0
    for event in events:
        what, _, host = event.partition(" ")
        if what in ("answer", "fail"):
            world.edges[host].answer("api", "green", "5xx" if what == "fail" else "2xx")
            done, failed = done + 1, failed + (what == "fail")
        elif what == "scrape":
            world.scrape()
        elif what == "update":
            counts.update()
        elif what == "restart":
            world.edges[host].restart()
        else:
            world.edges[host].up = what == "up"
    world.edges["2"].up = True
    world.scrape()
    counts.update()
    return (done, failed), requests(counts)


@given(st.lists(st.sampled_from(QUIET), max_size=60))
def test_every_request_is_counted_once_whatever_happens_between(events):
    true, seen = counted(events)
    assert seen == true


@given(st.lists(st.sampled_from([*QUIET, "restart 1", "restart 2"]), max_size=60))
def test_an_exporter_that_restarts_loses_requests_but_invents_none(events):
    true, seen = counted(events)
    assert seen[0] <= true[0] and seen[1] <= true[1]
