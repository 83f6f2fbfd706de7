"""An edge that reloads or leaves, with an nginx that answers from a script."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.edge import (
    CLOSING,
    LEAVING,
    LONGEST_IDLE,
    LONGEST_USUAL,
    Connections,
    Edge,
    parse_connections,
)
from test_rolling import Clock

STATUS = """Active connections: {open}
server accepts handled requests
 9 9 9
Reading: 0 Writing: 1 Waiting: {idle}
"""


class Nginx:
    """Idle connections go one per look while it closes them; a reload replaces the workers."""

    def __init__(self, root, idle=0, running=True, stubborn=False, busy=0):
        self.root, self.idle, self.running, self.stubborn = root, idle, running, stubborn
        self.busy = busy
        self.workers = ["7", "8"]
        self.ending = []
        self.looks = 0

    def __call__(self, argv, stdin=None):
        words = list(argv)
        assert words[:3] == ["docker", "exec", "shop-edge-1"]
        if not self.running:
            return 1, "", "No such container: shop-edge-1"
        if words[3] == "curl":
            self.looks += 1
            if (self.root / CLOSING).exists() and not self.stubborn:
                self.idle = max(self.idle - 1, 0)
            return 0, STATUS.format(open=self.idle + self.busy + 1, idle=self.idle), ""
        lines = [f"/proc/{pid}/cmdline:nginx: worker process\0\0" for pid in self.workers]
        lines += [f"/proc/{pid}/cmdline:nginx: worker process is shutting down\0" for pid in self.ending]
        lines.append("/proc/99/cmdline:sh\0-c\0grep -a 'nginx: worker process' /proc/[0-9]*/cmdline\0")
        return 0, "\n".join(lines), ""

    def reload(self):
        self.ending, self.workers = self.workers, ["17", "18"]


@pytest.fixture
def clock():
    return Clock()


def edge(nginx, clock):
    return Edge(nginx, "shop", nginx.root, clock, clock.sleep)


def test_whoever_asks_is_not_counted_among_the_clients():
    assert parse_connections(STATUS.format(open=5, idle=3)) == Connections(open=4, idle=3)


def test_a_page_that_is_none_of_nginx_is_refused():
    with pytest.raises(SlipwayError, match="status page says '404'"):
        parse_connections("404")


def test_a_reload_waits_until_no_connection_is_idle_and_old_workers_have_stopped(tmp_path, clock):
    nginx = Nginx(tmp_path, idle=3)
    with edge(nginx, clock).changing():
        assert nginx.idle == 0
        assert (tmp_path / CLOSING).exists()
        nginx.reload()
    assert not (tmp_path / CLOSING).exists()


def test_requests_that_began_before_have_time_to_end(tmp_path, clock):
    nginx = Nginx(tmp_path, busy=1)
    with edge(nginx, clock).changing():
        assert LONGEST_USUAL <= clock.now < LONGEST_USUAL + 1
        nginx.reload()


def test_nobody_is_waited_for_where_nobody_is(tmp_path, clock):
    with edge(Nginx(tmp_path), clock).changing():
        assert clock.now == 0


def test_connections_are_closed_until_the_old_workers_have_stopped(tmp_path, clock):
    nginx = Nginx(tmp_path)
    with edge(nginx, clock).changing():
        pass  # a reload that never happens
    assert clock.now >= 10


def test_a_connection_that_stays_idle_is_waited_for_until_nginx_itself_has_closed_it(tmp_path, clock):
    nginx = Nginx(tmp_path, idle=2, stubborn=True)
    with edge(nginx, clock).changing():
        assert LONGEST_IDLE <= clock.now < LONGEST_IDLE + 1
        nginx.reload()


def test_a_failed_reload_leaves_the_edge_as_it_was(tmp_path, clock):
    with pytest.raises(SlipwayError), edge(Nginx(tmp_path), clock).changing():
        raise SlipwayError("the engine is away", "Start it")
    assert not (tmp_path / CLOSING).exists()


def test_an_edge_that_was_sent_out_of_service_stays_so_over_a_reload(tmp_path, clock):
    nginx = Nginx(tmp_path)
    there = edge(nginx, clock)
    there.send_away()
    with there.changing():
        nginx.reload()
    assert there.out and (tmp_path / CLOSING).exists()
    there.take_back()
    assert not there.out and not (tmp_path / CLOSING).exists()
    assert not (tmp_path / LEAVING).exists()


def test_an_edge_that_does_not_run_keeps_nobody_waiting(tmp_path, clock):
    with edge(Nginx(tmp_path, running=False), clock).changing():
        assert not (tmp_path / CLOSING).exists()
    assert clock.now == 0
