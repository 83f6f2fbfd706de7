"""One host's part in a rollout, with an engine and a router that remember what they were told."""

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release.host_rollout import (
    HostRollout,
    PoolOrder,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.pools import Pools, write_metrics
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.rolling import RollingReplica
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.routers import Routers
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import File, ReleaseTree
from ansible_collections.slipway.compose.plugins.modules import rollout
from test_rolling import Clock, MemoryRouter, ServerState

NAMES = [f"web-{pool}-{number}" for pool in ("blue", "green") for number in (1, 2)]
REPLICAS = {name: RollingReplica(name, "web", f"{name}.a", 5, 4, {}) for name in NAMES}


class Docker:
    """Containers by Compose name, each with its fingerprint; `crashes`: how often each was started again."""

    def __init__(self):
        self.containers = {}
        self.crashes = 0

    def __call__(self, argv, stdin=None):
        words = list(argv)
        if words[:2] == ["docker", "ps"]:
            lines = [f"{name}\t{hash}\trunning\tUp\tid-{name}" for name, hash in self.containers.items()]
            return 0, "\n".join(lines), ""
        if "--hash" in words:
            return 0, "".join(f"{name} h-{name}\n" for name in NAMES), ""
        if "--images" in words:
            return 0, "web@sha256:1\n", ""
        if words[:2] == ["docker", "inspect"]:
            return 0, f"{self.crashes}\n", ""
        if words[:2] == ["docker", "logs"]:
            return 0, "last words", ""
        if "up" in words:
            self.containers |= {name: f"h-{name}" for name in words if name in NAMES}
        if words[:2] == ["docker", "rm"]:
            del self.containers[words[-1].removeprefix("id-")]
        return 0, "", ""


class Host:
    def __init__(self, root, wait_ready=lambda replica: None):
        self.root, self.docker, self.journal, clock = root, Docker(), [], Clock()
        servers = {f"{name}.a": ServerState("web", "UP", 1) for name in NAMES}
        routers = Routers([MemoryRouter("edge", servers, self.journal)], clock, clock.sleep)
        self.tree = ReleaseTree(root)
        for release in ("r1", "r2"):
            self.tree.stage(release, files(release))
        self.rollout = HostRollout(Engine(self.docker, "shop"), self.tree, REPLICAS, routers, wait_ready)

    @property
    def pools(self):
        return Pools(self.root).of("web")


def files(release):
    me = os.geteuid()
    secrets = [File(f"config/services/web-{pool}/key", release, 0o400, me) for pool in ("blue", "green")]
    return [File("docker-compose.prod.yml", f"# {release}\n", 0o644, me), *secrets]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_what_is_missing_is_started_from_its_release_and_let_into_the_traffic(host):
    done = host.rollout.start([PoolOrder("web", "green", 1, "r2")])
    assert done == ["start web-green-1 of r2"]
    assert host.docker.containers == {"web-green-1": "h-web-green-1"}
    assert host.journal == ["edge: web-green-1.a ready"]
    assert (host.root / "config/services/web-green/key").read_text() == "r2"
    assert not (host.root / "config/services/web-blue").exists(), "the other pool's files were touched"
    assert host.pools.releases == {"green": "r2"}
    assert host.rollout.start([PoolOrder("web", "green", 1, "r2")]) == []
    assert host.rollout.start([PoolOrder("web", "green", 2, "r2")]) == ["start web-green-2 of r2"]


def test_a_replica_is_drained_before_it_is_stopped(host):
    host.rollout.start([PoolOrder("web", "blue", 2, "r1")])
    host.journal.clear()
    assert host.rollout.retire([PoolOrder("web", "blue", 1)]) == ["retire web-blue-2"]
    assert host.journal == ["edge: web-blue-2.a drain"]
    assert list(host.docker.containers) == ["web-blue-1"]
    assert host.rollout.retire([PoolOrder("web", "blue", 1)]) == []


def test_what_the_live_pool_is_of_is_known_until_another_one_is_live(host):
    host.rollout.start([PoolOrder("web", "blue", 2, "r1"), PoolOrder("web", "green", 2, "r2")])
    host.rollout.retire([PoolOrder("web", "blue", 0)])
    assert host.pools.releases == {"blue": "r1", "green": "r2"}
    assert host.rollout.promote({"web": {"pool": "green", "warm": False}}) == ["web: green is live"]
    assert (host.pools.live, host.pools.releases) == ("green", {"green": "r2"})
    assert host.rollout.promote({"web": {"pool": "green", "warm": False}}) == []


def test_what_is_kept_warm_runs_on_with_the_traffic_gone(host):
    host.rollout.start([PoolOrder("web", "blue", 2, "r1"), PoolOrder("web", "green", 2, "r2")])
    Pools(host.root).record({"web": host.pools.sharing(["blue", "green"])})
    host.rollout.promote({"web": {"pool": "green", "warm": True}})
    assert not host.pools.routed, "the traffic is moved no more"
    host.journal.clear()
    assert host.rollout.rest([PoolOrder("web", "blue", 0)]) == [
        "keep web-blue-1 warm",
        "keep web-blue-2 warm",
    ]
    assert sorted(host.journal) == [
        f"edge: web-blue-{number}.a {state}" for number in (1, 2) for state in ("drain", "ready")
    ]
    assert len(host.docker.containers) == 4
    assert Pools(host.root).warm() == {("web", "blue"): "r1"}
    host.rollout.retire([PoolOrder("web", "blue", 0)])
    assert Pools(host.root).warm() == {}


def test_more_replicas_than_are_declared_today_are_retired_too(host):
    host.rollout.start([PoolOrder("web", "blue", 2, "r1")])
    host.docker.containers["web-blue-3"] = "h"
    assert host.rollout.retire([PoolOrder("web", "blue", 2)]) == ["retire web-blue-3"]


def test_a_replica_that_crashes_is_not_waited_for(tmp_path):
    def never(replica):
        raise SlipwayError(f"{replica.name} is not ready", "Read its logs")

    host = Host(tmp_path, never)
    host.docker.crashes = 2
    with pytest.raises(SlipwayError, match="web-green-1 has crashed 2 times before it was ready"):
        host.rollout.start([PoolOrder("web", "green", 1, "r2")])
    assert host.journal == [], "it was let into the traffic"


def test_a_release_that_is_not_stored_is_refused(host):
    with pytest.raises(SlipwayError, match="release r3 is not stored on this host"):
        host.rollout.start([PoolOrder("web", "green", 1, "r3")])


def test_monitoring_expects_live_replicas_and_scrapes_whatever_runs(host):
    targets = {"web": {pool: [{"targets": [pool]}] for pool in ("blue", "green")}}
    replicas = [{"name": name, "server": f"{name}.a"} for name in NAMES]

    def told():
        write_metrics(host.root, replicas, targets, Pools(host.root))
        scraped = (host.root / "state/targets/web.json").read_text()
        expected = (host.root / "state/metrics/replicas.prom").read_text()
        return [pool for pool in ("blue", "green") if f'"{pool}"' in scraped], expected.count("} 1")

    host.rollout.start([PoolOrder("web", "blue", 2, "r1")])
    assert told() == (["blue"], 2)
    host.rollout.start([PoolOrder("web", "green", 1, "r2")])
    assert told() == (["blue", "green"], 2)
    host.rollout.promote({"web": {"pool": "green", "warm": False}})
    host.rollout.retire([PoolOrder("web", "blue", 0)])
    assert told() == (["green"], 2)


def test_monitoring_expects_workers_of_live_pools_by_name(host):
    replicas = [{"name": f"worker-{pool}-1", "server": None} for pool in ("blue", "green")]
    write_metrics(host.root, replicas, {}, Pools(host.root))
    told = (host.root / "state/metrics/replicas.prom").read_text()
    assert 'slipway_worker_expected{replica="worker-blue-1"} 1' in told
    assert told.count("} 1") == 1


@pytest.mark.parametrize("moves", [["promote green"], ["retire green", "promote blue"]], ids=["on", "back"])
def test_what_runs_on_other_hosts_only_is_scraped_from_the_first_traffic_move_on(
    tmp_path, monkeypatch, moves
):
    bare = HostRollout(Engine(Docker(), "shop"), ReleaseTree(tmp_path), {}, Routers([]), lambda it: None)

    def scraped():
        return Pools(tmp_path).of("web").scraped

    assert scraped() == {"blue"}
    monkeypatch.setattr(rollout, "client_context", lambda folder: None)
    shares = {"web": {"blue": 100, "green": 0}}
    assert rollout.set_weights(tmp_path, {"weights": {}, "own_routers": {}, "services": shares}) == []
    assert scraped() == {"blue", "green"}
    bare.retire([PoolOrder("web", "blue", 0)])
    assert scraped() == {"blue", "green"}, "the old pool is live until the new one is promoted"
    for kind, pool in map(str.split, moves):
        if kind == "promote":
            bare.promote({"web": {"pool": pool, "warm": True}})
        else:
            bare.retire([PoolOrder("web", pool, 0)])
    assert scraped() == {pool}
    assert "routed" not in (tmp_path / "state/pools.json").read_text(), "earlier versions cannot read it"
