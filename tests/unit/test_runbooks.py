"""Alerts lead to runbooks that exist, every component has one, and no link in the documentation is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.components import COMPONENTS
from whole_stack import rules, stack, with_everything

CHECKOUT = Path(__file__).resolve().parents[2]
RUNBOOKS = CHECKOUT / "docs/runbooks"
PARTS = ("Check", "Action", "Verify")

# Components that are looked after together with another one.
ALIASES = {
    "alertmanager": "prometheus",
    "archive-repository": "backups",
    "audit-logs": "logs",
    "backup-agent": "backups",
    "backup-repository": "backups",
    "blackbox": "prometheus",
    "collector": "traces",
    "grafana": "console",
    "local-router": "router",
    "logs-proxy": "logs",
    "sentinel": "redis",
}
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


def alerts() -> set[tuple[str, str]]:
    return {(rule["alert"], rule["annotations"]["runbook_url"]) for rule in rules(with_everything(stack()))}


def runbook(component: str) -> str:
    if component in ALIASES:
        return ALIASES[component]
    watched = component.removesuffix("-exporter")
    return watched if watched in COMPONENTS else component


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def broken(page: Path) -> list[str]:
    bad = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            bad.append(link)
    return bad


@pytest.mark.parametrize(("alert", "url"), sorted(alerts()))
def test_an_alert_leads_to_a_runbook_that_speaks_of_it(alert: str, url: str) -> None:
    name, _, section = url.partition("#")
    page = CHECKOUT / name
    assert page.is_file()
    assert not section or section in anchors(page)
    assert alert in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("component", sorted(COMPONENTS))
def test_a_component_has_a_runbook(component: str) -> None:
    assert (RUNBOOKS / f"{runbook(component)}.md").is_file()


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_to_check_to_do_and_to_verify(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name != "README.md":
        assert all(re.search(rf"\*{part}\*", text) for part in PARTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    assert broken(page) == []
