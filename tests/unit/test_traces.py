"""Who takes traces, where they go, which are kept, and what services are told of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health_plan import probes_for
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import rendered, stack, with_logs, with_service, with_traces

TRACED = with_traces(stack(3))


def services(host: int, base: Any = TRACED) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rendered(base, f"h{host}.test")["docker-compose.prod.yml"])
    return dict(parsed["services"])


def collector(host: int, base: Any = TRACED) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rendered(base, f"h{host}.test")["config/collector/collector.yml"])
    return parsed


def test_a_stack_without_traces_has_nothing_of_them() -> None:
    for host in (1, 2, 3):
        for path, text in rendered(with_logs(stack(3)), f"h{host}.test").items():
            assert "trace" not in path and "collector" not in path
            for word in ("OTEL_", "traceparent", "trace_id", "edge-traces", "/traces"):
                assert word not in text or path == "config/logs-proxy/search.js", (path, word)
    asked = host_stack({"components": {"logs": {}}}, "a", ["a"], {"a": {}})
    assert not {"4318", "8888"} & set(asked["peer_ports"])


def test_each_host_has_a_collector_and_one_judges_for_all() -> None:
    for host in (1, 2):
        told = collector(host)
        assert told["exporters"]["otlp_http"]["endpoint"] == "https://10.0.0.3:4318"
        assert told["service"]["pipelines"]["traces"] == {
            "receivers": ["otlp", "edge"],
            "processors": ["memory_limiter"],
            "exporters": ["otlp_http"],
        }
    judging = collector(3)
    assert judging["service"]["pipelines"]["traces"] == {
        "receivers": ["otlp", "otlp/hosts"],
        "processors": ["memory_limiter", "whole_traces"],
        "exporters": ["span_lines", "otlp_http/tempo"],
    }
    assert judging["processors"]["whole_traces"] == {
        "share": 0.1,
        "slow": "1000ms",
        "wait": "5000ms",
        "most_spans": (256 << 20) // 8192,
        # 4 GB in three days.
        "most_kept": 82,
    }


def test_what_is_kept_in_a_second_may_be_declared() -> None:
    told = yaml.safe_load(
        rendered(with_traces(stack(3), most=7), "h3.test")["config/collector/collector.yml"]
    )
    assert told["processors"]["whole_traces"]["most_kept"] == 7


def test_other_hosts_show_a_certificate_and_nobody_else_is_let_in() -> None:
    ports = services(3)["collector"]["ports"]
    assert ports == ["10.0.0.3:8888:8888", "10.0.0.3:4318:4319"]
    assert services(1)["collector"]["ports"] == ["10.0.0.1:8888:8888"]
    hosts = collector(3)["receivers"]["otlp/hosts"]["protocols"]["http"]
    assert hosts["endpoint"].endswith(":4319") and hosts["tls"]["client_ca_file"] == "/config/tls/ca.crt"
    assert collector(1)["exporters"]["otlp_http"]["tls"]["cert_file"] == "/config/tls/tls.crt"


def test_every_queue_has_a_bound() -> None:
    for host in (1, 3):
        told = collector(host)
        assert (
            told["processors"]["memory_limiter"]["limit_mib"] * (1 << 20)
            < services(host)["collector"]["mem_limit"]
        )
        for exporter in told["exporters"].values():
            assert exporter["sending_queue"]["queue_size"] > 0
            assert exporter["sending_queue"]["sizer"] == "items"
            assert exporter["retry_on_failure"]["max_elapsed_time"]


def test_who_else_gets_traces_is_sent_the_headers_of_a_secret_as_they_are() -> None:
    export = collector(3)["exporters"]["otlp_http/tempo"]
    assert export["traces_endpoint"] == "https://tempo.test/v1/traces"
    # The collector reads $$ as a dollar sign.
    assert export["headers"] == {"DD-API-KEY": "hidden-trace$$key"}
    for path, text in rendered(TRACED, "h3.test").items():
        assert "hidden-trace" not in text or path == "config/collector/collector.yml"


def test_services_are_told_where_to_send_their_spans_and_as_whom() -> None:
    told = services(1)["api-blue-1"]["environment"]
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    assert told["OTEL_SERVICE_NAME"] == "api"
    resource = dict(it.split("=") for it in told["OTEL_RESOURCE_ATTRIBUTES"].split(","))
    assert resource["host.name"] == "h1.test"
    assert (resource["slipway.pool"], resource["service.instance.id"]) == ("blue", "api-blue-1")


@pytest.mark.parametrize(("wait", "every"), [(1000, "500"), (3000, "1500"), (5000, "2000"), (60_000, "2000")])
def test_spans_are_sent_before_their_trace_is_judged(wait: int, every: str) -> None:
    told = services(1, with_traces(stack(3), wait=wait))["api-blue-1"]["environment"]
    assert told["OTEL_BSP_SCHEDULE_DELAY"] == every


def test_what_a_service_sets_itself_stays() -> None:
    own = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://elsewhere.test", "OTEL_SERVICE_NAME": "shop"}
    told = services(1, with_service(TRACED, "api", environment=own))["api-blue-1"]["environment"]
    assert own.items() <= told.items()


def test_the_edge_begins_a_trace_with_a_requests_own_id_and_hands_it_on() -> None:
    tree = rendered(TRACED, "h1.test")
    assert (
        "proxy_set_header traceparent 00-$slipway_trace-$slipway_span-01;" in tree["config/edge/proxy.conf"]
    )
    assert "grpc_set_header traceparent 00-$slipway_trace-$slipway_span-01;" in tree["config/edge/proxy.conf"]
    assert "include traces.conf;" in tree["config/edge/nginx.conf"]
    assert '"trace_id":"$slipway_trace"' in tree["config/edge/logging.conf"]


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","x":"', False),
    ],
)
def test_a_clients_trace_is_joined_where_it_is_one(given: str, accepted: bool) -> None:
    text = rendered(TRACED, "h1.test")["config/edge/traces.conf"]
    patterns = [it.replace("?<", "?P<") for it in re.findall(r'"~(\^00-[^"]+)"', text)]
    assert len(patterns) == 2
    assert all(bool(re.search(pattern, given)) is accepted for pattern in patterns)


def test_the_edge_waits_for_no_collector() -> None:
    assert (
        "access_log syslog:server=unix:/run/edge-traces/spans.sock"
        in rendered(TRACED, "h1.test")["config/edge/traces.conf"]
    )
    edge, own = services(1)["edge"], services(1)["collector"]
    assert "depends_on" not in edge
    assert "edge-traces:/run/edge-traces:ro" in edge["volumes"]
    assert "edge-traces:/run/edge-traces" in own["volumes"]
    assert "edge-traces:/run/edge-traces" not in services(3)["collector"]["volumes"]


def test_the_store_is_kept_within_its_bounds_and_only_asked_from_outside() -> None:
    store = services(3)["traces"]
    assert "-retentionPeriod=7d" in store["command"]
    assert f"-retention.maxDiskSpaceUsageBytes={4 << 30}" in store["command"]
    assert "ports" not in store and store["networks"] == ["logs"]
    proxy = rendered(TRACED, "h3.test")["config/logs-proxy/nginx.conf"]
    assert "location ~ ^/traces/(select/logsql/[a-z_]+|metrics|health)$" in proxy


def test_collectors_and_the_store_are_watched() -> None:
    tree = rendered(TRACED, "h3.test")
    jobs = {
        it["job_name"]: it
        for it in yaml.safe_load(tree["config/prometheus/prometheus.yml"])["scrape_configs"]
    }
    targets = [config["targets"][0] for config in jobs["collector"]["static_configs"]]
    assert targets == [f"10.0.0.{host}:8888" for host in (1, 2, 3)]
    assert jobs["traces"]["metrics_path"] == "/traces/metrics"
    laid = topology(TRACED)
    asked = {
        (probe.component, probe.target["url"])
        for probe in probes_for(laid, laid.views["h3.test"])
        if "url" in probe.target
    }
    assert {
        ("traces", "https://10.0.0.3:9428/traces/health"),
        ("collector", "http://10.0.0.3:8888/metrics"),
    } <= asked


def test_hosts_let_each_other_in() -> None:
    asked = host_stack({"components": {"logs": {"traces": {}}}}, "a", ["a", "b"], {"a": {}, "b": {}})
    assert {"4318", "8888"} <= set(asked["peer_ports"])


def test_traces_are_declared_by_wanting_them(definition: dict[str, Any], hosts: list[Any]) -> None:
    logs = parse_stack({**definition, "components": {"logs": {"traces": {}}}}, hosts).components.logs
    assert logs and logs.traces
    assert (logs.traces.share, logs.traces.slow, logs.traces.retention) == (10, 1000, 7 * 86400)
    logs = parse_stack({**definition, "components": {"logs": {}}}, hosts).components.logs
    assert logs and logs.traces is None
    with pytest.raises(InvalidInputError, match="share"):
        parse_stack({**definition, "components": {"logs": {"traces": {"share": 101}}}}, hosts)
