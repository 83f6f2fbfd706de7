"""What is watched, by whom, and how the containers that watch are kept: rendered, read back, and judged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.pool_names import POOLS
from ansible_collections.slipway.compose.plugins.module_utils._core.release.handover import targets
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Pair, Thresholds
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Etcd
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import PORTS
from whole_stack import SECRETS, compose, rendered, stack, topology, usual, with_alerts, with_service

OWN = {
    "alertmanager",
    "blackbox",
    "edge",
    "edge-exporter",
    "edge-log",
    "node-exporter",
    "pgbouncer-exporter",
    "postgres-exporter",
    "prometheus",
    "redis-exporter",
    "router",
}
fleets = pytest.mark.parametrize("count", [1, 3, 6])


def fleet(count: int) -> list[tuple[str, dict[str, Any], int]]:
    """Name and definition of every container of ours, and the number of its host."""
    return [
        (name, definition, host)
        for host in range(1, count + 1)
        for name, definition in compose(count, host).items()
        if name in OWN
    ]


@fleets
def test_every_container_is_hardened_limited_and_watched(count: int) -> None:
    for name, definition, _ in fleet(count):
        assert definition["user"] == "10001:10001", name
        assert definition["read_only"] is True, name
        assert definition["cap_drop"] == ["ALL"], name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        assert definition["init"] is True, name
        assert definition["restart"] == "unless-stopped", name
        assert {"cpus", "mem_limit", "pids_limit"} <= definition.keys(), name
        assert definition["healthcheck"]["test"][:2] == ["CMD", "curl"], name
        assert definition["healthcheck"]["start_interval"] == "1s", name
        assert not {"privileged", "cap_add"} & definition.keys(), name
    assert {name for name, _, _ in fleet(count)} == OWN


@fleets
def test_no_secret_stands_in_a_compose_file(count: int) -> None:
    for host in range(1, count + 1):
        shown = usual(count, host)["docker-compose.prod.yml"]
        assert [secret for secret in SECRETS.values() if secret in shown] == []


@fleets
def test_only_the_edge_is_published_on_all_addresses(count: int) -> None:
    for name, definition, host in fleet(count):
        published = definition.get("ports", [])
        if name == "edge":
            assert published == ["80:8080", "443:8443"]
        else:
            assert all(port.startswith(f"10.0.0.{host}:") for port in published), name


def test_edge_and_router_meet_in_one_volume_that_the_edge_cannot_write() -> None:
    assert "router-socket:/run/router:ro" in compose(3, 1)["edge"]["volumes"]
    assert "router-socket:/run/router" in compose(3, 1)["router"]["volumes"]


def test_exporters_find_their_passwords_in_files() -> None:
    tree = usual(3, 1)
    assert tree["config/postgres-exporter/password"].strip() == SECRETS["postgres_monitor"]
    assert tree["config/pgbouncer-exporter/pgpass"].strip() == f"*:*:*:monitor:{SECRETS['postgres_monitor']}"
    passwords = json.loads(tree["config/redis-exporter/passwords.json"])
    assert passwords == {"rediss://monitor@redis:6379": SECRETS["redis_monitor"]}


def test_what_postgres_is_asked_has_an_end() -> None:
    tree = usual(3, 1)
    assert "--extend.query-path=/config/queries.yml" in compose(3, 1)["postgres-exporter"]["command"]
    asked = yaml.safe_load(tree["config/postgres-exporter/queries.yml"])
    assert {name for name, it in asked.items() if it.get("master")} == {"pg_sessions", "pg_statements"}
    for name in ("pg_statements", "pg_tables"):
        assert "LIMIT 20" in asked[name]["query"] and asked[name]["cache_seconds"] == 60
    assert "runs > 300)" in asked["pg_sessions"]["query"]


def test_a_slow_query_is_counted_from_where_the_stack_warns() -> None:
    tree = rendered(with_alerts(stack(), thresholds=Thresholds(query=Pair(7, 70))))
    assert "runs > 7)" in tree["config/postgres-exporter/queries.yml"]


def scraped(tree: dict[str, str]) -> dict[str, list[str]]:
    """Targets by job."""
    jobs = yaml.safe_load(tree["config/prometheus/prometheus.yml"])["scrape_configs"]
    return {
        job["job_name"]: [target for group in job["static_configs"] for target in group["targets"]]
        for job in jobs
        if "static_configs" in job
    }


@fleets
@pytest.mark.parametrize(
    ("job", "component", "port"),
    [
        ("node", "node-exporter", "node-exporter"),
        ("edge", "edge-exporter", "edge-exporter"),
        ("edge-log", "edge-log", "edge-log"),
        ("router", "router", "router-metrics"),
        ("local-router", "local-router", "local-router-metrics"),
        ("postgres", "postgres-exporter", "postgres-exporter"),
        ("pgbouncer", "pgbouncer-exporter", "pgbouncer-exporter"),
        ("redis", "redis-exporter", "redis-exporter"),
        ("etcd", "etcd", "etcd-metrics"),
        ("patroni", "postgres", "patroni"),
        ("prometheus", "prometheus", "prometheus"),
        ("alertmanager", "alertmanager", "alertmanager"),
        ("blackbox", "blackbox", "blackbox"),
    ],
)
def test_a_component_is_scraped_wherever_it_runs(count: int, job: str, component: str, port: str) -> None:
    members = topology(stack(count)).members(component)
    assert scraped(usual(count, count))[job] == [f"{host.address}:{PORTS[port]}" for host in members]


@fleets
def test_every_replica_that_has_metrics_is_scraped(count: int) -> None:
    laid_out = topology(stack(count))
    told = json.loads(targets(laid_out, laid_out.views[f"h{count}.test"]))
    for pool in POOLS:
        found = [target for group in told["api"][pool] for target in group["targets"]]
        assert len(set(found)) == 2 * count
    assert "journeys" not in told
    assert targets(laid_out, laid_out.views["h1.test"]) == "{}" or count == 1
    jobs = scraped(usual(count, count))
    assert jobs["registry"] == [f"10.0.0.{count}:5001"]


def test_every_route_is_probed_through_every_edge_host() -> None:
    tree = rendered(stack(3, https_port=8443), "h3.test")
    jobs = scraped(tree)
    assert jobs["route-api"] == ["https://10.0.0.1:8443/api/", "https://10.0.0.2:8443/api/"]
    assert jobs["route-journeys"][0] == "https://10.0.0.1:8443/wayfare.Journeys/Probe"
    modules = yaml.safe_load(tree["config/blackbox/blackbox.yml"])["modules"]
    assert modules["http wayfare.test"]["http"]["tls_config"] == {
        "server_name": "wayfare.test",
        "ca_file": "/config/tls/ca.crt",
    }


def without_data() -> Stack:
    base = with_service(stack(), "api", database=None, redis=False)
    return replace(base, components=replace(base.components, postgres=None, redis=None, etcd=Etcd(())))


def test_a_stack_without_data_has_no_targets_for_it() -> None:
    jobs = scraped(rendered(without_data(), "h3.test"))
    assert not {"postgres", "patroni", "pgbouncer", "redis", "etcd"} & jobs.keys()


@fleets
def test_the_memory_of_replicas_is_read_often_and_once(count: int) -> None:
    scraped = yaml.safe_load(usual(count, count)["config/prometheus/prometheus.yml"])["scrape_configs"]
    jobs = {job["job_name"]: job for job in scraped}
    assert jobs["replicas"]["scrape_interval"] == "5s"
    assert jobs["replicas"]["params"] == {"collect[]": ["textfile"]}
    targets = [one["targets"] for one in jobs["replicas"]["static_configs"]]
    assert targets == [one["targets"] for one in jobs["node"]["static_configs"]]
    kept, dropped = jobs["replicas"]["metric_relabel_configs"][0], jobs["node"]["metric_relabel_configs"][0]
    for name in ("slipway_replica_memory_bytes", "slipway_replica_memory_limit_bytes"):
        assert kept["action"] == "keep" and re.fullmatch(kept["regex"], name)
        assert dropped["action"] == "drop" and re.fullmatch(dropped["regex"], name)
