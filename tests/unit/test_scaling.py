"""Numbers of replicas for one run, laid over what the stack declares."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release.plan import Step
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.scaling import (
    require_only_numbers,
    scaled,
)

STACK = {"name": "shop", "services": {"api": {"port": 8080, "replicas": 2}, "web": {"port": 8080}}}


def test_without_a_wish_the_definition_is_as_declared():
    assert scaled(STACK, None) == (STACK, [])


def test_only_the_named_service_gets_another_number():
    definition, problems = scaled(STACK, {"api": 4})
    assert problems == []
    assert definition["services"] == {"api": {"port": 8080, "replicas": 4}, "web": {"port": 8080}}
    assert STACK["services"]["api"]["replicas"] == 2, "the declared stack was changed"


@pytest.mark.parametrize(
    ("replicas", "said"),
    [
        pytest.param({}, "replicas is no table of services and numbers", id="nothing"),
        pytest.param("api", "replicas is no table of services and numbers", id="a-text"),
        pytest.param({"apii": 2}, "replicas/apii no such service", id="an-unknown-service"),
        pytest.param({"api": "4"}, "replicas/api is '4', no number", id="a-number-as-text"),
        pytest.param({"api": True}, "replicas/api is True, no number", id="a-boolean"),
    ],
)
def test_a_wish_that_means_nothing_is_a_problem(replicas, said):
    (problem,) = scaled(STACK, replicas)[1]
    assert f"{problem.path} {problem.problem}" == said


@pytest.mark.parametrize("definition", [None, [], {"services": None}, {"services": {"api": 3}}])
def test_a_broken_definition_is_left_to_those_who_judge_it(definition):
    assert scaled(definition, {"api": 3})[0] == definition


def step(action, phase="services", name="api-blue-3"):
    return Step(action, name, phase, "not there")


def test_replicas_come_and_go_and_routers_learn_of_it():
    files = ["docker-compose.prod.yml", "config/router/haproxy.cfg", "config/local-router/haproxy.cfg"]
    require_only_numbers(files, [step("create"), step("retire"), step("reload", "edge", "router")])


@pytest.mark.parametrize(
    ("files", "steps", "said"),
    [
        pytest.param(["migrations/api/000006_new.up.sql"], [], "000006_new.up.sql", id="a-migration"),
        pytest.param(
            ["config/edge/servers.conf"], [], "config/edge/servers.conf", id="a-setting-of-the-edge"
        ),
        pytest.param([], [step("rollout", name="web")], "rollout web", id="another-definition-of-a-service"),
        pytest.param([], [step("replace", "data", "redis")], "replace redis", id="another-component"),
        pytest.param([], [step("create", "data", "redis")], "create redis", id="a-new-component"),
        pytest.param([], [step("remove", "finish", "old")], "remove old", id="a-service-less"),
    ],
)
def test_a_scaling_brings_nothing_else_along(files, steps, said):
    with pytest.raises(SlipwayError, match=f"more than the number of replicas would change: .*{said}"):
        require_only_numbers(files, steps)
