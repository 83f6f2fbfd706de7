"""Prometheus sees everything that runs, and evaluates every rule."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from waiting import eventually

from lab import Lab

# The job that scrapes a component, where it is not the component's name.
JOBS = {
    "node-exporter": ["node"],
    "edge-exporter": ["edge"],
    "postgres-exporter": ["postgres"],
    "pgbouncer-exporter": ["pgbouncer"],
    "redis-exporter": ["redis"],
    "postgres": ["patroni"],
    # Seen through the exporter or the probes beside them; backups by files that node-exporter reads.
    "archive-repository": [],
    "backup-agent": [],
    "backup-repository": [],
    "edge": [],
    # Asked for its certificate, with the routers.
    "console": [],
    # Its stores are scraped through it.
    "logs-proxy": [],
    "pgbouncer": [],
    "redis": [],
    "sentinel": [],
}
# What was restarted just now, or did not answer once, is scraped again by then: certificates every minute.
TWO_SCRAPES = 150.0


def ask(lab: Lab, path: str) -> dict[str, Any]:
    host = lab.host_of("prometheus")
    answer = json.loads(
        lab.in_container(
            host, "prometheus", f'curl --fail --silent --globoff "http://127.0.0.1:9090/api/v1/{path}"'
        )
    )
    assert answer["status"] == "success"
    return dict(answer["data"])


def not_up(lab: Lab) -> list[str]:
    targets = ask(lab, "targets?state=active")["activeTargets"]
    assert targets
    return [
        f"{one['labels']['job']} {one['labels']['instance']}: {one['lastError'] or one['health']}"
        for one in targets
        if one["health"] != "up"
    ]


def test_every_target_is_up(lab: Lab) -> None:
    assert eventually(lambda: not_up(lab), lambda down: down == [], TWO_SCRAPES) == []


def test_everything_that_runs_has_a_target_on_its_host(lab: Lab) -> None:
    targets = ask(lab, "targets?state=active")["activeTargets"]
    scraped = {
        (one["labels"]["host"], one["labels"].get("replica") or one["labels"]["job"]) for one in targets
    }
    services = lab.stack["services"]
    expected = set()
    for container in lab.containers():
        service = container.component.split("-blue-")[0].split("-green-")[0]
        if service not in services:
            expected |= {
                (container.host, job) for job in JOBS.get(container.component, [container.component])
            }
        elif "metrics_path" in services[service]:
            expected.add((container.host, container.component))
    edges = {container.host for container in lab.containers() if container.component == "edge"}
    expected |= {(host, f"route-{name}") for host in edges for name in services if "route" in services[name]}
    assert len(expected) > 20
    assert sorted(expected - scraped) == []


def test_the_probes_reach_every_route_through_every_edge_host(lab: Lab) -> None:
    def failing() -> list[str]:
        result = ask(lab, "query?query=probe_success")["result"]
        assert result
        return [f"{one['metric']}" for one in result if one["value"][1] != "1"]

    assert eventually(failing, lambda bad: bad == [], TWO_SCRAPES) == []


def test_every_rule_evaluates_without_an_error(lab: Lab) -> None:
    def unhealthy() -> list[str]:
        groups = ask(lab, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert rules
        return [f"{rule['name']}: {rule['health']}" for rule in rules if rule["health"] != "ok"]

    assert eventually(unhealthy, lambda bad: bad == [], TWO_SCRAPES) == []

    def failures() -> list[str]:
        found = ask(lab, "query?query=sum(increase(prometheus_rule_evaluation_failures_total[1m]))")
        return [one["value"][1] for one in found["result"]]

    assert eventually(failures, lambda found: found == ["0"], TWO_SCRAPES) == ["0"]


def test_no_alert_fires_where_all_is_well(lab: Lab) -> None:
    # Not of CPU: the tests and all hosts share one machine, which may well be busy.
    query = quote('ALERTS{alertstate="firing", severity!="none", alertname!="HostCpuHigh"}')

    alive = quote('ALERTS{alertname="Watchdog"}')

    def firing() -> list[str]:
        # A sign of life is always there: else Prometheus was not asked what it must know.
        assert ask(lab, f"query?query={alive}")["result"]
        return [str(one["metric"]) for one in ask(lab, f"query?query={query}")["result"]]

    assert eventually(firing, lambda found: found == [], TWO_SCRAPES) == []


def test_every_member_of_postgres_tells_which_statements_take_the_most_time(lab: Lab) -> None:
    members = {one.host for one in lab.containers() if one.component == "postgres"}

    def silent() -> set[str]:
        told = ask(lab, "query?query=pg_statements_seconds_total")["result"]
        return members - {one["metric"]["host"] for one in told}

    # The exporter asks once a minute.
    assert eventually(silent, lambda found: found == set(), TWO_SCRAPES) == set()


def measured(lab: Lab, metric: str) -> dict[tuple[str, str], float]:
    """A metric of containers, by host and name."""
    found = ask(lab, f"query?query={metric}")["result"]
    return {(it["metric"]["host"], it["metric"]["name"]): float(it["value"][1]) for it in found}


def test_every_container_is_measured(lab: Lab) -> None:
    def missing() -> list[str]:
        seen = measured(lab, "container_memory_working_set_bytes")
        return [str(one) for one in lab.containers() if (one.host, one.name) not in seen]

    assert eventually(missing, lambda found: found == [], TWO_SCRAPES) == []
    # None may hide what it uses, and none is without a limit.
    assert all(measured(lab, "container_memory_working_set_bytes").values())
    assert (
        measured(lab, "container_spec_memory_limit_bytes").keys()
        == measured(lab, "container_cpu_usage_seconds_total").keys()
    )


def test_a_crash_is_counted_and_a_restart_that_was_asked_for_is_none(lab: Lab) -> None:
    host = next(iter(lab.hosts))
    names = [f"{lab.stack['name']}-{component}-1" for component in ("redis-exporter", "postgres-exporter")]
    crashed, restarted = ((host, name) for name in names)

    def crashes() -> dict[tuple[str, str], float]:
        return measured(lab, "slipway_container_crashes_total")

    before = crashes()
    lab.hosts[host].check_output("docker restart %s", names[1])
    lab.hosts[host].check_output("kill -KILL $(docker inspect --format '{{.State.Pid}}' %s)", names[0])
    after = eventually(crashes, lambda now: now[crashed] > before[crashed], TWO_SCRAPES)
    assert after[crashed] == before[crashed] + 1
    assert after[restarted] == before[restarted]
    assert eventually(lambda: not_up(lab), lambda down: down == [], TWO_SCRAPES) == []
