"""Alerts lead to runbooks that exist, every component has one, and no link in the documentation is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from documentation import CHECKOUT, DOCS, PAGES, RUNBOOKS, blocks, sections, targets, text
from whole_stack import rules, stack, with_alerts, with_everything

PARTS = {"Symptom", "Check", "Action", "Verify", "Undo"}
# On pages about what is searched for, what is not found is all there is to see.
ARE_SYMPTOMS = {"Something is missing", "A trace is not there, or not whole"}
# They are no news: one says that all is well, others repeat an alert that nobody has answered.
SIGNS = {"SiteAnswers", "Unanswered1", "Unanswered2", "Unanswered3"}

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
LINKED = sorted({*PAGES, *DOCS.rglob("*.md")})

on_every_runbook = pytest.mark.parametrize(
    "page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: str(page.stem)
)


def alerts() -> set[tuple[str, str]]:
    told = rules(with_alerts(with_everything(stack())))
    return {(rule["alert"], rule["annotations"]["runbook_url"]) for rule in told}


ALERTS = {alert for alert, _url in alerts()}


def runbook(component: str) -> str:
    if component in ALIASES:
        return ALIASES[component]
    watched = component.removesuffix("-exporter")
    return watched if watched in COMPONENTS else component


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", text(page))
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
    assert alert in text(page)


@pytest.mark.parametrize("component", sorted(COMPONENTS))
def test_a_component_has_a_runbook(component: str) -> None:
    assert (RUNBOOKS / f"{runbook(component)}.md").is_file()


@on_every_runbook
def test_each_section_of_a_runbook_is_whole(page: Path) -> None:
    """Who is called at night finds the same five parts everywhere; the name of an alert is a symptom."""
    lacking = {}
    for heading, body in sections(page).items():
        said = {part for part in PARTS if re.search(rf"\*{part}\b", body)}
        seen = {"Symptom"} if heading in ARE_SYMPTOMS or set(heading.split(", ")) <= ALERTS else set()
        if said & {"Check", "Action", "Verify"} and said | seen != PARTS:
            lacking[heading] = PARTS - said - seen
    assert lacking == {}


@on_every_runbook
def test_a_command_to_copy_is_not_about_the_lab(page: Path) -> None:
    """Without `ENV=` it would ask the lab, and whoever is called at night would believe the answer."""
    about_one = "|".join(
        target for target, recipe in targets().items() if "$(PLAY)" in recipe and target != "up"
    )
    lines = [line for block in blocks(page) for line in block.splitlines()]
    assert [line for line in lines if re.match(rf"make ({about_one})\b", line) and "ENV=" not in line] == []


@on_every_runbook
def test_a_runbook_lists_alerts_that_there_are(page: Path) -> None:
    listed = re.findall(r"\bAlerts?:\s(.+(?:\n.+)*)", text(page))
    assert set(re.findall(r"`([A-Z][a-z]\w+)`", " ".join(listed))) <= ALERTS


def test_the_index_has_all_runbooks() -> None:
    index = text(RUNBOOKS / "README.md")
    assert [page.name for page in RUNBOOKS.glob("*.md") if f"]({page.name}" not in index] == ["README.md"]


def test_the_index_has_all_alerts_and_where_they_lead() -> None:
    """For whoever has a name and no link: each row holds names, and the link that their annotation has."""
    index = text(RUNBOOKS / "README.md")
    rows = re.findall(r"^\| (`[A-Z].*) \| \[[^\]]+\]\((\S+)\) \|$", index, re.MULTILINE)
    listed = {(alert, link) for names, link in rows for alert in re.findall(r"`(\w+)`", names)}
    led = {(alert, url.removeprefix("docs/runbooks/")) for alert, url in alerts()}
    assert listed == {(alert, link) for alert, link in led if alert not in SIGNS}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    assert broken(page) == []
