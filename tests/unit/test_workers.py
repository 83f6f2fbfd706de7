"""What has no port: known to no router, moved without any traffic, and looked after by its hosts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health_plan import probes_for
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.gate_plan import watched
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.worker_watch import stay_up
from ansible_collections.slipway.compose.plugins.module_utils._core.release import handover
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet_moves import plan_forward
from ansible_collections.slipway.compose.plugins.module_utils._core.release.host_rollout import (
    HostRollout,
    PoolOrder,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.way_back import plan_back
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.routers import Routers
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import (
    GateQuery,
    Portion,
    Strategy,
    StrategyStep,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from hypothesis import given
from hypothesis import strategies as st
from test_fleet import HOSTS, NEW, OLD, World, interrupt, newcomers
from test_host_rollout import REPLICAS, Host
from test_rolling import Clock
from whole_stack import rendered, service, stack, with_service

WORKER = {"port": None, "protocol": None, "health_path": None, "route": None, "metrics_path": None}
STEADY = Strategy("steady", (StrategyStep(new=Portion(100, percent=True), pause=20),), watch=60)


def worker(strategy="rolling", replicas=2, **changes):
    it = replace(service("web", None, "http", 0, HOSTS), **WORKER, replicas=replicas, **changes)
    return replace(it, strategy=BUILT_IN.get(strategy, STEADY))


def declared(definition, hosts, **changes):
    definition["services"]["mailer"] = {
        "image": "example.com/mailer:1",
        "resources": {"memory": "64M"},
        **changes,
    }
    return parse_stack(definition, hosts)


# What a stack may say.


def test_a_service_without_a_port_is_a_worker(definition, hosts):
    mailer = declared(definition, hosts).services["mailer"]
    assert mailer.is_worker and mailer.protocol is None and mailer.publish_base == 0
    assert not declared(definition, hosts).services["web"].is_worker


@pytest.mark.parametrize(
    ("said", "path", "problem"),
    [
        ({"route": {"path": "/mail"}}, "route", "needs a port. Add stack/services/mailer/port, or remove it"),
        ({"health_path": "/ready"}, "health_path", "needs a port"),
        ({"protocol": "grpc"}, "protocol", "needs a port"),
        ({"metrics_path": "/metrics"}, "metrics_path", "needs a port"),
        ({"rate_limit": {"requests": 5}}, "rate_limit", "needs a port"),
        ({"publish_base": 30000}, "publish_base", "needs a port"),
        (
            {"strategy": "canary"},
            "strategy",
            "canary moves shares of the traffic, but without a port there is",
        ),
        ({"strategy": "blue_green"}, "strategy", "Use rolling, stop_first or recreate"),
        ({"settle": "90s"}, "settle", "is 90 s, no less than the 60 s to get ready in"),
        (
            {"port": 80, "health_path": "/", "health_command": ["true"]},
            "health_command",
            "is for services without",
        ),
        (
            {"volumes": {"data": "/data"}},
            "strategy",
            "rolling would run old and new replicas on the same volumes",
        ),
        (
            {"volumes": {"data": "/data"}, "replicas": 1},
            "strategy",
            "same volumes. Use stop_first, or recreate",
        ),
        ({"volumes": {"data": "/data"}, "strategy": "stop_first"}, "strategy", "same volumes. Use recreate"),
        ({"volumes": {"data": "/tmp/x"}, "strategy": "recreate"}, "volumes/data", "is /tmp/x, where /tmp is"),
        ({"volumes": {"a": "/d", "b": "/d/e"}, "strategy": "recreate"}, "volumes/b", "is /d/e, where /d is"),
        ({"volumes": {"a": "d"}, "strategy": "recreate"}, "volumes/a", "not an absolute path"),
    ],
)
def test_what_makes_no_sense_of_a_worker_is_refused(definition, hosts, said, path, problem):
    with pytest.raises(InvalidInputError) as refused:
        declared(definition, hosts, **said)
    (found,) = refused.value.problems
    assert found.path == f"stack/services/mailer/{path}"
    assert problem in str(found)


@pytest.mark.parametrize(("strategy", "replicas"), [("recreate", 3), ("stop_first", 1)])
def test_volumes_go_with_what_stops_before_it_starts(definition, hosts, strategy, replicas):
    said = {"volumes": {"data": "/data"}, "strategy": strategy, "replicas": replicas}
    assert declared(definition, hosts, **said).services["mailer"].volumes == {"data": "/data"}


# What a host gets.


def laid_out(**changes):
    return with_service(stack(), "worker", **WORKER, publish_base=0, **changes)


def test_no_router_knows_it_and_no_port_is_published():
    tree = rendered(laid_out(health_command=("test", "$HOME"), volumes={"data": "/data"}))
    told = yaml.safe_load(tree["docker-compose.prod.yml"])
    replica = told["services"]["worker-blue-1"]
    assert "ports" not in replica
    assert replica["healthcheck"]["test"] == ["CMD", "test", "$$HOME"]
    assert "worker.data:/data" in replica["volumes"] and "worker.data" in told["volumes"]
    aliases = told["services"]["local-router"]["networks"]["app"]["aliases"]
    assert "api" in aliases and "worker" not in aliases
    assert not [path for path in tree if path.endswith(".cfg") and "worker-blue" in tree[path]]
    assert "healthcheck" not in told["services"]["web-blue-1"]


def test_its_readiness_is_its_containers():
    lay = topology(laid_out(settle=7))
    view = lay.views["h1.test"]
    (probe, *_rest) = [it for it in probes_for(lay, view) if it.component == "worker"]
    assert (probe.kind, dict(probe.target)) == ("container", {"container": "wayfare-worker-blue-1-1"})
    assert probe.expect == {"settled": 7}
    told = {it["name"]: it for it in handover.replicas(lay, view)}
    assert told["worker-blue-1"]["server"] == "" and told["api-blue-1"]["server"]


def test_one_with_a_health_command_is_ready_when_that_says_so():
    lay = topology(laid_out(health_command=("true",)))
    assert [it.expect for it in probes_for(lay, lay.views["h1.test"]) if it.component == "worker"] == [{}] * 4


def test_a_gate_asks_no_router_for_it():
    (told,) = watched(
        topology(laid_out()), {"worker": {"new": "green", "old": "blue", "replicas": 2}}
    ).values()
    assert (told["servers"], told["expected"]) == ([], [])


# How it is released.


def kinds(*moves):
    return [move.kind for move in moves]


def forward(it, world=None):
    return plan_forward([it], {"web": (world or World(it.replicas)).seen(NEW)}, NEW)


def test_its_rollout_moves_no_traffic_and_is_looked_after_by_every_host():
    plan = forward(worker("rolling", 1))
    assert kinds(*plan.moves) == ["start", "retire", "stay"]
    assert plan.moves[-1].services == {"web": {"pool": "green", "count": 1}}
    assert not [line for line in plan.lines if "traffic" in line]


def test_its_pauses_and_its_watch_window_are_spent_looking():
    plan = forward(worker("steady", 1))
    stays = [move.seconds for move in [*plan.moves, *plan.closing] if move.kind == "stay"]
    assert stays == [20, 60]


def test_its_queries_are_asked_when_the_time_is_over():
    gates = replace(worker().gates, queries=(GateQuery("backlog", "sum(backlog)", 10),))
    plan = forward(worker("steady", 1, gates=gates))
    looks = [(move.kind, move.seconds) for move in plan.moves if move.kind in ("stay", "hold")]
    assert looks == [("stay", 20), ("hold", 0)]


def test_beside_a_service_with_traffic_it_takes_no_time_of_its_own():
    api = replace(worker("steady", 1), name="api", port=8080)
    seen = {name: World(1).seen(NEW) for name in ("web", "api")}
    plan = plan_forward([worker("steady", 1), api], seen, NEW)
    looks = [
        (move.kind, move.seconds, set(move.services)) for move in plan.moves if move.kind in ("stay", "hold")
    ]
    assert looks[:2] == [("hold", 20, {"api"}), ("stay", 0, {"web"})]
    assert all("web" not in move.services for move in plan.moves if move.kind == "traffic")


def test_a_release_that_fails_before_its_first_move_goes_back_all_the_same():
    moves = plan_back([worker("recreate", 1)], {"web": World(1).seen(NEW)})
    assert [(move.kind, move.services) for move in moves] == [
        ("promote", {"web": {"pool": "blue", "warm": False}})
    ]


def there(world):
    return max(sum(map(len, pools.values())) for pools in world.running.values())


@given(st.integers(1, 4), st.integers(0, 30))
def test_one_that_stops_first_is_never_there_more_often_than_declared(replicas, survived):
    it = worker("stop_first", replicas)
    begun, world = World(replicas), World(replicas)

    def watch(world):
        assert there(world) <= replicas
        short = [host for host in HOSTS if sum(map(len, world.running[host].values())) < replicas]
        assert len(short) <= 1, "two hosts at once were short of one"

    for one in (begun, world):
        plan = forward(it, one)
        one.run([*plan.moves, *plan.closing][:survived], watch)
    plan = forward(it, world)
    world.run([*plan.moves, *plan.closing], watch)
    (live,) = set(world.live.values())
    assert all(pools[live] == [NEW] * replicas for pools in world.running.values())
    if set(begun.live.values()) == {"blue"}:
        begun.run(plan_back([it], {"web": begun.seen(NEW)}), watch)
        assert all(pools == {"blue": [OLD] * replicas, "green": []} for pools in begun.running.values())


@given(
    st.sampled_from(["rolling", "recreate", "stop_first", "steady"]),
    st.integers(1, 4),
    st.integers(0, 30),
    newcomers,
)
def test_it_comes_and_goes_like_a_service_without_any_traffic_moved(strategy, replicas, survived, newcomers):
    it, world = worker(strategy, replicas), World(replicas, newcomers=newcomers)
    interrupt(world, it, survived, 1)
    plan = forward(it, world)
    assert "traffic" not in kinds(*plan.moves, *plan.closing, *plan_back([it], {"web": world.seen(NEW)}))
    world.run([*plan.moves, *plan.closing])
    assert all(sorted(map(len, pools.values())) == [0, replicas] for pools in world.running.values())


# On its host.


class Deaf:
    """A router that nobody may ask."""

    def servers(self):
        raise AssertionError("a router was asked")


def test_it_starts_and_stops_without_a_word_to_the_routers(tmp_path):
    asked = []
    host = Host(tmp_path)
    alone = {name: replace(it, server="") for name, it in REPLICAS.items()}
    rollout = HostRollout(Engine(host.docker, "shop"), host.tree, alone, Routers([Deaf()]), asked.append)
    rollout.start([PoolOrder("web", "green", 1, "r2")])
    assert [replica.name for replica in asked] == ["web-green-1"]
    assert rollout.retire([PoolOrder("web", "green", 0)]) == ["retire web-green-1"]
    assert host.docker.containers == {} and host.journal == []


class Looks:
    """An engine whose container is in one state after the other, the last one for good."""

    def __init__(self, *states):
        self.states = list(states)

    def __call__(self, argv, stdin=None):
        if argv[:2] == ["docker", "ps"]:
            state, status, self.crashes = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            line = f"mailer-green-1\th\t{state}\t{status}\tid\n"
            return 0, line if state else "", ""
        if argv[:2] == ["docker", "inspect"]:
            return 0, f"{self.crashes}\n", ""
        return 0, "no such queue", ""


UP, ONCE, AGAIN = ("running", "Up", 0), ("restarting", "Restarting (70)", 1), ("running", "Up", 1)


def looked_at(seconds, *states):
    # Each look asks the engine twice for one replica: what is there, and how often it was started again.
    clock = Clock()
    doubled = [state for state in states for _ in range(2)]
    return stay_up(
        Engine(Looks(*doubled), "shop"), ["mailer-green-1"], seconds, clock=clock, sleep=clock.sleep
    )


def test_one_that_stays_up_passes():
    assert looked_at(5, UP) == ["mailer-green-1 stayed up"]


def test_one_crash_is_an_accident():
    assert looked_at(5, UP, ONCE, AGAIN) == ["mailer-green-1 stayed up"]


@pytest.mark.parametrize(
    ("seconds", "states", "told"),
    [
        (5, [UP, ONCE, ("running", "Up", 2)], "mailer-green-1 has crashed 2 times since it was started"),
        (0, [("running", "Up", 2)], "has crashed 2 times"),
        (5, [UP, ("running", "Up (unhealthy)", 0)], "is unhealthy: its health_command fails"),
        (5, [UP, ("exited", "Exited (0)", 0)], r"does not run \(Exited \(0\)\)"),
        (0, [("exited", "Exited (0)", 0)], "does not run"),
        (0, [("", "", 0)], "mailer-green-1 is gone"),
    ],
)
def test_one_that_does_not_ends_the_look_with_its_last_words(seconds, states, told):
    with pytest.raises(SlipwayError, match=told) as fallen:
        looked_at(seconds, *states)
    assert "no such queue" in fallen.value.problem or "is gone" in fallen.value.problem
