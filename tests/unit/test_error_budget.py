"""A release of a service that has no error budget left is refused; who cannot be asked only warns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.action import rollout_plan
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate import error_budget
from ansible_collections.slipway.compose.plugins.module_utils._core.prometheus import Prometheus
from ansible_collections.slipway.compose.plugins.module_utils._core.refusals import NotPreparedError
from ansible_collections.slipway.compose.plugins.module_utils._core.release import handover
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.modules import stack_release
from prometheus_server import served
from whole_stack import stack, with_slo

# A port that nobody listens on.
NOBODY = 1


def test_only_the_host_with_prometheus_asks_and_only_where_something_is_promised():
    laid = topology(with_slo(stack(3)))
    told = {name: handover.budgets(laid, view) for name, view in laid.views.items()}
    assert told == {"h1.test": None, "h2.test": None, "h3.test": {"host": "10.0.0.3", "port": 9090}}
    laid = topology(stack(3))
    assert {handover.budgets(laid, view) is None for view in laid.views.values()} == {True}


def test_a_spent_budget_is_told_as_a_share():
    own = {"service": "api", "objective": "availability"}
    data = {"resultType": "vector", "result": [{"metric": own, "value": [1, "-0.43"]}]}
    warned: list[str] = []
    with served(lambda _: data) as port:
        told = error_budget.spent(Prometheus("127.0.0.1", port).ask, warned.append)
    assert told == [{"service": "api", "objective": "availability", "spent": pytest.approx(1.43)}]
    assert warned == []


def released(**params: Any) -> tuple[list[Any], list[str]]:
    """What a host finds of budgets, and what it warns of."""
    warned: list[str] = []
    usual = {"without_budget": False, "only_replicas": False}
    module = SimpleNamespace(params={**usual, **params}, warn=warned.append)
    return stack_release.spent_budgets(module), warned


def test_a_prometheus_that_is_away_does_not_hold_a_release():
    spent, (warning,) = released(prometheus={"host": "127.0.0.1", "port": NOBODY})
    assert spent == []
    assert "does not answer" in warning and "the release goes on without asking" in warning


@pytest.mark.parametrize(
    "params",
    [{"prometheus": None}, {"without_budget": True}, {"only_replicas": True}],
    ids=["elsewhere", "by-consent", "other-numbers-of-replicas"],
)
def test_nobody_is_asked(params):
    def forbidden(query):
        raise AssertionError(query)

    with served(forbidden) as port:
        assert released(**{"prometheus": {"host": "127.0.0.1", "port": port}, **params}) == ([], [])


GONE = [{"service": "api", "objective": "latency", "spent": 1.43}]


def refused(rolled: set[str]) -> None:
    """The control node, with what the hosts have told."""
    seat = SimpleNamespace(
        declared=SimpleNamespace(stack=with_slo(stack())), _display=SimpleNamespace(warning=print)
    )
    hosts = {"h1.test": {"spent": []}, "h3.test": {"spent": GONE, "refused": []}}
    rollout_plan.ActionModule._refuse(seat, hosts, {}, [], rolled)


def test_a_release_of_a_service_without_a_budget_is_refused():
    with pytest.raises(NotPreparedError) as told:
        refused({"api", "web"})
    assert "h3.test: api has spent 143 % of its error budget (latency)" in str(told.value)
    assert "-e release_without_budget=true" in str(told.value)


def test_a_release_of_other_services_is_not():
    refused({"web"})


def test_a_refused_query_is_an_error_of_ours_and_only_warns():
    def broken(query):
        raise SlipwayError("Prometheus refuses it", "Correct the query")

    warned: list[str] = []
    assert error_budget.spent(broken, warned.append) == []
    assert len(warned) == 1
