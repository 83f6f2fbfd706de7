"""Whatever a stack runs, an alert tells where it has stopped, and only one."""

from __future__ import annotations

from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.stopped import (
    TOLD_BY,
    unspoken,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import placement, topology
from whole_stack import rules, stack, with_everything

WHOLE = with_everything(stack())
RULES = {rule["alert"]: rule for rule in rules(WHOLE)}


def test_what_tells_of_a_component_is_an_alert_that_there_is() -> None:
    assert set(TOLD_BY) <= set(COMPONENTS) & set(placement(WHOLE))
    assert set(TOLD_BY.values()) - {"ContainerMissing"} <= RULES.keys()


def test_what_is_told_by_its_target_has_one() -> None:
    """A job that scrapes it, on whose absence InstanceDown looks."""
    jobs = {
        "alertmanager",
        "blackbox",
        "collector",
        "etcd",
        "local-router",
        "prometheus",
        "router",
    }
    named = {name for name, alert in TOLD_BY.items() if alert == "InstanceDown"}
    assert {name for name in named if not name.endswith("-exporter")} == jobs


def test_all_others_are_asked_for_by_name_where_they_stand() -> None:
    assert unspoken(topology(WHOLE)).keys() == {"archive-repository", "backup-agent", "backup-repository"}
    asked = RULES["ContainerMissing"]["expr"]
    for name, hosts in unspoken(topology(WHOLE)).items():
        assert f'name="wayfare-{name}-1"' in asked
        assert hosts
    assert "sentinel" not in asked


def test_a_stack_without_backups_and_redis_has_rules_that_prometheus_can_read() -> None:
    bare = {rule["alert"]: rule for rule in rules(stack())}
    assert "slipway_worker_expected" in bare["ContainerMissing"]["expr"]
    assert "or label_replace" not in bare["ContainerMissing"]["expr"]
