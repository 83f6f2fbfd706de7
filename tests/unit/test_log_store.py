"""Where lines are sent, what a search asks the store, and how its answer reads."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health_plan import probes_for
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.log_store import (
    Search,
    query,
    rows,
    told,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.stack_rules import STACK_RULES
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import IMAGES
from whole_stack import rendered, stack, with_logs

NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
STORED = with_logs(stack(3))


def services(host: int, base: Any = STORED) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rendered(base, f"h{host}.test")["docker-compose.prod.yml"])
    return dict(parsed["services"])


def test_a_stack_without_a_store_has_nothing_of_it() -> None:
    for host in (1, 2, 3):
        for path, text in rendered(stack(3), f"h{host}.test").items():
            assert "logs" not in path
            assert "journald" not in text
            assert "victoria" not in text or path == IMAGES
    asked = host_stack({}, "a", ["a"], {"a": {}})
    assert "logs" not in asked and "9428" not in asked["peer_ports"]


def test_the_stores_stand_on_one_host_and_every_host_knows_where() -> None:
    assert {"logs", "audit-logs", "logs-proxy"} <= services(3).keys()
    for host in (1, 2, 3):
        where = json.loads(rendered(STORED, f"h{host}.test")["config/host/logs.json"])
        assert where == {"name": f"h{host}.test", "stack": "wayfare", "host": "10.0.0.3", "port": 9428}
        assert host == 3 or not {"logs", "audit-logs", "logs-proxy"} & services(host).keys()


def test_the_stores_are_reached_through_the_proxy_alone() -> None:
    found = services(3)
    for store in ("logs", "audit-logs"):
        assert "ports" not in found[store]
        assert found[store]["networks"] == ["logs"]
    assert [name for name, it in found.items() if "logs" in it.get("networks", [])] == [
        "logs",
        "audit-logs",
        "logs-proxy",
    ]
    assert found["logs-proxy"]["ports"] == ["10.0.0.3:9428:8443", "127.0.0.1:9429:8080"]


def test_lines_are_kept_for_as_long_as_the_stack_says() -> None:
    found = services(3)
    assert "-retentionPeriod=30d" in found["logs"]["command"]
    assert f"-retention.maxDiskSpaceUsageBytes={8 << 30}" in found["logs"]["command"]
    assert "-retentionPeriod=2555d" in found["audit-logs"]["command"]
    # What must be there for years is not given up for want of room.
    assert not [word for word in found["audit-logs"]["command"] if "maxDiskSpace" in word]
    for store in ("logs", "audit-logs"):
        # Whatever else the host has on its disk goes on.
        assert "-storage.minFreeDiskSpaceBytes=1GB" in found[store]["command"]
    volumes = {found[store]["volumes"][0].partition(":")[0] for store in ("logs", "audit-logs")}
    assert volumes == {"logs", "audit-logs"}


@pytest.mark.parametrize("host", [1, 2, 3])
def test_every_container_says_to_the_journal_what_it_says_and_waits_for_nobody(host: int) -> None:
    for name, definition in services(host).items():
        assert definition["logging"]["driver"] == "journald", name
        assert definition["logging"]["options"]["mode"] == "non-blocking", name


def test_the_store_is_watched() -> None:
    tree = rendered(STORED, "h3.test")
    jobs = {
        it["job_name"]: it
        for it in yaml.safe_load(tree["config/prometheus/prometheus.yml"])["scrape_configs"]
    }
    for name, path in (("logs", "/metrics"), ("audit-logs", "/audit/metrics")):
        assert jobs[name]["metrics_path"] == path
        assert jobs[name]["static_configs"][0]["targets"] == ["10.0.0.3:9428"]
        assert jobs[name]["tls_config"]["cert_file"] == "/config/tls/tls.crt"
    laid = topology(STORED)
    asked = {
        probe.component: probe.target["url"]
        for probe in probes_for(laid, laid.views["h3.test"])
        if "url" in probe.target
    }
    assert asked["logs"] == "https://10.0.0.3:9428/health"
    assert asked["audit-logs"] == "https://10.0.0.3:9428/audit/health"


def test_hosts_open_the_stores_port_and_give_the_journal_room() -> None:
    declared = {"components": {"logs": {"buffer": "2G"}}}
    asked = host_stack(declared, "a", ["a", "b"], {"a": {}, "b": {}})
    assert asked["logs"] == {"buffer": "2G"}
    assert "9428" in asked["peer_ports"]
    # On the loopback, which the firewall leaves alone.
    assert "9429" not in asked["peer_ports"]


def test_a_store_is_declared_by_wanting_one(definition: dict[str, Any], hosts: list[Any]) -> None:
    assert parse_stack(definition, hosts).components.logs is None
    logs = parse_stack({**definition, "components": {"logs": {}}}, hosts).components.logs
    assert logs and logs.hosts == (hosts[2].name,)
    assert (logs.retention, logs.audit_retention) == (30 * 86400, 2555 * 86400)


def test_there_is_one_store() -> None:
    logs = replace(STORED.components.logs, hosts=("h1.test", "h2.test"))
    both = replace(STORED, components=replace(STORED.components, logs=logs))
    found = [problem.path for rule in STACK_RULES for problem in rule(both)]
    assert found == ["stack/components/logs/hosts"]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        pytest.param(Search(request="3f2a-9c1d"), '* "3f2a-9c1d"', id="an-id-in-all-days"),
        pytest.param(
            Search(component="api"),
            '_time:>=2026-11-27T14:00:00.000000Z (component:="api" or service:="api" or job:="api")',
            id="a-service-within-the-last-hour",
        ),
        pytest.param(
            Search(component="api-blue-1", since="2d"),
            '_time:>=2026-11-25T15:00:00.000000Z component:="api-blue-1"',
            id="one-replica-of-two-days",
        ),
        pytest.param(
            Search(host="h1", release="abc", since="2026-11-27T10:00:00", before="2026-11-27"),
            '_time:>=2026-11-27T10:00:00Z _time:<=2026-11-27Z host:="h1" release:="abc"',
            id="a-release-on-a-host-between-two-times-in-utc",
        ),
        pytest.param(
            Search(contains='a "b" [c]', since="2026-11-27T10:00:00+02:00"),
            r'_time:>=2026-11-27T10:00:00+02:00 ~"a\\ \"b\"\\ \\[c\\]"',
            id="words-as-they-stand",
        ),
    ],
)
def test_a_search_asks(search: Search, expected: str) -> None:
    asked, _, rest = query(search, NOW).partition(" | ")
    assert asked == expected
    assert rest.startswith("sort by (_time desc) limit 50")


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        (Search(), "nothing is looked for"),
        (Search(request='x" or "y'), "request is"),
        (Search(host="a b"), "host is"),
        (Search(component="api", since="yesterday"), "which is no time"),
        (Search(component="api", before="tomorrow"), "which is no time"),
    ],
)
def test_what_means_nothing_is_refused_before_anybody_is_asked(search: Search, problem: str) -> None:
    with pytest.raises(SlipwayError, match=problem):
        search.check()


def row(moment: str, seq: str, said: str, host: str = "h1") -> dict[str, str]:
    return {"_time": moment, "host": host, "component": "api-blue-1", "_msg": said, "seq": seq}


def test_lines_are_told_in_the_order_of_time_however_many_digits_it_has() -> None:
    rows = [
        row("2026-11-27T15:00:01.5Z", "3", "c"),
        row("2026-11-27T15:00:01Z", "1", "a"),
        row("2026-11-27T15:00:01.25Z", "2", "b"),
    ]
    assert told(rows) == [
        "2026-11-27T15:00:01.000000000Z h1 api-blue-1 a",
        "2026-11-27T15:00:01.250000000Z h1 api-blue-1 b",
        "2026-11-27T15:00:01.500000000Z h1 api-blue-1 c",
    ]


def test_what_was_sent_twice_is_told_once_and_what_two_hosts_said_twice() -> None:
    moment = "2026-11-27T15:00:01Z"
    rows = [row(moment, "7", "a"), row(moment, "7", "a"), row(moment, "7", "a", "h2")]
    assert [line.split()[1] for line in told(rows)] == ["h1", "h2"]


@pytest.mark.parametrize(
    ("body", "expected", "warned"),
    [
        pytest.param(b'{"a":1}\n{"a":2}', [{"a": 1}, {"a": 2}], 0, id="a-whole-one"),
        pytest.param(b'{"a":1}\n{"a":"not all', [{"a": 1}], 1, id="one-that-is-cut"),
        pytest.param(b'{"a":"less than one line', [], 1, id="one-that-is-cut-in-its-first-line"),
    ],
)
def test_half_a_line_of_too_large_an_answer_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, body: bytes, expected: list[Any], warned: int
) -> None:
    monkeypatch.setattr(f"{rows.__module__}.ANSWER", 18)
    said: list[str] = []
    assert rows(body, said.append) == expected
    assert len(said) == warned
