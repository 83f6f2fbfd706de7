"""Two sites of one stack: what each is rendered, who may take over, and what is no pair."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import Repository
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.sites import (
    Seen,
    at_rest,
    may_take_over,
    rests,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import complete
from ansible_collections.slipway.compose.plugins.plugin_utils.other_site import peer
from whole_stack import rendered, rules, stack, with_backup, with_other_site

AWAY = ("192.0.2.21", "192.0.2.22")


def patroni(base: Stack) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rendered(base)["config/postgres/patroni.yml"])
    return parsed


def test_a_site_that_follows_begins_as_a_standby_of_all_the_others_members() -> None:
    begun = patroni(with_other_site(stack(), follow=True))["bootstrap"]["dcs"]["standby_cluster"]
    assert begun["host"] == "192.0.2.21,192.0.2.22"
    assert begun["primary_slot_name"] == "other_site"


def test_no_deployment_says_which_site_serves() -> None:
    for follow in (True, False):
        tree = rendered(with_other_site(stack(), follow=follow))
        assert "standby_cluster" not in json.loads(tree["config/postgres/dynamic.json"])


def test_wal_is_kept_for_the_other_site_only_where_this_one_serves() -> None:
    tree = rendered(with_other_site(stack(), follow=False))
    slot = json.loads(tree["config/postgres/dynamic.json"])["slots"]["other_site"]
    assert slot == {"type": "physical", "cluster_type": "primary"}


def test_the_other_site_gets_in_for_replication_only_and_with_a_certificate() -> None:
    lines = patroni(with_other_site(stack(), follow=False))["postgresql"]["pg_hba"]
    of_away = [line for line in lines if AWAY[0] in line]
    assert of_away == [
        f"hostssl replication,postgres replicator {AWAY[0]}/32 scram-sha-256 clientcert=verify-ca",
        f"hostssl all all {AWAY[0]}/32 reject",
    ]
    assert lines.index(of_away[1]) < lines.index("hostssl replication replicator all scram-sha-256")


def test_a_stack_with_one_site_is_rendered_as_before() -> None:
    tree = rendered(stack())
    assert [path for path in tree if "site" in path.rpartition("/")[2]] == []
    assert "sites.crt" not in tree["config/postgres/patroni.yml"]
    assert "slots" not in json.loads(tree["config/postgres/dynamic.json"])
    assert not [rule["alert"] for rule in rules(stack()) if rule["alert"].startswith("SecondSite")]


def test_a_site_at_rest_runs_the_platform_and_no_service() -> None:
    tree = rendered(at_rest(with_other_site(stack(), follow=True)))
    services = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]
    assert {"postgres", "edge", "router", "local-router"} <= services.keys()
    assert not [name for name in services if "-blue-" in name or "-green-" in name]


BEHIND = Seen("b1", known=True, follows=True, leads=True, streams=True)
LEADS = Seen("a1", known=True, leads=True, primary=True, fed=True)


@pytest.mark.parametrize(
    ("own", "other", "flags", "reason"),
    [
        pytest.param([BEHIND], [LEADS], {}, "a1 leads home and answers", id="one-that-serves-without-a-word"),
        pytest.param(
            [BEHIND], [], {}, "home does not answer; that it serves nobody is not known", id="silence"
        ),
        pytest.param([BEHIND], [], {"planned": True}, "no primary of home answers", id="nobody-to-hand-over"),
        pytest.param([LEADS], [], {"lost": True}, "this site serves already", id="a-site-that-serves"),
        pytest.param([], [LEADS], {"planned": True}, "has no leader to promote", id="nobody-to-promote"),
        pytest.param(
            [replace(BEHIND, streams=False)], [LEADS], {"planned": True}, "b1 does not stream", id="a-gap"
        ),
        pytest.param(
            [BEHIND], [replace(LEADS, fed=False)], {"planned": True}, "nobody takes WAL from a1", id="no-slot"
        ),
        pytest.param(
            [BEHIND], [LEADS], {"planned": True, "lost": True}, "exclude each other", id="both-words"
        ),
    ],
)
def test_taking_over_is_refused_for(own: Any, other: Any, flags: dict[str, bool], reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        may_take_over(own, other, "home", **{"planned": False, "lost": False, **flags})
    assert reason in str(caught.value)


def test_a_site_takes_over_as_planned_or_for_one_that_is_lost() -> None:
    may_take_over([BEHIND], [LEADS], "home", planned=True, lost=False)
    may_take_over([replace(BEHIND, streams=False)], [], "home", planned=False, lost=True)


def test_whether_a_site_is_at_rest_is_asked_of_its_databases_and_before_there_are_any_of_its_stack() -> None:
    silent = Seen("b2")
    assert rests([silent, BEHIND], follow=False)
    assert not rests([LEADS], follow=True)
    assert rests([Seen("b1", absent=True)], follow=True)
    with pytest.raises(SlipwayError, match="no member of PostgreSQL's tells"):
        rests([silent], follow=True)


def test_a_site_that_follows_has_the_others_passwords_and_keys_of_its_own() -> None:
    now = datetime.now(UTC)
    base = stack(1)
    home = complete({}, base, "home", now).document
    away = complete({}, with_other_site(base, follow=True), "away", now, home).document
    assert away["platform"]["postgres_replication"] == home["platform"]["postgres_replication"]
    assert away["platform"]["database_wayfare"] == home["platform"]["database_wayfare"]
    assert away["platform"]["patroni_api"] != home["platform"]["patroni_api"]
    assert away["pki"]["ca"] != home["pki"]["ca"]


MEMBERS = {"home": ["h1.test"], "away": ["a1", "a2"]}


def others(**site: Any) -> dict[str, Any]:
    declared = {"name": "wayfare", "components": {"postgres": {"other_site": site}}}
    hosts = {
        "a1": {"ansible_host": "198.51.100.1", "slipway_address": AWAY[0]},
        "a2": {"ansible_host": AWAY[1]},
    }
    return {name: {**host, "stack": declared} for name, host in hosts.items()}


def test_the_others_addresses_come_from_the_inventory() -> None:
    base = with_other_site(stack(1), follow=False)
    found, problems = peer(base, "home", MEMBERS, others(environment="home", follow=True))
    assert problems == []
    assert found.components.postgres
    assert found.components.postgres.other_site
    assert found.components.postgres.other_site.members == AWAY


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        pytest.param({"environment": "home"}, "neither begins as the standby", id="both-lead"),
        pytest.param({"environment": "elsewhere", "follow": True}, "away does not name home", id="one-sided"),
    ],
)
def test_two_that_are_no_pair_are_refused(site: dict[str, Any], reason: str) -> None:
    _, problems = peer(with_other_site(stack(1), follow=False), "home", MEMBERS, others(**site))
    assert [str(problem) for problem in problems if reason in str(problem)]


def test_the_firewall_opens_postgresql_and_its_patroni_to_the_other_sites_hosts() -> None:
    groups = {"groups": MEMBERS}
    variables = {"h1.test": {"ansible_host": "10.0.0.1", **groups}, **others(environment="home")}
    declared = {"components": {"postgres": {"other_site": {"environment": "away"}}}}
    asked = host_stack(declared, "h1.test", ["h1.test"], variables)
    assert asked["other_site"] == {"addresses": list(AWAY), "ports": [5432, 8008]}
    assert "other_site" not in host_stack({}, "h1.test", ["h1.test"], variables)


@pytest.mark.parametrize(
    ("answers", "follows"),
    [
        pytest.param(["", '{"standby_cluster": {"host": "a"}}'], True, id="the-first-that-answers"),
        pytest.param(['{"ttl": 12}'], False, id="one-that-serves"),
        pytest.param(["", "null"], False, id="nobody-that-tells"),
    ],
)
def test_the_timers_of_backups_ask_who_serves(answers: list[str], follows: bool) -> None:
    told = iter(answers)
    repository = Repository(lambda argv, stdin=None: (0, next(told), ""), "c", "wayfare")
    assert repository.follows([f"https://m{n}" for n in range(len(answers))]) is follows


def test_no_alert_of_backups_fires_at_a_site_at_rest() -> None:
    base = with_backup(with_other_site(stack(), follow=True))
    of_backups = [it for it in rules(base) if it["alert"].startswith(("Backup", "WalNot"))]
    assert len(of_backups) == 6
    assert all("unless on () max(patroni_standby_leader) == 1" in it["expr"] for it in of_backups)
