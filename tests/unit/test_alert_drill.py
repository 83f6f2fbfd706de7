"""Every critical alert is drilled or excused, and what is done about it stands in the runbook it names."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_case import Act, Case, Watched
from alert_cases import CASES, ROUNDS
from alert_cases_kept import BACKUP_OLD
from alert_drill import chosen, stack_of
from alert_excused import NOT_DRILLED
from alert_hands import Hands, Scene, roles_of
from alert_report import Outcome, line, table
from alert_runner import Drill
from alert_sinks import MAPS, PAYS, Sinks, Told, Web
from ansible_collections.slipway.compose.plugins.module_utils._core.alert_routing import unheard
from ansible_collections.slipway.compose.plugins.module_utils._core.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.validation import parse_stack
from site_under_test import Machine
from test_hooks import MailServer
from test_runbooks import CHECKOUT
from whole_stack import rules, stack, with_everything

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


# --- who hurts, waits, follows and undoes ---

ONE = Case(
    "one",
    "something is stopped",
    (Watched("EdgeDown", "-", {"host": "<first>"}), Watched("SiteDown", "-")),
    (Act("first", "stop"),),
    (Act("first", "start"),),
    (Act("first", "undo"),),
    told=0,
    resolved=0,
)
FIRST = Machine("lab-1.test", 1, "slipway-lab-1")


class Stage(Hands):
    """Hosts that do as they are told at once: each command is followed by what `then` says comes of it."""

    def __init__(self, sinks: Sinks, then: Any) -> None:
        self._sinks, self._then = sinks, then
        self.done: list[str] = []

    def scene(self, case: Case) -> Scene:
        return Scene({role: [FIRST] for role in roles_of(case)}, {FIRST.name: "10.0.0.1"})

    def do(self, act: Act, scene: Scene) -> str:
        self.done.append(act.command)
        for name, status, labels in self._then.get(act.command, ()):
            tell(self._sinks, name, status, **labels)
        if act.command == "break":
            raise AssertionError("it does not answer")
        return ""

    def ask_prometheus(self, query: str, monitoring: Machine) -> str:
        return "1"


def tell(sinks: Sinks, name: str, status: str, *, since: float | None = None, **labels: str) -> None:
    moment = time.time() if since is None else since
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f"{moment % 1:.9f}"[1:] + "Z"
    told = {"alertname": name, "severity": "critical", **labels}
    sinks.web.told.append(Told(time.time(), {"status": status, "startsAt": at, "labels": told}))


@pytest.fixture
def sinks(tmp_path: Path) -> Any:
    mail, web = MailServer(), Web()
    yield Sinks("127.0.0.1", tmp_path / "ca.pem", mail, web)
    mail.server_close()
    web.server_close()


def drilled(stage: Stage, sinks: Sinks, case: Case = ONE) -> list[Outcome]:
    return Drill(stage, sinks, threading.Event()).case(case)


HOST = {"host": "lab-1.test"}
WELL = {
    "stop": [("EdgeDown", "firing", HOST), ("SiteDown", "firing", {})],
    "start": [("EdgeDown", "resolved", HOST), ("SiteDown", "resolved", {})],
}


def test_an_alert_that_comes_and_goes_is_well(sinks: Sinks) -> None:
    stage = Stage(sinks, WELL)
    assert [(it.alert, it.well) for it in drilled(stage, sinks)] == [("EdgeDown", True), ("SiteDown", True)]
    assert stage.done == ["stop", "start", "undo"]


@pytest.mark.parametrize(
    ("other", "labels"),
    [
        pytest.param("EdgeDown", {"host": "lab-2.test"}, id="of-another-host"),
        pytest.param("EdgeDown", {**HOST, "severity": "warning"}, id="a-warning"),
        pytest.param("EdgeDown", {**HOST, "since": 1.0}, id="fired-before"),
    ],
)
def test_another_alert_of_the_name_is_not_taken_for_it(sinks: Sinks, other: str, labels: Any) -> None:
    stage = Stage(sinks, {**WELL, "stop": [(other, "firing", labels), ("SiteDown", "firing", {})]})
    edge, site = drilled(stage, sinks)
    assert (edge.told, site.well) == (None, True)
    assert edge.problem == "no message within 0 s"


def test_what_is_not_told_is_undone_without_the_runbook(sinks: Sinks) -> None:
    stage = Stage(sinks, {})
    assert {it.problem for it in drilled(stage, sinks)} == {"no message within 0 s"}
    assert stage.done == ["stop", "undo"]


def test_an_end_that_is_not_told_is_a_failure(sinks: Sinks) -> None:
    stage = Stage(sinks, {"stop": WELL["stop"]})
    assert {it.problem for it in drilled(stage, sinks)} == {"its end was not told within 0 s"}


def test_the_next_one_goes_on_after_one_that_broke(sinks: Sinks) -> None:
    stage, broken = Stage(sinks, WELL), replace(ONE, inject=(Act("first", "break"),))
    found = Drill(stage, sinks, threading.Event()).lane([broken, ONE])
    assert [it.problem for it in found] == ["it does not answer", "it does not answer", "", ""]
    assert stage.done == ["break", "undo", "stop", "start", "undo"]


def test_what_cannot_be_undone_is_told(sinks: Sinks) -> None:
    found = drilled(Stage(sinks, WELL), sinks, replace(ONE, undo=(Act("first", "break"),)))
    assert [it.problem for it in found if it.problem] == ["not undone: it does not answer"] * 2


def test_a_drill_that_is_ended_undoes_what_it_did(sinks: Sinks) -> None:
    halt, patient = threading.Event(), replace(ONE, told=60)
    stage = Stage(sinks, {})
    threading.Timer(0.1, halt.set).start()
    assert {it.problem for it in Drill(stage, sinks, halt).case(patient)} == {"the drill was ended"}
    assert stage.done == ["stop", "undo"]
    assert {it.problem for it in Drill(stage, sinks, halt).case(ONE)} == {"not begun: the drill was ended"}
    assert stage.done == ["stop", "undo"]


def test_what_nobody_can_be_told_of_is_missed_by_its_sign_of_life(sinks: Sinks) -> None:
    tell(sinks, "Watchdog", "firing")
    sinks.web.told[0] = replace(sinks.web.told[0], at=time.time() - 100)
    both = [*WELL["stop"], *WELL["start"]]
    mute = replace(ONE, watched=ONE.watched[:1], unheard=True, inject=(Act("monitoring", "stop"),))
    (found,) = drilled(Stage(sinks, {"start": both}), sinks, mute)
    assert found.well and found.silent is not None


# --- what is chosen, done and told ---


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
    text = (CHECKOUT / "inventories/lab/group_vars/lab/stack.yml").read_text()
    text = text.replace('"{{ lab.https_port }}"', "443").replace(
        "{{ lab.hosts.values() | first }}", "10.0.0.1"
    )
    hosts = [Host(f"lab-{number}.test", f"10.0.0.{number}") for number in (1, 2, 3)]
    found = parse_stack(stack_of(yaml.safe_load(text)["stack"], sinks), hosts)
    assert unheard(found) == []
    assert {PAYS, MAPS} < set(found.components.monitoring.outside)


def test_a_scene_says_who_has_a_role() -> None:
    other = Machine("lab-2.test", 2, "slipway-lab-2")
    scene = Scene(
        {"leader": [FIRST], "peers": [FIRST, other]}, {"lab-1.test": "10.0.0.1", "lab-2.test": "10.0.0.2"}
    )
    assert (
        scene.say("<leader> at <leader's address>, <peers>") == "lab-1.test at 10.0.0.1, 10.0.0.1, 10.0.0.2"
    )


def test_sinks_become_what_they_are_told(sinks: Sinks) -> None:
    sinks.become(f"{PAYS} 503")
    sinks.become("mail 451 not now")
    assert (sinks.web.status[PAYS], sinks.mail.refusal) == (503, "451 not now")
    sinks.become("mail")
    assert sinks.mail.refusal == ""


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
