"""One host on its way to a release, with an engine that remembers what it was told."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release import preparing
from ansible_collections.slipway.compose.plugins.module_utils._core.release.definitions import Definitions
from ansible_collections.slipway.compose.plugins.module_utils._core.release.host_release import HostRelease
from ansible_collections.slipway.compose.plugins.module_utils._core.release.plan import Unit
from ansible_collections.slipway.compose.plugins.module_utils._core.release.pools import Pools, ServicePools
from ansible_collections.slipway.compose.plugins.module_utils._core.release.preparing import Preparation, Told
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.routers import Routers
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.traffic import Traffic
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import File, ReleaseTree

ME = os.geteuid()
UNITS = [Unit("edge", "edge", "config/edge", "HUP", "nginx@sha256:1", 10001, ("nginx", "-t"))]
NO_TRAFFIC = Traffic(
    Routers([]), {}, lambda replica: None, lambda component: nullcontext(), lambda component: None
)


class Docker:
    """Answers docker's command lines from a dictionary of containers, as the real one would."""

    def __init__(self, hash="h1"):
        self.hash = hash
        self.containers = {}
        self.told = []
        self.refuse_check = False
        self.replicas = []

    def __call__(self, argv, stdin=None):
        words = list(argv)
        if words[:2] == ["docker", "ps"]:
            lines = [f"{name}\t{hash}\trunning\tUp\tid-{name}" for name, hash in self.containers.items()]
            return 0, "\n".join(lines), ""
        if "--hash" in words:
            return 0, "".join(f"{name} {self.hash}\n" for name in ["edge", *self.replicas]), ""
        if "--images" in words:
            return 0, "nginx@sha256:1\n", ""
        if words[:2] == ["docker", "run"]:
            return (1, "", "unknown directive") if self.refuse_check else (0, "", "")
        if "up" in words:
            self.told.append(f"up {words[-1]}")
            self.containers[words[-1]] = self.hash
        if "kill" in words:
            self.told.append(f"signal {words[-2]} {words[-1]}")
        if words[:3] == ["docker", "image", "rm"]:
            self.told.append(f"forget {words[3]}")
        if words[:2] == ["docker", "rm"]:
            self.told.append(f"remove {words[-1]}")
            self.containers.pop(words[-1].removeprefix("id-"))
        return 0, "", ""


def files(text="worker_processes 2;\n"):
    return [
        File("docker-compose.prod.yml", "services: {}\n", 0o644, ME),
        File("config/edge/nginx.conf", text, 0o400, ME),
    ]


@pytest.fixture
def docker():
    return Docker()


def host(docker, root, release="r1"):
    units = [*UNITS, *(Unit(name, "services", service="web", pool=name[4:-2]) for name in docker.replicas)]
    engine, tree = Engine(docker, "shop"), ReleaseTree(root)
    definitions = Definitions(engine, tree, units)
    return HostRelease(engine, tree, release, definitions, orders={}, pools=Pools(root))


def prepared(docker, root, release, wanted, *, dry=False, minimum=0):
    told = Told(minimum, {}, {}, {})
    target = host(docker, root, release)
    it = Preparation(root, Engine(docker, "shop"), target, wanted, told)
    preparing.prepare(it, checked=True, dry=dry)
    return it


def deploy(docker, root, release="r1", text="worker_processes 2;\n"):
    target = prepared(docker, root, release, files(text)).host
    done = target.commit("edge", ["create", "start", "reload", "restart", "replace"], 10, NO_TRAFFIC)
    return done + target.finish(5)


def test_a_first_deployment_creates_and_a_second_does_nothing(docker, tmp_path):
    assert deploy(docker, tmp_path) == ["create edge (not there)", "current -> r1"]
    assert deploy(docker, tmp_path) == []


def test_what_starts_is_made_ready_before_and_what_runs_is_not(docker, tmp_path):
    road = replace(NO_TRAFFIC, starting=lambda component: docker.told.append(f"make {component} ready"))
    target = prepared(docker, tmp_path, "r1", files()).host
    target.commit("edge", ["create"], 10, road)
    target = prepared(docker, tmp_path, "r2", files("worker_processes 4;\n")).host
    target.commit("edge", ["reload"], 10, road)
    assert docker.told == ["make edge ready", "up edge", "signal HUP edge"]


def test_a_new_configuration_is_live_before_the_reload(docker, tmp_path):
    deploy(docker, tmp_path)
    docker.told.clear()
    deploy(docker, tmp_path, "r2", "worker_processes 4;\n")
    assert docker.told == ["signal HUP edge"]
    assert (tmp_path / "config/edge/nginx.conf").read_text() == "worker_processes 4;\n"


def test_a_run_that_died_between_files_and_reload_reloads_the_next_time(docker, tmp_path):
    deploy(docker, tmp_path)
    prepared(docker, tmp_path, "r2", files("worker_processes 4;\n"))
    ReleaseTree(tmp_path).bring_live("r2", "config/edge")
    assert [str(step)[:11] for step in host(docker, tmp_path, "r2").steps()] == ["reload edge"]


def test_a_configuration_edited_on_the_host_is_put_back(docker, tmp_path):
    deploy(docker, tmp_path)
    live = tmp_path / "config/edge/nginx.conf"
    live.unlink()
    live.write_text("edited by hand")
    assert deploy(docker, tmp_path)[0].startswith("reload edge")
    assert live.read_text() == "worker_processes 2;\n"


