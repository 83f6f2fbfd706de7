"""A host that vanishes while a release comes out takes the release back, not the site down.

Told on the lab's usual topology: clients come in through the first host, the second one is an edge host, too,
and the third one judges.
"""

from __future__ import annotations

import csv
import io
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults import cut_off, inside, unplugged
from fleet_under_test import Fleet
from leaders import lead_elsewhere
from site_under_test import Machine
from steady_load import Load

pytestmark = pytest.mark.by_hand

Fault = Callable[[Machine], AbstractContextManager[None]]

# Where the new replicas have a share of the traffic, on every host; where each is asked for something.
JUDGING = r"TASK \[slipway.compose.release : Judge api for"
STARTING = r"TASK \[slipway.compose.release : Start replicas: api \w+ 2/2"
HOMEWARD = "TASK [slipway.compose.release : Send the traffic back"
PATIENCE = 240
# What is promised: the loss is noticed within 10 s, and 5 s later all others serve the old release.
HOME_SECONDS = 15
# The routers' checks take a vanished host out within 3 s, and a second is for being asked.
BLIND_SECONDS = 4
# What was on its way to it by then ends after six seconds of silence, not at a deadline.
WAITING_SECONDS = 11
# What cannot be sent again: it may have done its work, or have been answered in part.
ONCE = {"echo", "grpc call"}
LASTING = {"download", "upload", "websocket", "grpc stream"}


@dataclass(frozen=True)
class Loss:
    """Which machine befalls what, and when: at the task whose name looks like `moment`."""

    number: int
    fault: Fault
    moment: str


@dataclass(frozen=True)
class Failure:
    """A failed request as the load tells it: of what kind, when it was sent and when it failed."""

    kind: str
    sent: float
    ended: float


def failures(load: Load) -> list[Failure]:
    today = datetime.now(UTC).date().isoformat()
    found = []
    for line in load.failures:
        told = re.match(r"(\S+) ([\w ]+?) after ([\d.]+) s", line)
        assert told, line
        clock, kind, took = told.groups()
        ended = datetime.fromisoformat(f"{today}T{clock}+00:00").timestamp()
        found.append(Failure(kind, ended - float(took), ended))
    return found


def wait_for(log: Path, marker: str, still: Callable[[], bool]) -> None:
    """Go on as soon as a log says something."""
    limit = time.monotonic() + PATIENCE
    while not re.search(marker, log.read_text()):
        assert still() and time.monotonic() < limit, log.read_text()[-3000:]
        time.sleep(0.1)  # between two looks


def seconds_until_home(log: Path, reached: list[str], since: float, still: Callable[[], bool]) -> float:
    """Until every host that can be reached has said that its routers send all the traffic home."""

    def at_home() -> bool:
        _before, _marker, after = log.read_text().partition(HOMEWARD)
        return all(re.search(rf"^(?:changed|ok): \[{host}", after, re.MULTILINE) for host in reached)

    while not at_home():
        assert still() and time.time() - since < PATIENCE, log.read_text()[-3000:]
        time.sleep(0.05)  # between two looks
    return time.time() - since


def weights(machine: Machine, service: str) -> dict[str, set[int]]:
    """What a machine's own router gives the servers of each pool, asked past the network."""
    told = inside(
        machine, "docker", "exec", "wayfare-router-1", "curl", "-sS", "http://127.0.0.1:8405/stats;csv"
    )
    found: dict[str, set[int]] = {"blue": set(), "green": set()}
    for row in csv.DictReader(io.StringIO(told.lstrip("# "))):
        if row["pxname"] == service and row["svname"] not in ("FRONTEND", "BACKEND"):
            found[row["svname"].split("-")[1]].add(int(row["weight"]))
    return found


def pools_on(machine: Machine, service: str) -> Counter[str]:
    """Running replicas of a service by pool."""
    names = machine("sudo docker ps --format '{{.Names}}'").split()
    return Counter(found[1] for name in names if (found := re.search(rf"-{service}-(blue|green)-", name)))


@pytest.fixture(autouse=True)
def names_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a task's name is printed with its first answer: after the judge's pause, not before it."""
    monkeypatch.setenv("ANSIBLE_DISPLAY_SKIPPED_HOSTS", "true")


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(Loss(1, unplugged, JUDGING), id="an-edge-host-vanishes"),
        pytest.param(Loss(2, unplugged, JUDGING), id="the-judge-vanishes"),
        pytest.param(Loss(1, cut_off, STARTING), id="an-edge-host-serves-on-out-of-reach"),
    ],
)
def test_the_others_go_back_to_the_old_release(
    fleet: Fleet, load: Load, loss: Loss, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = fleet.deploy(fleet.stack("api", {}))
    assert ready.status == 0, ready.problem
    lead_elsewhere(fleet.site, fleet.site.machines[loss.number])
    live, here = fleet.assert_one_pool("api"), fleet.current()
    lost = fleet.site.machines[loss.number]
    reached = [machine.name for machine in fleet.site.machines if machine != lost]
    log = fleet.log()
    stack = fleet.stack("api", {"RELEASE_UNDER_TEST": secrets.token_hex(4)}, strategy="quick_canary")
    with fleet.site.deploying(log, {"stack": stack}) as process:

        def still() -> bool:
            return process.poll() is None

        wait_for(log, loss.moment, still)
        time.sleep(2 if loss.moment == JUDGING else 0)  # the judge has begun to look
        with loss.fault(lost):
            since = time.time()
            home = seconds_until_home(log, reached, since, still)
            status = process.wait(timeout=PATIENCE)
            ended = time.time() - since
            told = " ".join(log.read_text().split())
            with capsys.disabled():
                print(f"\n{lost.name}: traffic home after {home:.1f} s, run ended after {ended:.1f} s")
            assert status != 0
            assert "ROLLED BACK" in told and f"{lost.name} could not be told" in told, told[-3000:]
            assert home < HOME_SECONDS
            for machine in fleet.site.machines:
                if machine != lost:
                    assert pools_on(machine, "api") == {live: 2}
            if loss.fault is cut_off:
                new = "green" if live == "blue" else "blue"
                assert weights(lost, "api") == {live: {100}, new: {0}}, "its clients get another release"
            time.sleep(5)  # the load goes on while the host is away
    with capsys.disabled():
        print(*load.failures, sep="\n")
    if loss.fault is cut_off:
        assert not load.failures
    for failure in failures(load):
        assert failure.sent - since < BLIND_SECONDS, "a request was sent to a host that was known to be lost"
        waited = failure.ended - max(failure.sent, since)
        assert waited < WAITING_SECONDS, "a request waited for a host that was lost"
        assert failure.kind in ONCE | LASTING, "a request that could be sent again was not"

    home_again = fleet.deploy(fleet.stack("api", {}))
    assert home_again.status == 0, home_again.problem
    assert (fleet.assert_one_pool("api"), fleet.current()) == (live, here)
