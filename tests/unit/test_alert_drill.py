"""Every critical alert is drilled or excused, and what is done about it stands in the runbook it names."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from alert_case import Act, Case, Watched
from alert_cases import CASES, ROUNDS
from alert_cases_kept import BACKUP_OLD
from alert_drill import chosen, stack_of
from alert_excused import NOT_DRILLED
from alert_report import Outcome, line, table
from alert_sinks import MAPS, PAYS, Sinks, Web
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.alert_routing import unheard
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from listeners import MailServer
from test_runbooks import CHECKOUT
from whole_stack import LAB_HOSTS, lab_definition, rules, stack, with_everything

CRITICAL = {
    rule["alert"]: rule["annotations"]["runbook_url"]
    for rule in rules(with_everything(stack()))
    if rule["labels"].get("severity") == "critical"
}
WATCHED = [(case, watched) for case in CASES.values() for watched in case.watched]
DRILLED = {watched.alert for _, watched in WATCHED}


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of its rank or a higher one."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"{page.name} has no section `{heading}`"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def acts(case: Case) -> list[Act]:
    """All of a case, and what fills them in."""
    own = [*case.before, *case.inject, *case.runbook, *case.undo]
    return own + [value for act in own for value in act.fill.values() if isinstance(value, Act)]


def test_every_critical_alert_is_drilled_or_says_why_not() -> None:
    assert set(CRITICAL) == DRILLED | set(NOT_DRILLED)
    assert not DRILLED & set(NOT_DRILLED)


def test_no_alert_and_no_fault_is_there_twice() -> None:
    assert len(WATCHED) == len(DRILLED)
    assert len(CASES) == sum(len(lane) for lanes in ROUNDS for lane in lanes)


@pytest.mark.parametrize(("case", "watched"), WATCHED, ids=[watched.alert for _, watched in WATCHED])
def test_what_is_done_stands_in_the_runbook_of_the_alert(case: Case, watched: Watched) -> None:
    page, _, anchor = CRITICAL[watched.alert].partition("#")
    text = section(CHECKOUT / page, watched.section)
    assert not anchor or anchor_of(watched.section) == anchor
    assert watched.alert in (CHECKOUT / page).read_text(encoding="utf-8")
    assert [act.words for act in case.runbook if act.words not in text] == []


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_done_can_be_undone_without_the_runbook(case: Case) -> None:
    assert case.inject and case.runbook and case.undo


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_commands_are_shell(case: Case) -> None:
    for act in acts(case):
        if act.where != "sinks":
            argv = ["bash", "-n", "-c", act.command]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (act.command, done.stderr)


@pytest.fixture
def sinks(tmp_path: Path) -> Any:
    mail, web = MailServer(), Web()
    yield Sinks("127.0.0.1", tmp_path / "ca.pem", mail, web)
    mail.server_close()
    web.server_close()


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param(["edge"], [[["edge"]]], id="by-fault"),
        pytest.param(["PostgresDown", "host"], [[["postgres"], ["host"]]], id="by-alert"),
        pytest.param(
            ["edge", "site", "third-party"], [[["edge", "third-party"]], [["site"]]], id="two-rounds"
        ),
    ],
)
def test_some_are_chosen(only: Sequence[str], expected: list[Any]) -> None:
    found = chosen(ROUNDS, only)
    assert [[[case.name for case in lane] for lane in lanes] for lanes in found] == expected


def test_all_are_chosen_without_a_name() -> None:
    assert [tuple(map(tuple, lanes)) for lanes in chosen(ROUNDS, [])] == list(ROUNDS)


def test_the_stack_of_the_drill_is_valid_and_heard(sinks: Sinks) -> None:
    found = parse_stack(stack_of(lab_definition(), sinks), LAB_HOSTS)
    assert unheard(found) == []
    assert {PAYS, MAPS} < set(found.components.monitoring.outside)


def shell(command: str, folder: Path) -> None:
    """A host's command, with its folders in a place of the test's."""
    here = command.replace("/opt/wayfare/state/metrics", str(folder)).replace("/run/", f"{folder}/")
    subprocess.run(["bash", "-eo", "pipefail", "-c", here], check=True)


def test_what_is_dated_back_can_be_told_again(tmp_path: Path) -> None:
    file = tmp_path / "backup.prom"
    told = 'slipway_backup_newest_seconds{repository="1"} 1000\nslipway_backup_last_ok 1\n'
    file.write_text(told)
    shell(BACKUP_OLD.inject[0].command, tmp_path)
    newest, other = file.read_text().splitlines()
    assert abs(time.time() - int(newest.split()[1]) - 7 * 3600) < 60
    assert other == "slipway_backup_last_ok 1"
    shell(BACKUP_OLD.undo[0].command, tmp_path)
    assert file.read_text() == told
    shell(BACKUP_OLD.inject[0].command, tmp_path)
    file.write_text("anew")
    shell(BACKUP_OLD.undo[0].command, tmp_path)
    assert file.read_text() == "anew"
    assert list(tmp_path.iterdir()) == [file]


def test_the_table_says_what_was_done_and_what_was_not() -> None:
    edge = Outcome(CASES["edge"], "EdgeDown", 71.4, 40.2, mailed=True)
    late = Outcome(CASES["edge"], "RouteUnreachable", None, None, problem="no message within 240 s")
    text = table([late, edge], {"PostgresTwoLeaders": "the design excludes it"})
    done = "`docker compose --file /opt/wayfare/current/docker-compose.prod.yml up --detach edge`"
    fault = "nginx is stopped on one of two edge hosts"
    assert text.splitlines()[2:4] == [
        f"| `EdgeDown` | {fault} | 71 s | {done} | 40 s | - |",
        f"| `RouteUnreachable` | {fault} | never | {done} | never (no message within 240 s) | - |",
    ]
    assert "| `PostgresTwoLeaders` | the design excludes it |" in text
    figures = "message after never, resolved after never, not by mail"
    assert line(late) == f"RouteUnreachable: {figures}: FAILED: no message within 240 s"
