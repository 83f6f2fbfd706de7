"""One host on its way to a release, with an engine that remembers what it was told."""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.host_release import HostRelease, Traffic
from ansible_collections.slipway.compose.plugins.module_utils._core.plan import Unit
from ansible_collections.slipway.compose.plugins.module_utils._core.pools import Pools
from ansible_collections.slipway.compose.plugins.module_utils._core.router import Routers
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import File, ReleaseTree

ME = os.geteuid()
UNITS = [Unit("edge", "edge", "config/edge", "HUP", "nginx@sha256:1", 10001, ("nginx", "-t"))]
NO_TRAFFIC = Traffic(Routers([]), {}, lambda replica: None, lambda component: nullcontext())


class Docker:
    """Answers docker's command lines from a dictionary of containers, as the real one would."""

    def __init__(self, hash="h1"):
        self.hash = hash
        self.containers = {}
        self.told = []
        self.refuse_check = False

    def __call__(self, argv, stdin=None):
        words = list(argv)
        if words[:2] == ["docker", "ps"]:
            lines = [f"{name}\t{hash}\trunning\tUp\tid-{name}" for name, hash in self.containers.items()]
            return 0, "\n".join(lines), ""
        if "--hash" in words:
            return 0, f"edge {self.hash}\n", ""
        if "--images" in words:
            return 0, "nginx@sha256:1\n", ""
        if words[:2] == ["docker", "run"]:
            return (1, "", "unknown directive") if self.refuse_check else (0, "", "")
        if "up" in words:
            self.told.append(f"up {words[-1]}")
            self.containers[words[-1]] = self.hash
        if "kill" in words:
            self.told.append(f"signal {words[-2]} {words[-1]}")
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
    return HostRelease(
        Engine(docker, "shop"), ReleaseTree(root), release, UNITS, orders={}, pools=Pools(root)
    )


def deploy(docker, root, release="r1", text="worker_processes 2;\n"):
    target = host(docker, root, release)
    target.prepare(files(text))
    done = target.commit("edge", ["create", "start", "reload", "restart", "replace"], 10, NO_TRAFFIC)
    return done + target.finish(5)


def test_a_first_deployment_creates_and_a_second_does_nothing(docker, tmp_path):
    assert deploy(docker, tmp_path) == ["create edge (not there)", "current -> r1"]
    assert deploy(docker, tmp_path) == []


def test_a_new_configuration_is_live_before_the_reload(docker, tmp_path):
    deploy(docker, tmp_path)
    docker.told.clear()
    deploy(docker, tmp_path, "r2", "worker_processes 4;\n")
    assert docker.told == ["signal HUP edge"]
    assert (tmp_path / "config/edge/nginx.conf").read_text() == "worker_processes 4;\n"


def test_a_run_that_died_between_files_and_reload_reloads_the_next_time(docker, tmp_path):
    deploy(docker, tmp_path)
    host(docker, tmp_path, "r2").prepare(files("worker_processes 4;\n"))
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
    with pytest.raises(SlipwayError, match="nginx -t.*refuses.*unknown directive"):
        host(docker, tmp_path, "r2").prepare(files("nonsense"))
    assert docker.told == []
    assert (tmp_path / "config/edge/nginx.conf").read_text() == "worker_processes 2;\n"


def test_a_preview_leaves_no_trace(docker, tmp_path):
    assert [str(step) for step in host(docker, tmp_path).preview(files())] == ["create edge (not there)"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_longer_declared_is_removed_at_the_end(docker, tmp_path):
    docker.containers["old"] = "h0"
    assert "remove old (no longer declared)" in deploy(docker, tmp_path)
    assert docker.told == ["up edge", "remove id-old"]


def test_an_incomplete_release_never_becomes_current(docker, tmp_path):
    target = host(docker, tmp_path)
    target.prepare(files())
    with pytest.raises(SlipwayError, match="not complete on this host: create edge"):
        target.finish(5)
    assert ReleaseTree(tmp_path).current is None


def voters(*names):
    lines = "".join(f"{name}=https://10.0.0.1:2380\n" for name in names)
    return [*files(), File("config/etcd/members", lines, 0o444, ME)]


@pytest.mark.parametrize("changed", [voters("a", "b", "d"), voters("a", "b"), files()])
@pytest.mark.parametrize("act", ["prepare", "preview"])
def test_other_members_of_etcd_are_refused(docker, tmp_path, changed, act):
    target = host(docker, tmp_path)
    target.prepare(voters("a", "b", "c"))
    ReleaseTree(tmp_path).bring_live("r1", "config/etcd")
    getattr(target, act)(voters("a", "b", "d"))  # nothing was founded yet: a first deployment that failed
    ReleaseTree(tmp_path).make_current("r1")
    with pytest.raises(SlipwayError, match="etcd's members would change from a="):
        getattr(target, act)(changed)
