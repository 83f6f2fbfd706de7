"""Numbers of replicas for one run, laid over what the stack declares."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.scaling import scaled

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
