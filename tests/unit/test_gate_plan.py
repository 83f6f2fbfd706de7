"""What the gate is told of a service, and how the edge's requests come to be counted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate import edge_counts, gate_plan
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.gatekeeping import (
    Watched,
    only_queries,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.server_watch import (
    Health,
    ServerWatch,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import compose, stack, usual, with_service

WHOLE = topology(stack())
MOVING = {"new": "green", "old": "blue"}
PROGRAM = usual(3, 1)["config/edge-log/edge.mtail"]


def test_a_service_is_watched_on_all_its_hosts():
    watched = Watched.from_dict(gate_plan.watched(WHOLE, {"api": MOVING})["api"])
    assert (watched.service, watched.new, watched.old, watched.inconclusive) == (
        "api",
        "green",
        "blue",
        "proceed",
    )
    assert watched.gates == WHOLE.stack.services["api"].gates
    assert watched.servers == tuple(
        f"api-green-{index}.h{host}.test" for host in (1, 2, 3) for index in (1, 2)
    )
    assert watched.expected == ()


def test_replicas_that_are_said_to_run_must_be_up():
    told = gate_plan.watched(WHOLE, {"api": {**MOVING, "replicas": 1}})["api"]
    assert told["expected"] == [f"api-green-1.h{host}.test" for host in (1, 2, 3)]


def test_of_a_service_without_a_route_the_edge_sees_nothing():
    watched = Watched.from_dict(gate_plan.watched(WHOLE, {"worker": MOVING})["worker"])
    assert watched.gates == only_queries(WHOLE.stack.services["worker"].gates)


def test_a_pool_alone_is_compared_with_none():
    assert gate_plan.watched(WHOLE, {"api": {"new": "green"}})["api"]["old"] is None


@pytest.mark.parametrize(
    ("moving", "problem"),
    [
        ({"apo": MOVING}, "services/apo: no such service. Did you mean api?"),
        ({"api": {"new": "red"}}, "services/api/new: is red. Use one of blue, green."),
        ({"api": {"new": "blue", "old": "grey"}}, "services/api/old: is grey. Use one of blue, green."),
    ],
)
def test_unknown_names_are_refused(moving, problem):
    with pytest.raises(InvalidInputError, match=re.escape(problem)):
        gate_plan.watched(WHOLE, moving)


def test_prometheus_is_asked_where_it_stands():
    assert gate_plan.prometheus(WHOLE) == {"host": "10.0.0.3", "port": 9090}


def test_edge_and_its_log_meet_in_one_volume_that_the_edge_cannot_write():
    assert "edge-log:/run/edge-log:ro" in compose(3, 1)["edge"]["volumes"]
    assert "edge-log:/run/edge-log" in compose(3, 1)["edge-log"]["volumes"]
    parsed = yaml.safe_load(usual(3, 1)["docker-compose.prod.yml"])
    assert "edge-log" in parsed["volumes"]
    assert "edge-log" not in yaml.safe_load(usual(3, 3)["docker-compose.prod.yml"])["volumes"]


def test_a_burst_of_requests_may_wait_to_be_counted():
    assert compose(3, 1)["edge-log"]["sysctls"] == {"net.unix.max_dgram_qlen": 512}


def test_nginx_sends_to_the_socket_that_mtail_reads_and_never_waits():
    (sent,) = re.findall(
        r"access_log (syslog:\S+) counted if=\$slipway_counted;", usual(3, 1)["config/edge/logging.conf"]
    )
    assert "server=unix:/run/edge-log/requests.sock," in sent
    start = usual(3, 1)["config/edge-log/start.sh"]
    assert "rm -f /run/edge-log/requests.sock\n" in start
    assert "--logs=unixgram:///run/edge-log/requests.sock" in start


def line(service, pool, status, seconds, grpc=""):
    """What nginx makes of its format, put in by hand."""
    text = usual(3, 1)["config/edge/logging.conf"]
    form = "".join(re.findall(r"'(.*)'", text.split("log_format counted")[1].split(";")[0]))
    values = {
        "upstream_http_x_slipway_service": service,
        "upstream_http_x_slipway_pool": pool,
        "status": status,
        "request_time": seconds,
        "slipway_grpc_status": grpc,
    }
    assert form.endswith("\\n")
    return "<190>Jan  2 15:04:05 edge: " + re.sub(r"\$(\w+)", lambda name: values[name[1]], form[:-2])


@pytest.mark.parametrize(
    ("told", "parts"),
    [
        (("api", "green", "200", "0.003"), ("api", "green", "2", "0.003", "")),
        (("api", "", "429", "0.001"), ("api", "", "4", "0.001", "")),
        (("", "", "502", "0.000"), ("", "", "5", "0.000", "")),
        (("journeys", "blue", "200", "1.250", "14"), ("journeys", "blue", "2", "1.250", "14")),
    ],
)
def test_the_program_reads_what_nginx_sends(told, parts):
    (pattern,) = re.findall(r"^/( edge: .*)/ \{$", PROGRAM, re.MULTILINE)
    found = re.search(pattern, line(*told))
    assert found.groups() == parts


def test_the_program_counts_what_the_gate_asks_for():
    assert f"counter {edge_counts.REQUESTS} by service, pool, code\n" in PROGRAM
    histogram = edge_counts.SECONDS.removesuffix("_bucket")
    (buckets,) = re.findall(rf"^histogram {histogram} by service, pool buckets (.*)$", PROGRAM, re.MULTILINE)
    bounds = [float(bound) for bound in buckets.split(", ")]
    assert (bounds[0], bounds[1], bounds[-1]) == (0, 0.005, 30)
    # Two pools are told apart as finely as their bounds are close.
    assert all(low < high <= low * 1.7 for low, high in zip(bounds[1:], bounds[2:], strict=False))


@pytest.mark.parametrize(
    ("call", "status"),
    [
        pytest.param("/wayfare.Journeys/Probe 12", "0", id="what-the-monitoring-asks-for"),
        pytest.param("/wayfare.JourneysProbe 12", "0", id="of-a-route-without-a-slash-at-its-end"),
        pytest.param("/wayfare.Journeys/Probe 14", "14", id="the-same-of-a-server-that-is-gone"),
        pytest.param("/wayfare.Journeys/Search 12", "12", id="a-method-that-a-release-has-lost"),
        pytest.param("/wayfare.Journeys/Search 0", "0", id="a-good-call"),
    ],
)
def test_only_the_monitorings_own_call_of_an_unknown_method_is_no_failure(call, status):
    text = usual(3, 1)["config/edge/logging.conf"]
    (pattern,) = re.findall(r'^    "~(.*)" 0;$', text, re.MULTILINE)
    route = topology(stack()).stack.services["journeys"].route
    probed = yaml.safe_load(usual(3, 3)["config/prometheus/prometheus.yml"])["scrape_configs"]
    (targets,) = [it["static_configs"][0]["targets"] for it in probed if it["job_name"] == "route-journeys"]
    assert all(target.endswith(f"{route.path}Probe") for target in targets)
    assert ("0" if re.search(pattern, call) else call.split()[1]) == status


@pytest.mark.parametrize("job", ["edge-log", "router"])
def test_what_releases_are_judged_by_is_fresh(job):
    jobs = yaml.safe_load(usual(3, 3)["config/prometheus/prometheus.yml"])["scrape_configs"]
    (found,) = [one for one in jobs if one["job_name"] == job]
    assert (found["scrape_interval"], found["scrape_timeout"]) == ("5s", "4s")


def test_a_pause_before_there_is_anything_new_only_takes_its_time():
    declared = with_service(stack(), "api", strategy=replace(BUILT_IN["recreate"], inconclusive="rollback"))
    told = gate_plan.watched(topology(declared), {"api": {**MOVING, "replicas": 0}})["api"]
    assert ServerWatch([AllDown()], {"api": told["servers"]}, set(told["expected"])).look() == []
    assert told["inconclusive"] == "proceed"


def test_too_few_requests_are_no_reason_to_go_back_for_what_has_passed_before():
    declared = with_service(stack(), "api", strategy=replace(BUILT_IN["blue_green"], inconclusive="rollback"))
    for again, policy in ((True, "proceed"), (False, "rollback")):
        told = gate_plan.watched(topology(declared), {"api": {**MOVING, "again": again}})["api"]
        assert told["inconclusive"] == policy


class AllDown:
    """A router that finds no replica up."""

    name = "router on h1.test"

    def health(self):
        return {it.server: Health("DOWN", 0, "L4CON") for it in WHOLE.replicas_of("api")}
