"""New replicas are asked through the real edge while no user is sent to them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_prober import watching
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import ServiceProbe
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import RateLimit
from real_edge import SECRET, pools_of, real_edge, until
from whole_stack import with_service

# Limits that a machine which stalls does not meet by accident.
SEARCH = ServiceProbe("/api/journeys?from=Paris", 200, "journeys", 20000)
HEALTH = ServiceProbe("/ready", None, None, 20000)
GRPC = ServiceProbe("wayfare.Journeys", None, None, 20000)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    changes = {
        "web": {"probes": (HEALTH,)},
        "api": {"probes": (SEARCH,), "rate_limit": RateLimit(30, 60)},
        "journeys": {"probes": (GRPC,)},
    }
    with real_edge(tmp_path_factory.mktemp("edge"), **changes) as running:
        yield running


@pytest.fixture
def edge(whole):
    """The green pools are new: two replicas each, and no traffic."""
    for service in ("web", "api", "journeys"):
        whole.weigh(service, blue=100, green=0)
    for replica in whole.replicas.values():
        replica.answers = {SEARCH.path: (200, '{"journeys": []}', None)}
        replica.extra, replica.serving = {}, True
        replica.seen.clear()
    whole.counted.clear()
    return whole


def green(edge, service):
    return [edge.replica(f"{service}-green-{number}") for number in (1, 2)]


def test_each_new_replica_is_asked_a_few_times_and_no_user_is_sent_there(edge):
    prober = edge.prober("api")
    report = prober.probe()
    assert (report.faults, report.unasked) == ([], [])
    assert [it.requests(SEARCH.path) for it in green(edge, "api")] == [3, 3]
    (line,) = prober.lines(report)
    assert line.startswith("api (green): 6 probes of 2 replicas through h1.test, slowest ")
    users = [edge.get("/api/x")[2] for _ in range(8)]
    assert pools_of(users) == {"blue": 8}


def test_a_health_path_outside_of_the_route_reaches_its_service(edge):
    assert edge.prober("web").probe().faults == []
    assert [it.requests("/ready") for it in green(edge, "web")] == [3, 3]


def test_only_the_first_of_more_replicas_is_asked_when_one_has_started(edge):
    edge.prober("api", count=1).probe()
    assert [it.requests(SEARCH.path) for it in green(edge, "api")] == [3, 0]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        pytest.param(
            (500, '{"error": "no such column"}', None),
            "api (green) answered 500 to GET /api/journeys?from=Paris through h1.test's edge, expected 200 "
            '(replica api-green-2.h1.test; it said {"error": "no such column"})',
            id="status",
        ),
        pytest.param(
            (200, "{}", None),
            "api (green) answered 200 to GET /api/journeys?from=Paris through h1.test's edge, expected "
            '"journeys" in it (replica api-green-2.h1.test; it said {})',
            id="content",
        ),
    ],
)
def test_a_wrong_answer_is_told_with_all_that_is_known(edge, answer, fault):
    edge.replica("api-green-2").answers[SEARCH.path] = answer
    assert edge.prober("api").probe().faults == [fault]


def test_a_late_answer_is_a_fault(edge):
    late = threading.Event()
    edge.replica("api-green-2").answers[SEARCH.path] = (200, '{"journeys": []}', late)
    hasty = with_service(edge.stack, "api", probes=(replace(SEARCH, within=3000),))
    try:
        assert replace(edge, stack=hasty).prober("api").probe().faults == [
            "api (green) did not answer GET /api/journeys?from=Paris through h1.test's edge: not within 3 s "
            "(replica api-green-2.h1.test)"
        ]
    finally:
        late.set()


def test_one_bad_answer_is_an_accident(edge):
    replica = edge.replica("api-green-1")
    flaky = iter([(500, "", None)])
    right = replica.answers

    class Once(dict):
        def get(self, path, default):
            return next(flaky, right.get(path, default))

    replica.answers = Once()
    assert edge.prober("api").probe().faults == []
    assert replica.requests(SEARCH.path) == 3


def test_another_secret_opens_nothing_and_is_not_even_sent(edge):
    report = edge.prober("api", secret="guessed").probe()
    assert report.faults == []
    assert report.unasked == ["not probed through h1.test: its router does not take probes yet"]
    assert not any(replica.seen for replica in edge.replicas.values())


@pytest.mark.parametrize("said", ["guessed", "", SECRET[:-1], f"{SECRET} "])
def test_somebody_elses_header_does_nothing(edge, said):
    status, headers, body = edge.get(
        "/api/x", X_Slipway_Probe=said, X_Slipway_Server="api/api-green-1.h1.test"
    )
    if said.strip() == SECRET:
        assert pools_of([body]) == {"green": 1}, "white space around a value is not part of it"
        return
    assert (status, pools_of([body])) == (200, {"blue": 1})
    assert not [name for name in headers if name.lower().startswith("x-slipway")]


def test_no_header_of_this_kind_reaches_a_service_or_a_user(edge):
    for replica in edge.replicas.values():
        replica.extra = {"X-Slipway-Probe": "forged", "X-Slipway-Pool": "forged", "X-Slipway-Any": "forged"}
    edge.prober("api").probe()
    _status, headers, _body = edge.get("/api/x", X_Slipway_Anything="mine", X_Slipway_Probe="mine")
    assert not [name for name in headers if name.lower().startswith("x-slipway")]
    sent = [headers for replica in edge.replicas.values() for _path, headers in replica.seen]
    assert len(sent) == 7
    assert not [name for headers in sent for name in headers if name.startswith("x-slipway")]


def test_probes_are_not_counted_as_users_requests(edge):
    edge.count_anew()
    edge.replica("api-green-1").answers[SEARCH.path] = (500, "", None)
    edge.prober("api").probe()
    edge.prober("journeys").probe()
    edge.get("/api/x")
    until(lambda: edge.counted)
    assert [line.split("|")[:3] for line in edge.counted] == [["api", "blue", "200"]]


def test_probes_use_up_nobodys_rate_limit_and_have_none(edge):
    for _ in range(8):
        assert edge.prober("api").probe().faults == []
    assert edge.get("/api/x")[0] == 200


def test_a_replica_that_is_drained_can_be_asked(edge):
    edge.router.set_state("web", "web-green-1.h1.test", "drain")
    try:
        assert edge.prober("web").probe().faults == []
    finally:
        edge.router.set_state("web", "web-green-1.h1.test", "ready")


def test_nobody_answers_for_a_replica_that_is_gone(edge):
    edge.replica("journeys-green-2").stop()
    try:
        (fault, *_others) = edge.prober("journeys").probe().faults
        assert fault.startswith(
            "journeys (green) did not answer the gRPC health check through h1.test's edge: "
        )
        assert fault.endswith("(replica journeys-green-2.h1.test)")
        assert not any(edge.replica(f"journeys-blue-{number}").seen for number in (1, 2))
    finally:
        edge.replica("journeys-green-2").start()
        edge.until_up()


def test_a_domain_that_the_edge_does_not_serve_yet_is_no_fault_of_the_service(edge):
    service = edge.stack.services["api"]
    moved = with_service(edge.stack, "api", route=replace(service.route, domain="new.test"))
    report = replace(edge, stack=moved).prober("api").probe()
    assert report.faults == []
    assert report.unasked == ["h1.test's edge does not serve new.test yet"]


def test_a_server_that_the_router_does_not_know_yet_is_not_asked(edge):
    more = with_service(edge.stack, "api", replicas=3)
    report = replace(edge, stack=more).prober("api", count=3).probe()
    assert report.faults == [] and len(report.asked) == 2


def test_a_grpc_service_is_asked_for_its_health_through_its_own_route(edge):
    assert edge.prober("journeys").probe().faults == []
    assert [it.requests("Check") for it in green(edge, "journeys")] == [3, 3]
    edge.replica("journeys-green-1").serving = False
    assert edge.prober("journeys").probe().faults == [
        "journeys (green) answered NOT_SERVING to the gRPC health check through h1.test's edge, expected "
        "SERVING (replica journeys-green-1.h1.test)"
    ]


def test_an_edge_that_shows_another_certificate_learns_no_secret(edge, monkeypatch):
    prober = edge.prober("api")
    doors = prober._doors
    monkeypatch.setattr(
        prober, "_doors", lambda report: [replace(it, fingerprint="0" * 64) for it in doors(report)]
    )
    (fault, *_others) = prober.probe().faults
    assert "another certificate" in fault
    assert not any(replica.seen for replica in edge.replicas.values())


def test_a_look_goes_on_asking_and_never_waits(edge):
    edge.weigh("api", blue=100, green=100)

    def asked():
        return [it.requests(SEARCH.path) for it in green(edge, "api")]

    answered, alarms = threading.Event(), []
    with ThreadPoolExecutor(1) as pool:
        look = watching(edge.prober("api"), pool)
        until(lambda: look() == [] and all(asked()))
        for it in green(edge, "api"):
            it.answers[SEARCH.path] = (500, "", answered)
        before = sum(asked())
        try:
            until(lambda: look() == [] and sum(asked()) > before)
            assert look() == [], "it waited for the answer"
        finally:
            answered.set()
        until(lambda: alarms.extend(look()) or alarms)
    assert alarms[0].problem.startswith("api (green) answered 500 to GET /api/journeys?from=Paris")
