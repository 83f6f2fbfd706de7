"""What stands in the way of a release is found on every host beforehand, and told for all of them at once."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.images.pulling import (
    Lookup,
    check_space,
    look_up,
    packed,
    refuse_absent,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.images.registry_client import (
    UnreachableError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.refusals import (
    NotPreparedError,
    Refusal,
    Refusals,
    told_apart,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release import handover, relied_on
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet import Seen
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet_moves import plan_forward
from ansible_collections.slipway.compose.plugins.module_utils._core.release.room import Room, peak, shortfall
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import Resources
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from whole_stack import service, stack, topology

MIB = 1024**2
NO_MASTER = Refusal("redis", "Redis has no master", "Bring one back first")
FULL = Refusal("disk", "/opt has 1 MiB free", "Free space there")
PINNED = "registry.test/web@sha256:" + "0" * 64


# Memory


def seen(running):
    """A service of which so many replicas run of release r1; of none, a first deployment."""
    count = {"blue": running, "green": 0}
    releases, changed = ({"blue": "r1"}, "definition") if running else ({}, "")
    return Seen("blue", releases, changed, count, count, {"blue": 100, "green": 100}, running)


def needed(strategy, replicas=2, limit=100, **old):
    """What one host needs for a service of so many replicas of so many MiB."""
    web = replace(
        service("web", "/", "http", 20000, ("h1", "h2")),
        replicas=replicas,
        strategy=BUILT_IN[strategy],
        resources=Resources(1, limit * MIB),
    )
    here = seen(old.pop("running", replicas))
    plan = plan_forward([web], {"web": {"h1": here, "h2": here}}, "r2")
    room = Room(0, {name: size * MIB for name, size in old.items()})
    most = peak([*plan.moves, *plan.closing], "h1", {"web": here}, room, {"web": limit * MIB})
    return most.bytes // MIB, dict(most.replicas)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param("rolling", (100, {"web": 1}), id="one-more-on-each-host"),
        pytest.param("blue_green", (200, {"web": 2}), id="twice-the-replicas"),
        pytest.param("canary", (200, {"web": 2}), id="twice-in-the-end"),
        pytest.param("recreate", (0, {}), id="the-old-ones-are-gone-before"),
        pytest.param("stop_first", (0, {}), id="never-more-than-declared"),
    ],
)
def test_the_strategy_decides_how_much_memory_is_needed(strategy, expected):
    assert needed(strategy) == expected


def test_a_limit_that_is_raised_counts_although_no_replica_is_added():
    limits = {"web-blue-1": 100, "web-blue-2": 100}
    assert needed("recreate", limit=150, **limits) == (100, {})


def test_what_another_run_left_in_the_free_pool_counts_by_its_own_limit():
    """Two small replicas of some other release go before two large new ones come."""
    web = replace(service("web", "/", "http", 20000, ("h1",)), strategy=BUILT_IN["blue_green"])
    count = {"blue": 2, "green": 2}
    here = Seen("blue", {"blue": "r1", "green": "r0"}, "definition", count, count, {}, 2)
    plan = plan_forward([web], {"web": {"h1": here}}, "r2")
    limits = {"web-blue-1": 10, "web-blue-2": 10, "web-green-1": 10, "web-green-2": 10}
    most = peak([*plan.moves, *plan.closing], "h1", {"web": here}, Room(0, limits), {"web": 30})
    assert most.bytes == 2 * 30 - 2 * 10


def test_a_service_that_does_not_run_yet_needs_all_of_its_memory():
    assert needed("rolling", running=0)[0] == 200


def test_services_of_two_strategies_stand_beside_each_other_while_old_pools_are_watched():
    both = [
        replace(service(name, "/", "http", base, ("h1",)), strategy=BUILT_IN[strategy])
        for name, base, strategy in (("web", 20000, "blue_green"), ("api", 20010, "canary"))
    ]
    there = {name: {"h1": seen(2)} for name in ("web", "api")}
    plan = plan_forward(both, there, "r2")
    here = {name: hosts["h1"] for name, hosts in there.items()}
    most = peak([*plan.moves, *plan.closing], "h1", here, Room(0), {"web": 10, "api": 1})
    assert (most.bytes, most.replicas) == (22, {"web": 2, "api": 2})


def test_a_host_without_enough_memory_is_refused_in_numbers():
    most = peak([], "h1", {}, Room(0), {})
    assert shortfall(most, Room(0)) is None
    short = shortfall(replace(most, bytes=512 * MIB, replicas={"web": 2}), Room(300 * MIB))
    assert "512 MiB of memory are needed" in short.problem
    assert "(web +2), 300 MiB are available" in short.problem
    assert "`rolling`" in short.remedy


# Images and disk


def test_a_pinned_image_that_its_registry_lacks_is_refused_with_its_path():
    refusals = Refusals()
    refuse_absent(look_up([PINNED], lambda _: None), {PINNED: "stack/services/web/image"}, refusals)
    (refusal,) = refusals.found
    assert refusal.problem == f"stack/services/web/image: image {PINNED} is not in its registry"
    assert "Correct the digest" in refusal.remedy


def test_what_is_yet_to_be_built_or_cannot_be_asked_is_left_to_the_pull():
    def away(reference):
        raise UnreachableError("away", "wait")

    refusals = Refusals()
    lookups = [*look_up(["registry.test/web:new"], lambda _: None), *look_up([PINNED], away)]
    refuse_absent(lookups, {}, refusals)
    assert refusals.found == []


def test_layers_that_images_share_are_counted_once():
    manifest = {"layers": [{"digest": "base", "size": 30}, {"digest": "own", "size": 5}]}
    other = {"layers": [{"digest": "base", "size": 30}, {"digest": "other", "size": 7}]}
    lookups = look_up([PINNED], lambda _: manifest) + look_up([PINNED], lambda _: other)
    assert packed(lookups) == 42


def test_a_disk_must_have_room_for_what_is_pulled(tmp_path):
    check_space([tmp_path / "not/there/yet"], 1)
    large = Lookup(PINNED, True, {"layer": 1 << 50})
    with pytest.raises(SlipwayError, match="are needed to prepare a release .1024.0 TiB of packed layers"):
        check_space([tmp_path], 1, [large])


def test_every_image_has_a_path_in_the_stack():
    paths = handover.image_paths(topology(stack()), {"web": "w@sha256:1", "haproxy": "h@sha256:2"})
    assert paths == {"w@sha256:1": "stack/services/web/image", "h@sha256:2": "stack/images/haproxy"}


# What a release relies on


class Patroni(http.server.BaseHTTPRequestHandler):
    cluster: dict[str, object] = {}

    def do_GET(self):
        port = self.server.server_address[1]
        own = {"name": "h1", "api_url": f"http://127.0.0.1:{port}/patroni"}
        body = json.dumps({"members": [{**own, **self.cluster}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """Say nothing."""


class Redis(socketserver.StreamRequestHandler):
    answer = b""

    def handle(self):
        self.rfile.readline()
        self.wfile.write(self.answer)


@pytest.fixture
def served(monkeypatch):
    """Who is asked may take half a minute: a machine that stalls answers late."""
    for name in ("patroni_view", "redis"):
        ask = getattr(relied_on, name)
        monkeypatch.setattr(relied_on, name, lambda probe, ask=ask: ask(replace(probe, timeout=30)))
    servers = []

    def start(handler):
        web = issubclass(handler, http.server.BaseHTTPRequestHandler)
        kind = http.server.ThreadingHTTPServer if web else socketserver.ThreadingTCPServer
        server = kind(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def soon_certain(monkeypatch):
    monkeypatch.setattr(relied_on, "CERTAIN", 0.0)


def looked(root, members):
    (root / "config/host/tls").mkdir(parents=True, exist_ok=True)
    (root / "config/host/tls/tls.key").touch()
    refusals = Refusals()
    relied_on.look(root, members, {}, refusals)
    return refusals.found


def probe(kind, target):
    return {"name": "role", "component": kind, "kind": kind, "target": target}


def patroni(port):
    return probe("postgres", {"url": f"http://127.0.0.1:{port}"})


def redis(port):
    return {
        "name": "role",
        "component": "redis",
        "kind": "redis",
        "target": {"host": "127.0.0.1", "port": port},
    }


@pytest.mark.parametrize(
    ("member", "refused"),
    [
        pytest.param({"role": "leader", "state": "running"}, False, id="it-leads"),
        pytest.param(
            {"role": "standby_leader", "state": "streaming"}, False, id="it-leads-a-site-that-follows"
        ),
        pytest.param({"role": "leader", "state": "starting"}, True, id="it-leads-but-does-not-run"),
        pytest.param({"role": "replica", "state": "streaming"}, True, id="nobody-leads"),
    ],
)
def test_postgres_needs_a_leader(served, tmp_path, member, refused):
    port = served(type("Member", (Patroni,), {"cluster": member}))
    found = looked(tmp_path, {"postgres": [patroni(port), patroni(1)]})
    assert [reason.check for reason in found] == (["postgres"] if refused else [])
    assert all(reason.problem.startswith("PostgreSQL has no leader (http://127.0.0.1:") for reason in found)


def test_one_answer_that_came_too_late_refuses_nothing(served, tmp_path, monkeypatch):
    monkeypatch.setattr(relied_on, "CERTAIN", 30.0)

    class Late(Patroni):
        answers = iter([{"role": "replica", "state": "running"}])

        @property
        def cluster(self):
            return next(self.answers, {"role": "leader", "state": "running"})

    assert looked(tmp_path, {"postgres": [patroni(served(Late))]}) == []


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        pytest.param(b"*3\r\n+master\r\n:1\r\n*0\r\n", False, id="one-is-the-master"),
        pytest.param(b"*4\r\n+slave\r\n+h2\r\n:1\r\n+connected\r\n", True, id="all-are-replicas"),
        pytest.param(b"", True, id="nobody-answers"),
    ],
)
def test_redis_needs_a_master(served, tmp_path, answer, refused):
    port = served(type("Member", (Redis,), {"answer": answer}))
    found = looked(tmp_path, {"redis": [redis(1), redis(port)]})
    assert [reason.check for reason in found] == (["redis"] if refused else [])


def test_a_host_without_a_certificate_asks_nobody(tmp_path):
    refusals = Refusals()
    relied_on.look(tmp_path, {"redis": [redis(1)]}, {"router": {}}, refusals)
    assert refusals.found == []


def test_the_members_of_both_are_asked():
    told = handover.leaders(topology(stack()))
    assert [probe["target"]["url"] for probe in told["postgres"]] == [
        f"https://10.0.0.{number}:8008" for number in (1, 2, 3)
    ]
    assert {probe["kind"] for probe in told["redis"]} == {"redis"}


# All of it together


def test_one_failure_names_every_reason_of_every_host():
    told = str(NotPreparedError({"h1": [FULL, NO_MASTER], "h2": [NO_MASTER], "h3": []}))
    assert told == (
        "the release is refused for 2 reasons, nothing that runs was touched:\n"
        "  - h1: /opt has 1 MiB free. Free space there.\n"
        "  - h1, h2: Redis has no master. Bring one back first.\n"
        "Correct what is named and run the same command again."
    )


@pytest.mark.parametrize(
    ("changing", "stands", "warns"),
    [
        pytest.param(set(), {"h1": [FULL, NO_MASTER]}, {}, id="what-it-relies-on-refuses"),
        pytest.param({"web", "router"}, {"h1": [FULL, NO_MASTER]}, {}, id="another-part-is-no-cure"),
        pytest.param({"sentinel"}, {"h1": [FULL]}, {"h1": [NO_MASTER]}, id="a-change-of-it-may-be-the-cure"),
    ],
)
def test_what_the_release_itself_may_cure_only_warns(changing, stands, warns):
    assert told_apart({"h1": [FULL, NO_MASTER]}, changing) == (stands, warns)


def test_a_check_that_refuses_does_not_keep_the_next_one_from_looking():
    refusals = Refusals()
    for name in ("disk", "memory"):
        with refusals.of(name):
            raise SlipwayError(f"no {name}", "Add some")
    assert [str(refusal) for refusal in refusals.found] == ["no disk. Add some.", "no memory. Add some."]
