"""What a host tells of its containers: from a kernel of either version, and an engine that answers."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core import textfile
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import container_metrics
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.container_metrics import (
    Container,
    Ends,
    Use,
)
from host_programs import installed


def listed(number, name, service, project="shop", state="running"):
    labels = {"com.docker.compose.service": service, "com.docker.compose.project": project}
    return {"Id": f"c{number}", "Names": [f"/{name}"], "State": state, "Labels": labels}


CONTAINERS = [
    listed(1, "shop-api-green-1-1", "api-green-1"),
    listed(2, "shop-my-web-blue-12-1", "my-web-blue-12"),
    listed(3, "shop-postgres-1", "postgres"),
    listed(4, "shop-redis-1", "redis", state="exited"),
    listed(5, "other-api-blue-1-1", "api-blue-1", project="other"),
]
DIED = {"Action": "die", "Actor": {"ID": "c4", "Attributes": {"name": "shop-redis-1", "exitCode": "137"}}}


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str] = []
    status = 200

    def do_GET(self):
        self.asked.append(self.path)
        events = self.path.startswith("/events")
        body = json.dumps(DIED if events else CONTAINERS).encode() + b"\n"
        self.send_response(self.status)
        # Events come in pieces, without an end that is known before.
        self.send_header(
            *(("Transfer-Encoding", "chunked") if events else ("Content-Length", str(len(body))))
        )
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if events else body)

    def address_string(self):
        return "socket"

    def log_message(self, format, *args):
        """Say nothing."""


def serve(path):
    server = socketserver.ThreadingUnixStreamServer(str(path), Engine)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.fixture
def engine(tmp_path):
    server = serve(tmp_path / "docker.sock")
    yield str(tmp_path / "docker.sock")
    server.shutdown()
    server.server_close()


def group(root, place, **files):
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def version_1(root, place, used, cache, limit):
    stat = f"inactive_file 1\ntotal_inactive_file {cache}\ntotal_active_file 7"
    names = {"memory__usage_in_bytes": used, "memory__limit_in_bytes": limit, "memory__stat": stat}
    group(root / "memory", place, **names)
    group(root / "cpu", place, cpu__stat="nr_periods 50\nnr_throttled 5\nthrottled_time 1")
    group(root / "cpuacct", place, cpuacct__usage=2_500_000_000)


def version_2(root, place, used, cache, limit):
    stat = f"anon 5\ninactive_file {cache}\nactive_file 7"
    cpu = "usage_usec 2500000\nuser_usec 1\nnr_periods 50\nnr_throttled 5\nthrottled_usec 1"
    group(root, place, memory__current=used, memory__max=limit, memory__stat=stat, cpu__stat=cpu)


@pytest.mark.parametrize("place", ["docker/c1", "system.slice/docker-c1.scope"], ids=["cgroupfs", "systemd"])
@pytest.mark.parametrize("version", [version_1, version_2])
def test_cache_that_can_be_given_back_is_not_used(tmp_path, version, place):
    version(tmp_path, place, 1000, 300, 4096)
    assert container_metrics.used("c1", tmp_path) == Use(700, 7, 4096, 2.5, 50, 5)


@pytest.mark.parametrize(("version", "limit"), [(version_1, 9223372036854771712), (version_2, "max")])
def test_no_limit_is_none(tmp_path, version, limit):
    version(tmp_path, "docker/c1", 1000, 0, limit)
    assert container_metrics.used("c1", tmp_path).limit == 0


def test_a_container_that_has_just_ended_is_left_out(tmp_path):
    assert container_metrics.used("c1", tmp_path) is None


def test_the_engine_lists_what_runs_and_what_has_ended(engine):
    found = container_metrics.containers(engine, ended=True)
    assert [one.name for one in found] == sorted(one["Names"][0][1:] for one in CONTAINERS)
    assert [one.name for one in found if not one.running] == ["shop-redis-1"]
    assert Container("c3", "shop-postgres-1", "shop", "postgres", True) in found


def test_an_engine_that_answers_with_an_error_is_asked_again(engine, monkeypatch):
    monkeypatch.setattr(Engine, "status", 500)
    with pytest.raises(container_metrics.UNCLEAR, match="the engine answered 500"):
        container_metrics.containers(engine, ended=True)


def test_a_container_of_somebody_else_may_lack_all_labels(engine, monkeypatch):
    monkeypatch.setitem(CONTAINERS[0], "Labels", None)
    monkeypatch.setitem(CONTAINERS[0], "Names", ["/other/alias", "/stray"])
    found = container_metrics.containers(engine, ended=True)
    assert Container("c1", "stray", "", "", True) in found


def test_replicas_are_told_with_service_and_pool_and_nothing_else_is(engine):
    found = [
        (one, Use(1000, 0, 4096 * (one.id == "c1"), 0.0, 0, 0))
        for one in container_metrics.containers(engine, ended=True)
    ]
    assert list(container_metrics.memory_of_replicas(found, "shop")) == [
        ("slipway_replica_memory_bytes", 'service="api",pool="green",replica="api-green-1"', 1000),
        ("slipway_replica_memory_limit_bytes", 'service="api",pool="green",replica="api-green-1"', 4096),
        ("slipway_replica_memory_bytes", 'service="my-web",pool="blue",replica="my-web-blue-12"', 1000),
    ]


def test_every_container_is_told_with_all_that_is_known_of_it():
    one = Container("c3", "shop-postgres-1", "shop", "postgres", True)
    samples = container_metrics.of_containers([(one, Use(700, 7, 4096, 2.5, 50, 5))])
    told = textfile.text(samples, container_metrics.HELP)
    values = [line for line in told.splitlines() if not line.startswith("#")]
    assert values == [
        'container_memory_working_set_bytes{name="shop-postgres-1"} 700',
        'container_memory_total_active_file_bytes{name="shop-postgres-1"} 7',
        'container_spec_memory_limit_bytes{name="shop-postgres-1"} 4096',
        'container_cpu_usage_seconds_total{name="shop-postgres-1"} 2.5',
        'container_cpu_cfs_periods_total{name="shop-postgres-1"} 50',
        'container_cpu_cfs_throttled_periods_total{name="shop-postgres-1"} 5',
    ]
    assert "# TYPE container_cpu_usage_seconds_total counter\n" in told


def event(action, number=4, **about):
    return {"Action": action, "Actor": {"ID": f"c{number}", "Attributes": {"name": "shop-redis-1", **about}}}


@pytest.mark.parametrize(
    ("events", "crashes"),
    [
        pytest.param([event("die", exitCode="1")], 1, id="it-ends-with-an-error"),
        pytest.param([event("die", exitCode="0")], 0, id="it-is-done"),
        pytest.param([event("kill", signal="15"), event("die", exitCode="143")], 0, id="it-was-stopped"),
        pytest.param(
            [event("kill", signal="1"), event("die", exitCode="1")], 1, id="it-does-not-survive-a-reload"
        ),
        pytest.param(
            [event("kill", signal="15"), event("die", exitCode="0"), event("die", exitCode="2")],
            1,
            id="it-was-stopped-once-and-crashed-after",
        ),
        pytest.param([event("kill", 5, signal="9"), event("die", exitCode="1")], 1, id="another-was-stopped"),
    ],
)
def test_a_crash_is_an_end_that_nobody_asked_for(events, crashes):
    ends = Ends()
    for one in events:
        ends.note(one)
    assert ends.counts["shop-redis-1", container_metrics.CRASH] == crashes


def test_counters_are_there_before_anything_has_happened():
    one, ends = Container("c4", "shop-redis-1", "shop", "redis", False), Ends()
    counted = [
        ("container_oom_events_total", 'name="shop-redis-1"', 0),
        ("slipway_container_crashes_total", 'name="shop-redis-1"', 0),
    ]
    assert list(container_metrics.of_ends([one], ends)) == counted
    ends.note(event("oom"))
    assert next(iter(container_metrics.of_ends([one], ends)))[-1] == 1


def test_what_ends_is_followed_and_the_engine_may_come_later(tmp_path, monkeypatch):
    monkeypatch.setattr(container_metrics, "SECONDS", 0.05)
    ends = Ends()
    path = str(tmp_path / "docker.sock")
    threading.Thread(target=ends.follow, args=(path,), daemon=True).start()
    time.sleep(0.2)  # it has looked in vain a few times
    serve(path)
    limit = time.monotonic() + 60
    while not ends.counts["shop-redis-1", container_metrics.CRASH]:
        assert time.monotonic() < limit
        time.sleep(0.05)  # between two looks
    assert any(asked.startswith("/events?") and "%22die%22" in asked for asked in Engine.asked)


def test_the_files_are_written_again_and_again_and_the_engine_may_come_later(tmp_path):
    program = str(installed("container_metrics", tmp_path / "program"))
    script = (
        f"import pathlib, sys; sys.path.insert(0, {program!r}); "
        "from core.monitoring import container_metrics as m; m.SECONDS = 1; "
        f"m.main('shop', pathlib.Path({str(tmp_path)!r}), {str(tmp_path / 'docker.sock')!r})"
    )
    process = subprocess.Popen([sys.executable, "-Ic", script], stderr=subprocess.PIPE, text=True)
    try:
        assert "FileNotFoundError" in process.stderr.readline()
        server = serve(tmp_path / "docker.sock")
        limit = time.monotonic() + 120
        while not (tmp_path / "containers.prom").exists() and time.monotonic() < limit:
            time.sleep(0.05)  # between two looks
        # None of these containers is one of this machine's kernel.
        assert (tmp_path / "memory.prom").read_text() == ""
        assert (
            'slipway_container_crashes_total{name="shop-redis-1"} '
            in (tmp_path / "containers.prom").read_text()
        )
        assert (tmp_path / "containers.prom").stat().st_mode & 0o777 == 0o644
        server.shutdown()
        server.server_close()
    finally:
        process.kill()
        process.wait()
