"""Restarts that parameters wait for, in which order, and Patroni's cluster reached over a real API."""

from __future__ import annotations

import http.server
import json
import threading
import time
from functools import partial

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health import Probe
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import (
    patroni_cluster,
    postgres_restart,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.leadership import Move
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.patroni_cluster import (
    PatroniCluster,
    patience,
)
from ansible_collections.slipway.compose.plugins.modules import postgres_leader
from test_leadership import LAG, THREE, cluster, leader, member, reasons


def test_members_that_wait_restart_before_the_leader_hands_over():
    found = cluster(leader(pending_restart=True), member("b", pending_restart=True), member("c"))
    steps = [str(step) for step in postgres_restart.plan(found, LAG, forced=False)]
    assert steps == [
        "b: restarts, as parameters wait",
        "a: hands over",
        "a: restarts, as parameters wait",
    ]


def test_where_no_parameter_waits_nothing_restarts():
    assert postgres_restart.plan(THREE, LAG, forced=False) == []


def test_a_leader_without_a_successor_restarts_by_consent_only():
    alone = cluster(leader(pending_restart=True))
    assert reasons(postgres_restart.plan, alone, LAG, forced=False) == ["no other member could lead"]
    assert [step.what for step in postgres_restart.plan(alone, LAG, forced=True)] == ["restart"]


def test_nothing_restarts_while_a_member_is_ill():
    with pytest.raises(SlipwayError, match="b is starting"):
        postgres_restart.plan(
            cluster(leader(), member("b", state="starting", pending_restart=True)), LAG, forced=False
        )


class Fake:
    """A cluster whose members do what they are told; nobody can see a decrease but the one that leads."""

    stack = "shop"

    def __init__(self, decrease: bool) -> None:
        self.decrease, self.leads, self.told = decrease, "a", []
        self.waiting = {"a", "b", "c"}

    def view(self):
        return cluster(
            *[
                (leader if name == self.leads else member)(name, pending_restart=name in self.waiting)
                for name in "abc"
            ]
        )

    def tell(self, argv):
        name = argv[3]
        self.told.append(f"restart {name}")
        if not self.decrease or name == self.leads:
            self.waiting.discard(name)

    def move(self, step, patience, lag, *, planned):
        assert planned
        self.told.append(f"move to {step.to}")
        if not self.decrease:
            self.waiting.discard(self.leads)
        self.leads = step.to
        return [str(step)]

    def until(self, missing, patience):
        assert missing(self.view()) == ""


def test_an_increase_needs_no_restart_of_a_leader():
    fake = Fake(decrease=False)
    postgres_restart.carry_out(fake, postgres_restart.plan(fake.view(), LAG, forced=False), 1, LAG)
    assert fake.told == ["restart b", "restart c", "move to b"]
    assert fake.waiting == set()


def test_after_a_decrease_the_new_leader_restarts_where_it_is():
    fake = Fake(decrease=True)
    postgres_restart.carry_out(fake, postgres_restart.plan(fake.view(), LAG, forced=False), 1, LAG)
    assert fake.told == ["restart b", "restart c", "move to b", "restart a", "restart b"]


# Two looks at three members: at least one of them began after the order.
MISSES = 6


class Api(http.server.BaseHTTPRequestHandler):
    """Every member's API at once: `/a/primary`, `/b/cluster`, …

    While nobody leads, it counts how often a primary was asked for; `successor` leads after MISSES.
    """

    def do_GET(self) -> None:
        name, what = self.path.strip("/").split("/")
        site = self.server
        if name in site.down:
            self.close_connection = True
            return None
        if what == "primary":
            self._answer(200 if name == (site.writes or site.leads) else 503, {})
            if not site.leads:
                site.misses.append(name)
                if len(site.misses) >= MISSES:
                    site.leads = site.successor
            return None
        if what == "patroni":
            told = site.started
            return self._answer(200, {"postmaster_start_time": told.pop(0) if len(told) > 1 else told[0]})
        if what == "config":
            return self._answer(200, {"synchronous_mode": "quorum"})
        told = [(leader if it == site.leads else member)(it) for it in "abc" if it not in site.down]
        return self._answer(200, {"members": told})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def api(monkeypatch):
    # A machine that stalls must not make a member of one that does not answer.
    monkeypatch.setattr(patroni_cluster, "Probe", partial(Probe, timeout=60))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.leads, server.writes, server.down, server.told = "a", "", set(), []
    server.started, server.misses, server.successor = [None], [], ""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def reached(api, out="", then="b"):
    """The cluster behind the API; `patronictl` says `out`, and `then` leads some looks later."""

    def run(argv, stdin=None):
        api.told.append(argv)
        if then != api.leads:
            api.successor, api.leads = then, ""
        return 0, out or f'Successfully switched over to "{then}"\n| c | start failed |', ""

    base = f"http://127.0.0.1:{api.server_port}"
    return PatroniCluster(run, "shop", {name: {"url": f"{base}/{name}"} for name in "abc"})


def test_a_planned_move_is_told_waited_for_and_timed(api):
    told = reached(api).move(Move("a", "b"), patience(120), LAG, planned=True)
    assert api.told == [
        ["docker", "exec", "shop-postgres-1", "patronictl", "switchover", "shop"]
        + ["--leader", "a", "--candidate", "b", "--force"]
    ]
    assert told[0] == "b leads PostgreSQL, a before"
    assert float(told[1].split()[-2]) > 0
    assert sorted(told[2:]) == ["a streams from it", "c streams from it"]


def test_a_failover_does_not_wait_for_the_old_leader(api):
    api.leads, api.down = "", {"a"}
    told = reached(api).move(Move("", "b"), patience(120), LAG, planned=False)
    assert api.told[0][3:] == ["patronictl", "failover", "shop", "--candidate", "b", "--force"]
    assert told[2:] == ["c streams from it"]


def test_a_refusal_of_patronis_is_told_though_it_ends_well(api):
    with pytest.raises(SlipwayError, match="Switchover failed, details: 412"):
        reached(api, out="Switchover failed, details: 412, no candidates").tell(["patronictl", "switchover"])


def test_a_cluster_that_does_not_become_whole_says_what_is_missing(api):
    with pytest.raises(SlipwayError, match=r"the order was given.*a leads, not b"):
        reached(api, out="Success", then="a").move(Move("a", "b"), patience(0.5), LAG, planned=True)


def test_whichever_member_answers_is_asked(api):
    api.down = {"a", "b"}
    api.leads = "c"
    assert reached(api).view().leader.name == "c"
    api.down = {"a", "b", "c"}
    with pytest.raises(SlipwayError, match="no member of PostgreSQL's answers"):
        reached(api).view()


class UntilItLeads:
    """A patience that ends with the first look that began when `b` led."""

    def __init__(self, api):
        self._api, self._led = api, False

    def again(self):
        time.sleep(0.05)  # between two looks
        led, self._led = self._led, self._api.leads == "b"
        return not led


def test_who_leads_and_takes_no_writes_yet_is_waited_for(api):
    api.writes = "nobody"
    with pytest.raises(SlipwayError, match="b accepts no writes yet"):
        reached(api).move(Move("a", "b"), UntilItLeads(api), LAG, planned=True)


@pytest.mark.parametrize("before", [pytest.param("10:00", id="ran"), pytest.param(None, id="did-not-run")])
def test_a_clone_is_a_server_that_started_since(api, before):
    api.started = [before, before, before, "10:05"]
    (told,) = reached(api, out="Success: reinitialize", then="a").reclone("c", 120)
    assert told.startswith("c: cloned anew")
    assert api.started == ["10:05"], "it was not waited for"
    with pytest.raises(SlipwayError, match="c has not begun anew"):
        reached(api, out="Success: reinitialize", then="a").reclone("c", 0.5)


@pytest.fixture
def module(api, capsys):
    """The module in check mode, on the cluster behind the API."""

    def run(**arguments):
        base = f"http://127.0.0.1:{api.server_port}"
        usual = {"members": {name: {"url": f"{base}/{name}"} for name in "abc"}, "lag": LAG, "stack": "shop"}
        with (
            patch_module_args({**usual, **arguments, "_ansible_check_mode": True}),
            pytest.raises(SystemExit),
        ):
            postgres_leader.main()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"state": "switched", "host": "b"}, ["b leads PostgreSQL, a before"]),
        ({"state": "switched", "host": "a"}, []),
        ({"state": "failed_over", "host": "c", "forced": True}, ["c leads PostgreSQL, a before"]),
        ({"state": "recloned", "host": "c"}, ["c: data deleted, copied from the leader"]),
        ({"state": "restarted"}, []),
    ],
)
def test_a_dry_run_tells_what_would_be_done_and_gives_no_order(module, api, arguments, steps):
    told = module(**arguments)
    assert (told["steps"], told["changed"]) == (steps, bool(steps))
    assert told["diff"]["after"] == "".join(f"{step}\n" for step in steps)
    assert (api.told, api.leads) == ([], "a")


def test_a_dry_run_refuses_what_a_run_would_refuse(module):
    told = module(state="failed_over", host="b")
    assert told["failed"]
    assert "a leads and is well" in told["msg"]
