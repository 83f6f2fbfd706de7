"""Which replicas are probed with what, when in a rollout, and what the plan says of it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.checks import grpc_health
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_probe import (
    Edge,
    Probed,
    Question,
    judge,
    questions,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_probe_plan import edges, probed
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_prober import Door, EdgeProber
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet import Seen
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet_moves import plan_forward
from ansible_collections.slipway.compose.plugins.module_utils._core.release.way_back import plan_back
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import ServiceProbe
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import service, stack, with_service

HEALTH = ServiceProbe("/ready", None, None, 2000)
SEARCH = ServiceProbe("/api/journeys", 200, "journeys", 500)
HOSTS = ("a", "b", "c")
MOVING = {"api": {"new": "green", "replicas": 1}}


def told(**changes):
    return topology(with_service(stack(), "api", **{"probes": (SEARCH,), **changes}))


def web(strategy, replicas=2, probes=(HEALTH,)):
    chosen = replace(BUILT_IN[strategy], batch=0) if strategy == "stop_first" else BUILT_IN[strategy]
    return replace(service("web", "/", "http", 1, HOSTS), replicas=replicas, strategy=chosen, probes=probes)


def seen(new=0, old=2, weights=None):
    release = {"green": "r2"} if new else {}
    return {
        host: Seen(
            "blue",
            {"blue": "r1", **release},
            "image",
            {"blue": old, "green": new},
            {"blue": old, "green": new},
            weights or {"blue": 100, "green": 100},
        )
        for host in HOSTS
    }


def kinds(it, found=None):
    plan = plan_forward([it], {"web": found or seen(old=it.replicas)}, "r2")
    return [move.kind for move in plan.moves], plan


# --- when ---


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
def test_the_first_new_replicas_are_probed_while_they_have_no_traffic(strategy):
    moves, plan = kinds(web(strategy))
    assert moves[:4] == ["traffic", "start", "probe", "traffic"]
    assert moves.count("probe") == 1
    assert plan.moves[0].services == {"web": {"blue": 100, "green": 0}}
    first = {"rolling": 1, "blue_green": 2, "canary": 1}[strategy]
    assert plan.moves[2].services == {"web": {"new": "green", "old": "blue", "replicas": first}}
    assert plan.moves[2].title == "probe the new replicas of web"
    assert plan.lines[1].split(", ")[1] == "probe through every edge host"
    assert not any("probe" in line for line in plan.lines[2:])


def test_where_all_old_ones_stop_first_the_new_ones_are_probed_as_soon_as_they_run():
    moves, _plan = kinds(web("recreate"))
    assert moves[moves.index("start") + 1] == "probe"


def test_hosts_that_take_turns_probe_their_own_and_the_first_before_it_has_traffic():
    batched = replace(web("rolling"), strategy=replace(BUILT_IN["rolling"], batch=1))
    plan = plan_forward([batched], {"web": seen()}, "r2")
    probes = [move for move in plan.moves if move.kind == "probe"]
    assert [move.hosts for move in probes] == [("a",), ("b",), ("c",)]
    assert [move.kind for move in plan.moves[:4]] == ["traffic", "start", "probe", "traffic"]
    assert plan.moves[0].services["web"]["green"] == 0
    assert plan.moves[3].services["web"]["green"] == 100


def test_a_run_that_was_interrupted_probes_what_runs():
    moves, plan = kinds(web("canary"), seen(new=1, weights={"blue": 100, "green": 0}))
    assert moves.index("probe") < moves.index("traffic")
    assert "probe through every edge host" in plan.lines[1]


def test_a_service_that_is_asked_nothing_has_no_such_move():
    assert "probe" not in kinds(web("canary", probes=()))[0]


def test_the_way_back_is_not_probed():
    assert "probe" not in [move.kind for move in plan_back([web("canary")], {"web": seen(new=1)})]


# --- what ---


def test_the_replicas_that_run_are_asked_on_all_hosts():
    (found,) = probed(told(), MOVING)
    subject = Probed.from_dict(found)
    assert subject.servers == tuple(f"api-green-1.h{number}.test" for number in (1, 2, 3))
    assert (subject.probes, subject.domain, subject.grpc) == ((SEARCH,), "wayfare.test", False)


def test_hosts_that_take_turns_are_asked_alone():
    (found,) = probed(told(), MOVING, ["h2.test"])
    assert found["servers"] == ["api-green-1.h2.test"]


def test_a_release_of_another_day_is_asked_for_its_health_only():
    (found,) = probed(told(), MOVING, stored=True)
    assert Probed.from_dict(found).probes == (HEALTH,)


def test_every_edge_host_is_asked_through_and_about_itself():
    found = [Edge.from_dict(edge) for edge in edges(told())]
    assert [(it.name, it.address, it.port) for it in found] == [
        ("h1.test", "10.0.0.1", 443),
        ("h2.test", "10.0.0.2", 443),
    ]
    assert [(it.router.address, it.router.port) for it in found] == [("10.0.0.1", 9999), ("10.0.0.2", 9999)]


def test_each_known_replica_is_asked_every_question():
    (subject,) = (Probed.from_dict(one) for one in probed(told(probes=(SEARCH, HEALTH)), MOVING))
    edge = Edge.from_dict(edges(told())[0])
    asked = list(questions(edge, [subject], ["api-green-1.h1.test", "api-green-1.h3.test"]))
    assert [(it.probe.path, it.server) for it in asked] == [
        (path, f"api-green-1.h{number}.test") for path in ("/api/journeys", "/ready") for number in (1, 3)
    ]


# --- what is wrong ---


@pytest.mark.parametrize(
    ("probe", "status", "body", "fault"),
    [
        pytest.param(SEARCH, 200, b'{"journeys": []}', "", id="right"),
        pytest.param(HEALTH, 302, b"", "", id="health-may-redirect"),
        pytest.param(
            SEARCH,
            500,
            b"",
            "api (green) answered 500 to GET /api/journeys through h1.test's edge, expected 200 "
            "(replica api-green-1.h1.test)",
            id="status",
        ),
        pytest.param(
            HEALTH,
            404,
            b"not\n here",
            "api (green) answered 404 to GET /ready through h1.test's edge, expected 2xx or 3xx "
            "(replica api-green-1.h1.test; it said not here)",
            id="health",
        ),
        pytest.param(
            SEARCH,
            200,
            b"{}",
            "api (green) answered 200 to GET /api/journeys through h1.test's edge, expected "
            '"journeys" in it (replica api-green-1.h1.test; it said {})',
            id="content",
        ),
    ],
)
def test_an_answer_is_judged_in_words(probe, status, body, fault):
    (subject,) = (Probed.from_dict(one) for one in probed(told(), MOVING))
    question = Question(Edge.from_dict(edges(told())[0]), subject, "api-green-1.h1.test", probe)
    assert judge(question, status, body) == fault


class Knocking(EdgeProber):
    """Knows of every edge host's router that it takes probes and knows the replica."""

    def _door(self, edge):
        return Door(edge, "", {"api-green-1.h1.test": True})


