"""What a deployment would leave behind on the hosts that have it, and what of that is meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.release import stored
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.data_placement import (
    PLACEMENT,
    Placement,
    judge,
    kept,
    left,
    remarks,
    told,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import ReleaseTree
from whole_stack import rendered, with_everything
from whole_stack import stack as whole

A, B, C = (f"app-{number}.example.com" for number in (1, 2, 3))


def placed(definition: dict[str, Any], hosts: Sequence[Host]) -> Stack:
    """A stack that keeps all there is to keep, placed by nobody."""
    second = {"path": "/x", "sftp": {"host": "b.example.com", "user": "u", "private_key": "key"}}
    second["sftp"]["fingerprint"] = 64 * "a"
    web = definition["services"]["web"]
    web |= {"database": "shop", "volumes": {"uploads": "/data"}, "strategy": "recreate"}
    definition["secrets"] = {"key": None}
    definition["components"] = {"redis": {}, "logs": {}, "backup": {"second": second}}
    return parse_stack(definition, hosts)


def said(wanted: Placement, found: Placement, hosts: Sequence[str], consent: Sequence[str] = ()) -> list[str]:
    """The refusals; where there are none, what is said nevertheless."""
    moving = left(wanted, [found], hosts)
    try:
        return judge(moving, consent, list(wanted))
    except InvalidInputError as error:
        return [str(problem) for problem in error.problems]


def test_each_setting_that_places_data_is_known(definition, hosts):
    assert kept(placed(definition, hosts)) == {
        "registry": (C,),
        "etcd": (A, B, C),
        "postgres": (A, B, C),
        "redis": (A, B, C),
        "backup": (C,),
        "logs": (C,),
        "monitoring": (C,),
        "services.web": (A, B, C),
    }


def test_what_a_stack_does_not_have_is_kept_nowhere(definition, hosts):
    definition["components"] = {"postgres": False, "redis": False}
    assert set(kept(parse_stack(definition, hosts))) == {"registry", "monitoring"}


def test_three_hosts_in_place_of_one_leave_behind_what_stands_on_one(definition, hosts):
    one = kept(placed(dict(definition), hosts[:1]))
    three = kept(placed(definition, hosts))
    moving = left(three, [one, {}, {}], [A, B, C])
    assert [it.name for it in moving] == ["registry", "etcd", "backup", "logs", "monitoring"]
    with pytest.raises(InvalidInputError, match="5 problems found, no host was touched") as refused:
        judge(moving, [], list(three))
    assert {problem.path for problem in refused.value.problems} == {
        f"stack/components/{name}/hosts" for name in ("registry", "etcd", "backup", "logs", "monitoring")
    }
    assert all(f"Write `hosts: [{A}]` there" in problem.remedy for problem in refused.value.problems)


def test_what_the_refusals_say_to_write_is_enough(definition, hosts):
    one = kept(placed(dict(definition), hosts[:1]))
    stack = placed(definition, hosts)
    for it in left(kept(stack), [one], [A, B, C]):
        definition["components"].setdefault(it.name, {})["hosts"] = list(it.here)
    assert left(kept(parse_stack(definition, hosts)), [one], [A, B, C]) == []


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        pytest.param({"logs": [B]}, {}, [], id="before-the-first-release"),
        pytest.param({"logs": [A]}, {"logs": [A]}, [], id="where-it-is"),
        pytest.param({}, {"logs": [A]}, [], id="no-longer-wanted"),
        pytest.param({"monitoring": [A, B]}, {"monitoring": [A]}, [], id="one-more-beside-it"),
        pytest.param({"monitoring": [B]}, {"monitoring": [A, B]}, [], id="one-of-two-stays"),
        pytest.param({"postgres": [B, C]}, {"postgres": [A, B, C]}, [], id="one-member-less"),
        pytest.param({"postgres": [A, B, C]}, {"postgres": [A]}, [], id="members-that-copy"),
        pytest.param({"etcd": [A, B, C]}, {"etcd": [A, B, C]}, [], id="the-same-members"),
        pytest.param({"logs": [B]}, {"logs": [A]}, ["logs"], id="the-only-one"),
        pytest.param({"monitoring": [C]}, {"monitoring": [A, B]}, ["monitoring"], id="all-of-them"),
        pytest.param({"postgres": [B, C]}, {"postgres": [A]}, ["postgres"], id="the-only-member"),
        pytest.param({"etcd": [A, B, C]}, {"etcd": [A]}, ["etcd"], id="etcd-beside-its-only-member"),
        pytest.param({"services.web": [B]}, {"services.web": [A]}, ["services.web"], id="volumes"),
    ],
)
def test_only_what_nobody_would_keep_is_left(wanted, found, expected):
    assert [it.name for it in left(wanted, [found], [A, B, C])] == expected


def test_one_host_is_enough_to_know_it():
    assert left({"logs": [B]}, [{}, {"logs": [A]}, {}], [A, B, C])[0].here == (A,)


def test_a_host_that_says_something_older_does_not_hide_where_it_is_now():
    assert left({"logs": [B]}, [{"logs": [A]}, {"logs": [B]}], [A, B, C]) == []


STAY = f"Write `hosts: [{A}]` there to leave it where it is"


@pytest.mark.parametrize(
    ("path", "why", "remedy"),
    [
        ("components/logs", "the logs and traces are", f"{STAY}, or let it begin anew: -e move=logs"),
        ("services/web", "its volumes are", f"{STAY}, or let it begin anew: -e move=services.web"),
        (
            "components/postgres",
            "the databases are",
            f"{STAY}; to move it with its data, write `hosts: [{A}, {B}]`, deploy, and take {A} out later",
        ),
    ],
)
def test_a_refusal_says_what_where_and_what_to_do(path, why, remedy):
    name = path.replace("components/", "").replace("/", ".")
    expected = f"stack/{path}/hosts: would begin empty on {B}, for {why} on {A} and stay behind. {remedy}."
    assert said({name: [B]}, {name: [A]}, [A, B]) == [expected]


def test_etcds_members_are_to_be_named_as_they_are():
    assert said({"etcd": [A, B, C]}, {"etcd": [A]}, [A, B, C]) == [
        f"stack/components/etcd/hosts: would be {A}, {B}, {C} in place of {A}, and no deployment changes its "
        f"members. Write `hosts: [{A}]` there."
    ]


def test_what_is_meant_is_said_and_done():
    wanted, found = {"logs": [B], "backup": [B]}, {"logs": [A], "backup": [A]}
    assert [line.split(":")[0] for line in said(wanted, found, [A, B], ["logs"])] == [
        "stack/components/backup/hosts"
    ]
    told_of = said(wanted, found, [A, B], ["logs", "backup"])
    assert told_of == remarks(left(wanted, [found], [A, B]))
    assert f"for the logs and traces are on {A} and stay behind." in told_of[0]


@pytest.mark.parametrize("name", ["etcd", "postgres", "redis"])
def test_members_do_not_begin_empty_beside_one_that_has_everything(name):
    assert "hosts" in said({name: [B]}, {name: [A]}, [A, B], [name])[0]


def test_the_same_consent_again_is_no_fault():
    assert said({"logs": [B]}, {"logs": [B]}, [A, B], ["logs"]) == []


def test_a_consent_to_what_there_is_not_is_corrected():
    assert said({"backup": [B], "logs": [B]}, {}, [A, B], ["backups"]) == [
        "move: names backups. Did you mean backup? Name one or several of backup, logs."
    ]


def test_a_lost_host_keeps_nobody_from_deploying():
    lost = {"logs": [C], "backup": [C], "registry": [C], "monitoring": [C], "redis": [C], "postgres": [A, C]}
    wanted = dict.fromkeys(lost, [B]) | {"postgres": [A, B]}
    found = said(wanted, lost, [A, B])
    assert len(found) == 5
    assert all(f"were on {C}, which the inventory no longer has." in line for line in found)


def test_databases_whose_every_host_is_gone_do_not_begin_empty_by_themselves():
    wanted, found = {"postgres": [B]}, {"postgres": [A]}
    refused = said(wanted, found, [B])[0]
    assert "Put the host back into the inventory. Is it lost, playbooks/rebuild.yml brings" in refused
    meant = said(wanted, found, [B], ["postgres"])
    assert f"the databases were on {A}, which the inventory no longer has." in meant[0]


def test_a_host_that_is_left_is_named_where_another_is_lost():
    assert "`hosts: [app-1.example.com]`" in said({"monitoring": [B]}, {"monitoring": [A, C]}, [A, B])[0]


def test_a_release_says_on_every_host_who_keeps_what():
    stack = with_everything(whole())
    for host in stack.hosts:
        said_there = json.loads(rendered(stack, host.name)[PLACEMENT])
        assert {name: tuple(names) for name, names in said_there.items()} == kept(stack)


def test_a_host_tells_what_the_release_says_that_serves(definition, hosts, tmp_path: Path):
    tree, stack = ReleaseTree(tmp_path), parse_stack(definition, hosts)
    assert stored.placement(tree) == {}
    for release in ("old", "new"):
        (tree.release(release)).mkdir(parents=True)
    (tree.release("new") / PLACEMENT).write_text(told(stack))
    tree.make_current("old")
    assert stored.placement(tree) == {}
    tree.make_current("new")
    assert stored.placement(tree)["registry"] == [C]
