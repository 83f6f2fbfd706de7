"""The host that goes out of service and comes back, with an engine and routers that remember."""

from __future__ import annotations

import socketserver
import threading
from contextlib import nullcontext

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health import Probe
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.edge import LEAVING
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.host_service import (
    HostService,
    leave_out,
    of_followers,
    take_back,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.maintenance import Out, note
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.rolling import RollingReplica
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.routers import Routers
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.traffic import Traffic
from test_maintenance import TABLE
from test_rolling import Clock, MemoryRouter, ServerState

NAMES = ("web-blue-1", "web-blue-2")


class Docker:
    def __init__(self, running=NAMES, answer=(0, "", "")):
        self.running = set(running)
        self.told = []
        self.answer = answer

    def __call__(self, argv, stdin=None):
        words = list(argv)
        if words[:2] == ["docker", "ps"]:
            lines = [
                f"{name}\th\t{'running' if name in self.running else 'exited'}\tUp\tid-{name}"
                for name in NAMES
            ]
            return 0, "\n".join(lines), ""
        if words[:2] == ["docker", "stop"]:
            self.told.append(f"stop {' '.join(words[2:])}")
            self.running -= {word.removeprefix("id-") for word in words[2:]}
        if "up" in words:
            started = [word for word in words if word in NAMES]
            self.told.append(f"up {' '.join(started)}")
            self.running |= set(started)
        if words[:2] == ["docker", "exec"]:
            self.told.append(" ".join(words[2:4]))
            return self.answer
        return 0, "", ""


class Host:
    def __init__(self, root, sessions=0, running=NAMES, answer=(0, "", "")):
        self.docker, self.journal, self.ready, clock = Docker(running, answer), [], [], Clock()
        self.servers = {f"{name}.a": ServerState("web", "UP", sessions) for name in NAMES}
        routers = Routers([MemoryRouter("edge", self.servers, self.journal)], clock, clock.sleep)
        replicas = {name: RollingReplica(name, "web", f"{name}.a", 5, 4, {}) for name in NAMES}
        road = Traffic(
            routers,
            replicas,
            lambda it: self.ready.append(it.name),
            lambda it: nullcontext(),
            lambda it: None,
        )
        self.service = HostService(self.docker, root / "shop", Engine(self.docker, "shop"), road, NAMES)


def test_replicas_are_drained_on_every_router_before_they_are_stopped(tmp_path):
    host = Host(tmp_path, sessions=2)
    assert host.service.empty(has_edge=False) == ["web-blue-1: drained", "web-blue-2: drained"]
    assert sorted(host.journal) == ["edge: web-blue-1.a drain", "edge: web-blue-2.a drain"]
    assert host.docker.told == ["stop id-web-blue-1 id-web-blue-2"]


def test_sessions_that_do_not_end_are_told(tmp_path):
    host = Host(tmp_path, sessions=1000)
    assert "sessions ended at the drain deadline" in host.service.empty(has_edge=False)[0]


def test_what_is_stopped_already_is_not_stopped_again(tmp_path):
    host = Host(tmp_path, running=())
    assert host.service.empty(has_edge=False) == []
    assert host.docker.told == []


def test_coming_back_starts_what_is_missing_and_asks_every_replica(tmp_path):
    host = Host(tmp_path, running=NAMES[:1])
    assert host.service.fill() == ["start web-blue-2"]
    assert host.docker.told == ["up web-blue-2"]
    assert host.ready == list(NAMES)


def test_coming_back_lets_the_edge_have_clients_again(tmp_path):
    leaving = tmp_path / "shop" / LEAVING
    leaving.parent.mkdir(parents=True)
    leaving.touch()
    assert Host(tmp_path).service.fill() == ["edge: takes clients again"]
    assert not leaving.exists()


def test_back_in_service_means_up_on_every_router(tmp_path):
    host = Host(tmp_path)
    host.service.empty(has_edge=False)
    host.service.fill()
    host.journal.clear()
    host.service.admit()
    assert host.journal == ["edge: web-blue-1.a ready", "edge: web-blue-2.a ready"]


MASTER = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
FOLLOWER = b"*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.2\r\n:6379\r\n$9\r\nconnected\r\n:1\r\n"


class Role(socketserver.StreamRequestHandler):
    """A Redis that says what it is, each time the next of what it was given; the last one for good."""

    def handle(self):
        self.rfile.readline()
        answers = self.server.answers
        self.wfile.write(answers.pop(0) if len(answers) > 1 else answers[0])


@pytest.fixture
def answers():
    return [MASTER]


@pytest.fixture
def master(answers):
    with socketserver.TCPServer(("127.0.0.1", 0), Role) as server:
        server.answers = answers
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        place = {"host": "127.0.0.1", "port": server.server_address[1]}
        yield Probe("role and link", "redis", "redis", place, {"role": "replica"}, timeout=30)
        server.shutdown()
        thread.join()


def test_a_role_that_is_not_handed_over_is_a_failure_with_the_word_of_who_refused(tmp_path, master):
    host = Host(tmp_path, answer=(1, "", "Sentinel promotes nobody: NOGOODSLAVE; the master stays\n"))
    with pytest.raises(SlipwayError, match="Sentinel promotes nobody: NOGOODSLAVE"):
        host.service.hand_over([master])
    assert host.docker.told == ["shop-redis-1 /config/move-master.sh"]


def test_redis_is_handed_over_by_the_program_in_its_container_which_says_who_leads(tmp_path, master, answers):
    answers.append(FOLLOWER)
    host = Host(tmp_path, answer=(0, "10.0.0.2 is the master\n", ""))
    assert host.service.hand_over([master]) == ["Redis: 10.0.0.2 is the master"]
    assert host.docker.told == ["shop-redis-1 /config/move-master.sh"]


def test_a_database_that_is_down_leads_nothing_and_keeps_no_host_in_service(tmp_path):
    host = Host(tmp_path)
    nobody = Probe("role and link", "redis", "redis", {"host": "127.0.0.1", "port": 9}, {"role": "replica"})
    assert host.service.hand_over([nobody]) == []


def test_only_a_follower_answers_well():
    role = Probe("role and lag", "postgres", "postgres", {"url": "https://h"}, {"lag": 5}).to_dict()
    (asked,) = of_followers([role])
    assert asked.expect == {"lag": 5, "role": "replica"}


class TableRouter:
    """Says what HAProxy says of its servers, and takes orders."""

    def __init__(self):
        self.told = []

    def table(self):
        return TABLE

    def set_state(self, backend, server, state):
        self.told.append((backend, server, state))


def test_a_router_keeps_what_it_was_told_for_its_next_start(tmp_path):
    router = TableRouter()
    note(tmp_path, Out("h2.test", "", ""))
    assert leave_out(tmp_path, {"router": router}, "h2.test") == ["router: 2 servers of h2.test left out"]
    assert router.told == [
        ("api", "api-blue-1.h2.test", "drain"),
        ("postgres-replicas", "h2.test", "maint"),
    ]
    kept = (tmp_path / "state/router/servers").read_text().splitlines()[2:]
    assert [line.split()[6] for line in kept] == ["0", "8", "0", "0", "1", "0"]


def test_a_router_that_takes_a_host_back_forgets_it(tmp_path):
    router = TableRouter()
    take_back(tmp_path, {"router": router}, "h2.test")
    assert {state for _backend, _server, state in router.told} == {"ready"}
    kept = (tmp_path / "state/router/servers").read_text().splitlines()[2:]
    assert {line.split()[6] for line in kept} == {"0"}