def test_a_configuration_its_component_refuses_changes_nothing(docker, tmp_path):
    deploy(docker, tmp_path)
    docker.refuse_check = True
    docker.told.clear()
    (refusal,) = prepared(docker, tmp_path, "r2", files("nonsense")).refusals.found
    assert refusal.check == "edge" and "`nginx -t` refuses" in refusal.problem
    assert "unknown directive" in refusal.problem
    assert docker.told == []
    assert (tmp_path / "config/edge/nginx.conf").read_text() == "worker_processes 2;\n"


def test_check_mode_plans_and_leaves_no_trace(docker, tmp_path):
    it = prepared(docker, tmp_path, "r1", files(), dry=True)
    assert [str(step) for step in it.steps] == ["create edge (not there)"]
    assert (it.refusals.found, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("dry", [True, False], ids=["check-mode", "for-real"])
def test_a_full_disk_is_refused_before_anything_is_stored(docker, tmp_path, dry):
    it = prepared(docker, tmp_path, "r1", files(), dry=dry, minimum=1 << 60)
    assert [refusal.check for refusal in it.refusals.found] == ["disk"]
    assert list(tmp_path.iterdir()) == []


def test_a_converged_host_is_asked_nothing(docker, tmp_path):
    deploy(docker, tmp_path)
    assert prepared(docker, tmp_path, "r1", files(), minimum=1 << 60).refusals.found == []


def test_a_preview_leaves_no_trace(docker, tmp_path):
    assert [str(step) for step in host(docker, tmp_path).preview(files())] == ["create edge (not there)"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_longer_declared_is_removed_at_the_end(docker, tmp_path):
    docker.containers["old"] = "h0"
    assert "remove old (no longer declared)" in deploy(docker, tmp_path)
    assert docker.told == ["up edge", "remove id-old"]


def test_an_incomplete_release_never_becomes_current(docker, tmp_path):
    target = prepared(docker, tmp_path, "r1", files()).host
    with pytest.raises(SlipwayError, match="not complete on this host: create edge"):
        target.finish(5)
    assert ReleaseTree(tmp_path).current is None


def images(*names):
    text = "services:\n" + "".join(f"  {name}:\n    image: {name}@sha256:1\n" for name in names)
    return [File("docker-compose.prod.yml", text, 0o644, ME), files()[1]]


def stored(docker, root, release, *names):
    target = prepared(docker, root, release, images(*names)).host
    target.commit("edge", ["create", "reload"], 10, NO_TRAFFIC)
    os.utime(ReleaseTree(root).release(release), (int(release[1:]), int(release[1:])))
    return target


def test_images_go_with_the_last_release_that_names_them(docker, tmp_path):
    for release, names in (("r1", ("edge", "old")), ("r2", ("edge",)), ("r3", ("edge", "new"))):
        done = stored(docker, tmp_path, release, *names).finish(2)
    assert done == ["current -> r3", "forget release r1"]
    assert docker.told[-1] == "forget old@sha256:1"


def test_a_protected_release_stays_with_its_images(docker, tmp_path):
    for release in ("r1", "r2", "r3"):
        done = stored(docker, tmp_path, release, "edge", release).finish(2, protected=["r1"])
    assert done == ["current -> r3"]
    assert not [told for told in docker.told if told.startswith("forget")]


def test_only_the_release_before_is_kept_warm(docker, tmp_path):
    pools = Pools(tmp_path)
    stored(docker, tmp_path, "r1", "edge").finish(5)
    docker.replicas = ["web-blue-1", "web-green-1"]
    docker.containers |= dict.fromkeys(docker.replicas, docker.hash)
    pools.record({"web": ServicePools("green", {"blue": "r1", "green": "r2"}, warm=True)})
    assert stored(docker, tmp_path, "r2", "edge").finish(5) == ["current -> r2"]
    assert "retire web-blue-1 (not of the release before any more)" in stored(
        docker, tmp_path, "r3", "edge"
    ).finish(5)
    assert "web-blue-1" not in docker.containers and "web-green-1" in docker.containers
    assert pools.warm() == {}


def test_no_traffic_is_moved_any_more_once_a_release_is_complete(docker, tmp_path):
    pools = Pools(tmp_path)
    pools.record({"web": ServicePools("green", routed=("blue", "green"))})
    stored(docker, tmp_path, "r1", "edge").finish(5)
    assert pools.of("web") == ServicePools("green", {"green": "r1"})


def voters(*names):
    lines = "".join(f"{name}=https://10.0.0.1:2380\n" for name in names)
    return [*files(), File("config/etcd/members", lines, 0o444, ME)]


@pytest.mark.parametrize("changed", [voters("a", "b", "d"), voters("a", "b"), files()])
def test_other_members_of_etcd_are_refused(docker, tmp_path, changed):
    prepared(docker, tmp_path, "r1", voters("a", "b", "c"))
    ReleaseTree(tmp_path).bring_live("r1", "config/etcd")
    # Nothing was founded yet: a first deployment that failed.
    assert not prepared(docker, tmp_path, "r2", voters("a", "b", "d")).refusals.found
    ReleaseTree(tmp_path).make_current("r1")
    (refusal,) = prepared(docker, tmp_path, "r3", changed).refusals.found
    assert refusal.problem.startswith("etcd's members would change from a=")
