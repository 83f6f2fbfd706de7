"""The drill of alerts hurts the host that has the role, waits, follows the runbook, and undoes all."""

from __future__ import annotations

import json
import shlex
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from alert_case import Act, Case, Watched
from alert_cases import CASES
from alert_hands import Hands, Scene, roles_of
from alert_report import Outcome
from alert_runner import Drill, labels
from alert_sinks import PAYS, Sinks, Told, Web
from listeners import MailServer, serving
from site_under_test import Machine, Site
from test_runbooks import CHECKOUT

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
        self.before = ""

    def scene(self, case: Case) -> Scene:
        return Scene({role: [FIRST] for role in roles_of(case)}, {FIRST.name: "10.0.0.1"})

    def do(self, act: Act, scene: Scene) -> None:
        self.done.append(act.command)
        for name, status, more in self._then.get(act.command, ()):
            tell(self._sinks, name, status, **more)
        if act.command == "break":
            raise AssertionError("it does not answer")

    def ask_prometheus(self, query: str, monitoring: Machine) -> str:
        # What was there before the fault, and what its own case waits for.
        return self.before if "=~" in query else "1"


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


def test_what_fires_for_another_reason_is_waited_for(sinks: Sinks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_runner.QUIET", 0.0)
    stage = Stage(sinks, {})
    stage.before = 'ALERTS{alertname="EdgeDown"} 1'
    outcomes = drilled(stage, sinks)
    assert all("fired before" in one.problem for one in outcomes)
    assert stage.done == ["undo"]


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


def test_a_scene_says_who_has_a_role() -> None:
    other = Machine("lab-2.test", 2, "slipway-lab-2")
    scene = Scene(
        {"leader": [FIRST], "peers": [FIRST, other]}, {"lab-1.test": "10.0.0.1", "lab-2.test": "10.0.0.2"}
    )
    assert (
        scene.say("<leader> at <leader's address>, <peers>") == "lab-1.test at 10.0.0.1, 10.0.0.1, 10.0.0.2"
    )


class Answering(Machine):
    """One of three hosts; the second leads PostgreSQL, the third Redis; it keeps its orders."""

    told: ClassVar[list[tuple[str, str]]] = []

    def __call__(self, command: str) -> str:
        self.told.append((self.name, command))
        if "patronictl list" in command:
            roles = {1: "Replica", 2: "Leader", 3: "Replica"}
            return json.dumps([{"Member": f"lab-{it}.test", "Role": role} for it, role in roles.items()])
        if "current-master.sh" in command:
            return "10.0.0.3"
        if "wayfare-edge-1" in command:
            return "id" if self.number < 3 else ""
        if "--filter name=" in command:
            return "id" if self.number == 3 else ""
        return f"replica-{self.number}-1\nreplica-{self.number}-2" if "cat " in command else ""


@pytest.fixture
def hands(sinks: Sinks) -> Hands:
    Answering.told.clear()
    machines: list[Machine] = [Answering(f"lab-{it}.test", it, f"slipway-lab-{it}") for it in (1, 2, 3)]
    hosts = {"hosts": {f"lab-{it}.test": f"10.0.0.{it}" for it in (1, 2, 3)}}
    return Hands(Site("lab", CHECKOUT / "inventories/lab", hosts, machines), sinks)


def played(case: Case, hands: Hands) -> dict[str, list[str]]:
    """What each host is told to do by a case's fault and its runbook, apart from what fills it in."""
    scene = hands.scene(case)
    Answering.told.clear()
    for act in (*case.inject, *case.runbook):
        hands.do(act, scene)
    found: dict[str, list[str]] = {}
    for host, command in sorted(Answering.told, key=lambda it: it[0]):
        told = shlex.split(command)[-1]
        if "cat " not in told:
            found.setdefault(host.removesuffix(".test"), []).append(told)
    return found


def test_the_leader_is_stopped_last_and_all_are_started(hands: Hands) -> None:
    start = "docker compose --file /opt/wayfare/current/docker-compose.prod.yml up --detach postgres"
    stop = "docker stop wayfare-postgres-1"
    assert played(CASES["postgres"], hands) == {f"lab-{it}": [stop, start] for it in (1, 2, 3)}
    assert [host for host, command in Answering.told if stop in command][-1] == "lab-2.test"


def test_each_replica_is_started_by_its_name(hands: Hands) -> None:
    told = played(CASES["service"], hands)
    assert told["lab-2"][1:] == ["docker start replica-2-1", "docker start replica-2-2"]


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        pytest.param("replication", "lab-3", "ip daddr 10.0.0.2 tcp dport 5432 drop", id="from-the-leader"),
        pytest.param("environment", "lab-3", "'10.0.0.1, 10.0.0.2'", id="from-the-others"),
        pytest.param("edge", "lab-2", "docker stop wayfare-edge-1", id="the-second-edge"),
        pytest.param("redis", "lab-3", "docker stop wayfare-redis-1", id="the-master"),
    ],
)
def test_the_one_that_has_the_role_is_hurt(hands: Hands, name: str, host: str, expected: str) -> None:
    assert any(expected in command for command in played(CASES[name], hands)[host])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_lab_has_every_role_and_no_example_is_left(hands: Hands, case: Case) -> None:
    scene = hands.scene(case)
    assert all(scene.roles.values())
    assert not [value for it in case.watched for value in labels(it, scene).values() if "<" in value]


def test_here_the_lab_stands_in_the_place_of_production(hands: Hands) -> None:
    scene = Scene({}, {})
    hands.do(Act("checkout", "test production = lab && test web = api", {"api": "web"}), scene)
    with pytest.raises(AssertionError, match="ended with 1"):
        hands.do(Act("checkout", "test production = x"), scene)


def test_sinks_become_what_they_are_told(sinks: Sinks) -> None:
    sinks.become(f"{PAYS} 503")
    sinks.become("mail 451 not now")
    assert (sinks.web.status[PAYS], sinks.mail.refusal) == (503, "451 not now")
    sinks.become("mail")
    assert sinks.mail.refusal == ""


def test_a_message_of_alertmanagers_is_kept_and_a_third_party_answers(sinks: Sinks) -> None:
    since = "2026-11-28T07:30:00.123456789Z"
    alert = {"status": "firing", "startsAt": since, "labels": {"alertname": "EdgeDown", "host": "a"}}
    with serving(sinks.web):
        body = json.dumps({"alerts": [alert]}).encode()
        urllib.request.urlopen(sinks.url("alerts"), data=body, timeout=5).close()
        sinks.become(f"{PAYS} 503")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(sinks.url(PAYS), timeout=5)
    at = datetime(2026, 11, 28, 7, 30, 0, 123456, tzinfo=UTC).timestamp()
    assert sinks.first("EdgeDown", "firing", {"host": "a"}, at, at) is not None
    assert sinks.first("EdgeDown", "firing", {"host": "a"}, at + 1, at) is None
