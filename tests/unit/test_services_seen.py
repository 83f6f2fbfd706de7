"""What a host tells of its services: what runs, what is there, and how far both releases differ."""

from __future__ import annotations

from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.release.definitions import Definitions
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet import Seen
from ansible_collections.slipway.compose.plugins.module_utils._core.release.plan import Step, Unit
from ansible_collections.slipway.compose.plugins.module_utils._core.release.pools import Pools, ServicePools
from ansible_collections.slipway.compose.plugins.module_utils._core.release.services_seen import ServicesSeen
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_state import Order
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import File, ReleaseTree
from test_host_release import ME, Docker

NAMES = [f"web-{pool}-{number}" for pool in ("blue", "green") for number in (1, 2)]
UNITS = [Unit(name, "services", folder=name[:-2], service="web", pool=name[4:-2]) for name in NAMES]
WEIGHTS = {"web-blue-1": Order("web", 100, left_out=False), "web-green-1": Order("web", 0, left_out=False)}


def files(replicas=2, setting="1"):
    defined = "".join(f"  {name}:\n    image: web\n" for name in NAMES if int(name[-1]) <= replicas)
    compose = File("docker-compose.prod.yml", f"services:\n{defined}", 0o644, ME)
    return [compose, *(File(f"web-{pool}/env", setting, 0o400, ME) for pool in ("blue", "green"))]


def tell(root, new, steps=(), orders=None):
    docker, tree, pools = Docker(), ReleaseTree(root), Pools(root)
    docker.replicas = NAMES
    docker.containers = dict.fromkeys(NAMES[:3], "h1")
    pools.record({"web": ServicePools("blue", {"blue": "r1"})})
    tree.stage("r1", files())
    engine = Engine(docker, "shop")
    definitions = Definitions(engine, tree, UNITS)
    return ServicesSeen(engine, tree, definitions, orders=orders or {}, pools=pools).tell("r2", steps, new)[
        "web"
    ]


UNCHANGED = {
    "live": "blue",
    "releases": {"blue": "r1"},
    "changed": "",
    "running": {"blue": 2, "green": 1},
    "there": {"blue": 2, "green": 1},
    "weights": {},
    "defined": 0,
    "wanted": 2,
    "warm": False,
}


def test_a_service_that_the_release_defines_as_the_one_before_has_no_reason_to_change(tmp_path):
    assert tell(tmp_path, files()) == UNCHANGED
    assert Seen(**UNCHANGED)


def test_one_more_replica_is_no_other_definition(tmp_path):
    assert tell(tmp_path, files(replicas=1)) == {**UNCHANGED, "wanted": 1}


def test_another_configuration_is_a_reason_and_the_old_release_says_how_many_it_has(tmp_path):
    reason = "web-blue-1 is not what release r1 defines"
    assert tell(tmp_path, files(setting="2")) == {**UNCHANGED, "changed": reason, "defined": 2}


def test_the_plans_own_reason_goes_before(tmp_path):
    step = Step("rollout", "web", "services", "image")
    assert tell(tmp_path, files(setting="2"), [step])["changed"] == "image"


def test_weights_are_told_where_routers_know_both_pools(tmp_path):
    assert tell(tmp_path, files(), orders=WEIGHTS)["weights"] == {"blue": 100, "green": 0}