@pytest.mark.parametrize("look", [EdgeProber.probe, lambda prober: prober.look(0)], ids=["probe", "gate"])
@pytest.mark.parametrize("to_come", [True, False])
def test_an_edge_that_the_release_has_yet_to_start_is_not_waited_for(look, to_come):
    with socket.socket() as unused:  # bound, and nobody listens
        unused.bind(("127.0.0.1", 0))
        found = edges(told(), ["h2.test"] if to_come else [])[1]
        edge = Edge.from_dict({**found, "address": "127.0.0.1", "port": unused.getsockname()[1]})
        subjects = [Probed.from_dict(one) for one in probed(told(), MOVING)]
        report = look(Knocking([edge], subjects, "secret", ssl.create_default_context()))
    assert bool(report.faults) is not to_come
    assert report.unasked == (["h2.test's edge does not run yet"] if to_come else [])


# --- what a user writes ---


def parsed(definition, hosts, **web):
    definition["services"]["web"] |= web
    return parse_stack(definition, hosts).services["web"]


def test_without_a_word_the_health_path_is_asked(definition, hosts):
    assert parsed(definition, hosts).probes == (HEALTH,)


def test_probes_have_defaults_of_their_own(definition, hosts):
    assert parsed(definition, hosts, probes=[{"path": "/"}]).probes == (ServiceProbe("/", 200, None, 2000),)
    assert parsed(definition, hosts, probes=[]).probes == ()


def test_a_service_without_a_route_is_asked_nothing(definition, hosts):
    assert parsed(definition, hosts, route=None).probes == ()


@pytest.mark.parametrize(
    ("web", "problem"),
    [
        ({"route": None, "probes": [{"path": "/"}]}, "services/web/probes: needs a route"),
        (
            {"protocol": "grpc", "health_path": "shop.Api", "probes": [{"path": "/"}]},
            "services/web/probes: cannot be chosen: a grpc service is asked for its health",
        ),
        ({"probes": [{"path": "/", "within": "1m"}]}, 'services/web/probes/0/within: is "1m", out of range'),
        ({"probes": [{"path": "ready"}]}, 'services/web/probes/0/path: is "ready", not a path'),
        ({"sticky": True, "route": None}, "services/web/sticky: is true, but the service has no route"),
        (
            {"sticky": True, "protocol": "websocket"},
            "services/web/sticky: is true, but the service speaks websocket",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(definition, hosts, web, problem):
    with pytest.raises(InvalidInputError, match=problem):
        parsed(definition, hosts, **web)


# --- gRPC through an edge ---


@pytest.mark.parametrize(
    ("block", "status"),
    [
        ("88", 200),
        ("3f0088", None),
        ("2088", 200),
        ("4803353033", 503),
        ("0803343231", 421),
        ("40", None),
        ("", None),
    ],
)
def test_an_http_status_is_read_where_servers_write_it(block, status):
    assert grpc_health.http_status(bytes.fromhex(block)) == status


def test_through_an_edge_the_call_has_its_own_path_and_headers():
    said = grpc_health.opening("h", "s", grpc_health.Call("/shop.Api/", secure=True, headers={"X-A": "b"}))
    assert b"\x83\x87" in said and b"\x05:path\x0a/shop.Api/" in said and b"\x03x-a\x01b" in said
