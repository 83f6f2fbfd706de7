"""Dashboards are read whole or refused, and both of their forms ask the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.dashboard_grafana import (
    files,
    grafana,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.dashboards import (
    Dashboard,
    choices,
    dashboards,
    page,
    parts,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.grafana_sources import (
    Stores,
    sources,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Pair, Thresholds
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils import dashboard_files
from whole_stack import recorded_and_alerts, rendered, stack, with_console, with_everything, with_traces

CHECKOUT = Path(__file__).resolve().parents[2]
USUAL = Thresholds()
WHOLE = topology(with_everything(stack()))
BUSINESS = yaml.safe_load((CHECKOUT / "apps/wayfare/dashboards/business.yml").read_text())
# What is asked for in the issue, and what watches the others.
NAMES = {
    "overview",
    "service",
    "edge",
    "postgres",
    "redis",
    "hosts",
    "containers",
    "backups",
    "monitoring",
    "business",
}


def every(laid: Any = WHOLE, thresholds: Thresholds = USUAL) -> dict[str, Dashboard]:
    sources = {**dashboard_files.platform(), "business": BUSINESS}
    return {one.name: one for one in dashboards(sources, parts(laid), thresholds, {})}


def queries(one: Dashboard) -> list[str]:
    return [query.query for panel in one.panels() for query in panel.queries]


def small(**panel: Any) -> dict[str, Any]:
    asked = {"title": "Up", "queries": [{"query": "up"}], **panel}
    return {"title": "T", "about": "A.", "variables": ["host"], "rows": [{"title": "R", "panels": [asked]}]}


def faults(source: object) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        dashboards({"own": source}, frozenset(), Thresholds(), {"own": "apps/own.yml"})
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_stack_has_all_of_them_the_overview_first() -> None:
    found = every()
    assert found.keys() == NAMES
    assert next(iter(found)) == "overview"


def test_what_a_stack_lacks_is_left_out() -> None:
    base = stack()
    bare = replace(base, components=replace(base.components, postgres=None, redis=None))
    found = every(topology(bare))
    assert not {"postgres", "redis", "backups"} & found.keys()
    titles = {row.title for one in found.values() for row in one.rows}
    assert not {"What is promised", "Logs", "Third parties"} & titles


def test_numbers_are_those_of_the_stacks_alerts_in_the_panels_unit() -> None:
    changed = Thresholds(cpu=Pair(11, 22), latency=Pair(300, 700), certificate_days=Pair(20, 5))
    found = every(thresholds=changed)
    panels = {(one.name, it.title): it for one in found.values() for it in one.panels()}
    assert (panels["hosts", "CPU"].warning, panels["hosts", "CPU"].critical) == (11, 22)
    slow = panels["service", "95 of 100 are answered within"]
    assert (slow.warning, slow.critical) == (0.3, 0.7)
    ends = panels["edge", "Certificates end in"]
    assert (ends.warning, ends.critical) == (20 * 86400, 5 * 86400)


def test_both_forms_ask_the_same_questions() -> None:
    for name, one in every().items():
        made = grafana(one, choices(WHOLE))
        told = [target["expr"] for panel in made["panels"] for target in panel.get("targets", ())]
        assert told == queries(one), name


def test_every_metric_of_ours_is_one_that_something_writes() -> None:
    written = {rule["record"] for rule in recorded_and_alerts(WHOLE.stack) if "record" in rule}
    folders = ("plugins", "roles", "compose/config/edge-log", "apps/wayfare/wayfare")
    suffixes = {".py", ".j2", ".yml"}
    texts = [
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in (CHECKOUT / folder).rglob("*")
        if path.suffix in suffixes
    ]
    code = "\n".join(texts)
    for one in every().values():
        for name in re.findall(r"\b(?:slipway|wayfare)_[a-z_:0-9]+", "\n".join(queries(one))):
            # Made of parts where they are written: the last word of it, less what a client library adds.
            stem = re.sub(r"_(total|bucket|count|sum)$", "", name)
            parts_of_it = [stem, *(stem.split("_", count)[-1] for count in (1, 2, 3))]
            assert name in written or any(f'"{it}' in code or it in code for it in parts_of_it), name


def test_a_panel_that_may_be_empty_says_what_that_means() -> None:
    for one in every().values():
        for panel in one.panels():
            assert panel.empty is None or len(panel.empty) > 10


def test_grafana_is_given_panels_that_do_not_overlap_and_lie_within_its_width() -> None:
    for one in every().values():
        taken: set[tuple[int, int]] = set()
        made = grafana(one, choices(WHOLE))
        assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
        for panel in made["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }
            assert at["x"] + at["w"] <= 24
            assert not cells & taken
            taken |= cells


def test_grafana_is_given_its_variables_and_the_releases() -> None:
    made = grafana(every()["hosts"], choices(WHOLE))
    (host,) = made["templating"]["list"]
    assert host["query"] == "h1.test,h2.test,h3.test"
    assert host["allValue"] == ".+"
    (releases,) = made["annotations"]["list"]
    assert releases["useValueForTime"] is True
    assert made["uid"] == "slipway-hosts"


def test_grafana_marks_what_is_worse_below_a_number() -> None:
    made = grafana(every()["redis"], choices(WHOLE))
    hits = next(panel for panel in made["panels"] if panel["title"].startswith("Look-ups"))
    steps = hits["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in steps] == [
        ("red", None),
        ("orange", 20),
        ("green", 50),
    ]


def test_grafana_is_told_where_everything_is() -> None:
    stores = Stores("http://c:8082/logs", "the-word", "https://ops.test/logs/traces.html?trace=", True)
    made = files(list(every().values()), choices(WHOLE), sources("http://p:9090", "http://a:9093", stores))
    told = json.loads(made["provisioning/datasources/slipway.yml"])["datasources"]
    assert {(one["uid"], one["type"], one["url"]) for one in told} == {
        ("prometheus", "prometheus", "http://p:9090"),
        ("alertmanager", "alertmanager", "http://a:9093"),
        ("logs", "victoriametrics-logs-datasource", "http://c:8082/logs"),
        ("traces", "victoriametrics-logs-datasource", "http://c:8082/logs/traces"),
    }
    assert [one["name"] for one in told if one.get("isDefault")] == ["Prometheus"]
    assert not any(one["editable"] for one in told)
    assert {path for path in made if path.startswith("dashboards/")} == {
        f"dashboards/{name}.json" for name in NAMES
    }


def test_a_line_in_grafana_leads_to_the_waterfall_of_its_trace() -> None:
    stores = Stores("http://c:8082/logs", "the-word", "https://ops.test/logs/traces.html?trace=", True)
    logs, traces = sources("http://p:9090", "http://a:9093", stores)[2:]
    for one in (logs, traces):
        (link,) = one["jsonData"]["derivedFields"]
        assert link["url"] == "https://ops.test/logs/traces.html?trace=$${__value.raw}"
        # The word is not among what everybody may read of a source.
        assert one["secureJsonData"] == {"httpHeaderValue1": "the-word"} and "the-word" not in str(
            one["jsonData"]
        )
    line = '{"message": "request", "trace_id": "f01875adcbcc2364467369609088b5d7"}'
    found = re.search(logs["jsonData"]["derivedFields"][0]["matcherRegex"], line)
    assert found and found[1] == "f01875adcbcc2364467369609088b5d7"


@pytest.mark.parametrize(
    ("stores", "names"),
    [
        pytest.param(None, ["Prometheus", "Alertmanager"], id="no-lines-are-kept"),
        pytest.param(
            Stores("http://c", "w", "p", False), ["Prometheus", "Alertmanager", "Logs"], id="no-spans-are"
        ),
    ],
)
def test_grafana_is_told_of_nothing_that_is_not_there(stores: Stores | None, names: list[str]) -> None:
    found = sources("http://p:9090", "http://a:9093", stores)
    assert [one["name"] for one in found] == names
    assert not any("derivedFields" in one["jsonData"] for one in found)


def test_grafana_alone_reads_the_word_and_only_where_it_runs() -> None:
    whole = with_console(with_traces(stack()))
    for images in ({}, {"grafana": "grafana/grafana:11.2.0"}):
        tree = rendered(replace(whole, images=images), "h3.test")
        told = [path for path in tree if path.startswith("config/grafana/provisioning/datasources/")]
        assert bool(told) is bool(images)
        assert ("listen 8082" in tree["config/console/nginx.conf"]) is bool(images)


def test_the_page_is_told_what_can_be_chosen() -> None:
    told = page(list(every().values()), choices(WHOLE), {"Logs": "logs/"})
    assert told["choices"]["service"] == ["web", "api", "updates", "journeys", "worker"]
    assert told["menu"] == {"Logs": "logs/"}
    json.dumps(told)


def test_a_misspelt_key_is_named_with_its_place() -> None:
    (problem,) = faults(small(kindd="stat"))
    assert "apps/own.yml/rows/0/panels/0/kindd: is not a known key. Did you mean kind?" in problem


@pytest.mark.parametrize(
    ("panel", "words"),
    [
        ({"kind": "table", "queries": [{"query": "up"}, {"query": "up"}]}, "a table asks once"),
        ({"columns": ["host"]}, "are for a table"),
        ({"warning": 3}, "has one of warning and critical"),
        ({"limits": "cpu", "warning": 3, "critical": 4}, "has limits and numbers of its own"),
        ({"queries": [{"query": 'up{service=~"$service"}'}]}, "names $service, which the dashboard does not"),
        ({"limits": "speed"}, "not one of"),
    ],
)
def test_what_cannot_be_drawn_is_refused(panel: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in faults(small(**panel)))


def test_a_dashboard_that_is_no_table_is_refused() -> None:
    assert "not a table" in faults(["up"])[0]
