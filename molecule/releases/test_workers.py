"""Workers and jobs: what has no traffic is released as carefully, and goes back as surely."""

from __future__ import annotations

import json
import secrets
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from edge import Edge
from fleet_under_test import Fleet
from site_under_test import Site
from waiting import eventually

from lab import Lab

WORKER = "confirmations"
# The new one is looked after for some seconds before the old one goes.
STEADY = {"steps": [{"new": "100%", "pause": "20s"}]}


class Lives:
    """Starts and ends of the worker's replicas on every host, as the engines tell them."""

    def __init__(self, site: Site) -> None:
        filters = ["--filter", "type=container", "--filter", "event=start", "--filter", "event=die"]
        watch = ["timeout", "900", "docker", "events", *filters, "--format", "{{json .}}"]
        self._listed = {
            it.name: it(f"sudo docker ps --format '{{{{.Names}}}}' | grep -c {WORKER}-")
            for it in site.machines
        }
        self._streams = {
            it.name: subprocess.Popen(
                ["docker", "exec", it.container, *watch], stdout=subprocess.PIPE, text=True
            )
            for it in site.machines
        }

    def end(self) -> list[dict[str, int]]:
        """How many replicas ran on each host, after each event of the fleet, in order."""
        events = []
        for host, stream in self._streams.items():
            stream.terminate()
            told = map(json.loads, (stream.communicate()[0] or "").splitlines())
            events += [
                (it["timeNano"], host, it["Action"])
                for it in told
                if f"{WORKER}-" in it["Actor"]["Attributes"]["name"]
            ]
        running = {host: int(count) for host, count in self._listed.items()}
        seen = [dict(running)]
        for _when, host, action in sorted(events):
            running[host] += 1 if action == "start" else -1
            seen.append(dict(running))
        return seen


def mark() -> dict[str, str]:
    return {"RELEASE_UNDER_TEST": secrets.token_hex(4)}


def stack_with_job(fleet: Fleet, **job: Any) -> dict[str, Any]:
    """A release of the worker alone, with another job."""
    stack = fleet.stack(WORKER, mark(), strategy="recreate")
    stack["jobs"] = {"under_test": {"service": WORKER, **job}}
    return stack


def job_containers(lab: Lab) -> list[str]:
    return [
        name
        for host in lab.hosts.values()
        for name in host.check_output(
            "docker ps --all --filter label=io.slipway.job --format '{{.Names}}'"
        ).split()
    ]


def confirmed(lab: Lab, booking: str) -> str:
    query = f"SELECT count(*) FROM audit_log WHERE action = 'booking.confirmed' AND subject_id = '{booking}'"
    return lab.in_container(
        lab.host_of("postgres"), "postgres", f'psql --no-psqlrc -At -d wayfare -c "{query}"'
    ).strip()


def test_one_that_stops_first_never_runs_beside_itself(fleet: Fleet) -> None:
    before = fleet.assert_one_pool(WORKER, 1)
    watching = Lives(fleet.site)
    run = fleet.deploy(fleet.stack(WORKER, mark(), strategy="stop_first"))
    seen = watching.end()
    assert run.status == 0, run.problem
    assert fleet.assert_one_pool(WORKER, 1) != before
    assert len(seen) == 1 + 2 * len(fleet.site.machines), seen
    assert all(count <= 1 for running in seen for count in running.values()), seen
    assert all(sum(running.values()) >= len(running) - 1 for running in seen), (
        "more than one host was without it"
    )


def test_it_does_its_work(edge: Edge, lab: Lab) -> None:
    day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    journey = edge.get(f"/api/journeys?from=Berlin&to=Vienna&date={day}").json()["journeys"][0]["id"]
    body = json.dumps({"journey_id": journey, "seats": 1, "passenger": "System Test"}).encode()
    headers = {"Idempotency-Key": f"workers-{secrets.token_hex(8)}", "Content-Type": "application/json"}
    booking = edge.request("POST", "/api/bookings", headers, body).json()["booking"]["id"]
    assert eventually(lambda: confirmed(lab, booking), lambda count: count != "0", seconds=60) == "1"


@pytest.mark.parametrize(
    ("misbehaviour", "told"),
    [
        pytest.param("crash_on_start", "before it was ready", id="on-start", marks=pytest.mark.by_hand),
        pytest.param(
            "crash_after=6s", "since it was started", id="when-it-is-ready", marks=pytest.mark.by_hand
        ),
    ],
)
def test_one_that_crashes_goes_back(fleet: Fleet, misbehaviour: str, told: str) -> None:
    live, here = fleet.assert_one_pool(WORKER, 1), fleet.current()
    stack = fleet.stack(WORKER, {**mark(), "MISBEHAVE": misbehaviour}, strategy="steady")
    stack["strategies"]["steady"] = STEADY
    run = fleet.deploy(stack)
    assert run.status != 0
    assert "ROLLED BACK" in run.output, run.problem
    assert f"{WORKER}-" in run.output and told in run.output, run.problem
    assert (fleet.assert_one_pool(WORKER, 1), fleet.current()) == (live, here)


@pytest.mark.parametrize(
    ("job", "told"),
    [
        # The command of a worker: it ends when it is told to, and not before.
        pytest.param(
            {"command": [WORKER], "deadline": "3s"},
            "was not done within 3 s",
            id="is-too-slow",
            marks=pytest.mark.by_hand,
        ),
        pytest.param({"command": ["nonsense"]}, "ended with status 64", id="fails"),
    ],
)
def test_a_job_before_the_traffic_sends_the_release_back(
    fleet: Fleet, lab: Lab, job: dict[str, Any], told: str
) -> None:
    live, here = fleet.assert_one_pool(WORKER, 1), fleet.current()
    run = fleet.deploy(stack_with_job(fleet, when="before_traffic", **job))
    assert run.status != 0
    assert told in run.output and "ROLLED BACK" in run.output, run.problem
    assert (fleet.assert_one_pool(WORKER, 1), fleet.current()) == (live, here)
    assert job_containers(lab) == []


def test_a_job_after_the_release_fails_the_run_and_nothing_else(fleet: Fleet, lab: Lab) -> None:
    live, here = fleet.assert_one_pool(WORKER, 1), fleet.current()
    run = fleet.deploy(stack_with_job(fleet, command=["nonsense"], when="after_release"))
    assert run.status != 0
    assert "usage: wayfare" in run.output, "its last words are missing"
    assert fleet.current() != here
    assert f"Release {fleet.current()} serves all the same" in run.output, run.problem
    assert fleet.assert_one_pool(WORKER, 1) != live
    assert job_containers(lab) == []
