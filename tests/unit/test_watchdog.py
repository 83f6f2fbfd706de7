"""PostgreSQL's watchdog: asked for by a stack, lent by a host that has one, else passed over or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.kinds import Mode
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from whole_stack import rendered, stack

ROLES = Path(__file__).resolve().parents[2] / "roles"
HOSTS = ["h1.test", "h2.test", "h3.test", "h4.test"]
NODE = "/dev/slipway/watchdog"


def asking(mode: str) -> Stack:
    base = stack(4)
    assert base.components.postgres
    postgres = replace(base.components.postgres, watchdog=mode)
    return replace(base, components=replace(base.components, postgres=postgres))


def member(mode: str, host: str, *having: str) -> tuple[Any, Any]:
    """What Patroni is told, and which devices its container gets."""
    tree = rendered(asking(mode), host, watchdogs=having)
    container = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]["postgres"]
    return yaml.safe_load(tree["config/postgres/patroni.yml"])["watchdog"], container.get("devices")


@pytest.mark.parametrize("mode", ["automatic", "required"])
def test_a_host_that_has_a_watchdog_lends_it(mode: str) -> None:
    told, devices = member(mode, "h1.test", *HOSTS[:3])
    assert told == {"mode": mode, "device": "/dev/watchdog", "safety_margin": 5}
    assert devices == [f"{NODE}:/dev/watchdog:w"]


@pytest.mark.parametrize(
    ("mode", "having"),
    [
        pytest.param("off", HOSTS, id="not-asked-for"),
        pytest.param("automatic", ["h2.test"], id="another-host-has-one"),
    ],
)
def test_a_member_without_one_starts_as_ever(mode: str, having: list[str]) -> None:
    assert member(mode, "h1.test", *having) == ({"mode": "off"}, None)


def test_a_host_that_must_have_one_is_refused_without() -> None:
    with pytest.raises(SlipwayError, match=r"h2\.test has no watchdog"):
        member("required", "h2.test", "h1.test", "h3.test")
    assert "config/postgres/patroni.yml" not in rendered(asking("required"), "h4.test"), "no member is there"


@pytest.mark.parametrize(("value", "expected"), [("off", "off"), (False, "off"), ("required", "required")])
def test_off_is_what_yaml_makes_of_it_too(value: object, expected: str) -> None:
    assert Mode(("automatic", "required")).parse(value) == expected


@pytest.mark.parametrize("value", [True, "on", "auto", None])
def test_anything_else_is_no_mode(value: object) -> None:
    with pytest.raises(
        SlipwayError, match="one of off, automatic, required|one of off, automatic and required"
    ):
        Mode(("automatic", "required")).parse(value)


@pytest.mark.parametrize(
    ("postgres", "host", "expected"),
    [
        pytest.param({"watchdog": "automatic"}, "h1.test", "automatic", id="a-member"),
        pytest.param({"watchdog": "automatic"}, "h4.test", None, id="no-member"),
        pytest.param({"watchdog": "required", "hosts": ["h4.test"]}, "h4.test", "required", id="named"),
        pytest.param({"watchdog": False}, "h1.test", None, id="off"),
        pytest.param({}, "h1.test", None, id="unsaid"),
        pytest.param(False, "h1.test", None, id="no-postgres"),
    ],
)
def test_provisioning_asks_it_of_members_only(postgres: object, host: str, expected: str | None) -> None:
    variables = {name: {"groups": {}} for name in HOSTS}
    asked = host_stack({"components": {"postgres": postgres}}, host, HOSTS, variables)
    assert asked.get("watchdog") == expected


def test_the_node_belongs_to_the_user_of_the_container() -> None:
    told = yaml.safe_load((ROLES / "host/vars/main.yml").read_text())
    assert told["_host_postgres_uid"] == COMPONENTS["postgres"].uid
    (written, *_rest, made) = yaml.safe_load((ROLES / "host/tasks/watchdog.yml").read_text())
    line = f"c {NODE} 0600 {{{{ _host_postgres_uid }}}} {{{{ _host_postgres_uid }}}} - 10:130"
    assert line in written["ansible.builtin.copy"]["content"]
    assert made["ansible.builtin.command"]["argv"][-1] == written["ansible.builtin.copy"]["dest"]


@pytest.mark.parametrize(
    ("components", "asks"),
    [
        ({}, False),
        ({"postgres": False}, False),
        ({"postgres": {"watchdog": False}}, False),
        ({"postgres": {"watchdog": "automatic"}}, True),
    ],
)
def test_a_release_looks_for_it_where_it_may_be_used(components: object, asks: bool) -> None:
    found = conclude({"h1": {}}, "_release_watchdog", stack={"components": components})
    assert (found in ["automatic", "required"]) is asks


def test_a_release_knows_which_hosts_have_one() -> None:
    answers = {
        "h1": {"__release_watchdog": {"stat": {"exists": True}}},
        "h2": {"__release_watchdog": {"stat": {"exists": False}}},
        "h3": {"__release_watchdog": {"skipped": True}},
        "h4": {},
    }
    assert conclude(answers, "_release_watchdogs") == ["h1"]


def conclude(answers: dict[str, dict[str, Any]], name: str, **more: Any) -> Any:
    """A variable of the role `release`, as Ansible evaluates it."""
    loader = DataLoader()
    variables: dict[str, Any] = loader.load_from_file(
        str(ROLES / "release/vars/main.yml"), trusted_as_template=True
    )
    hosts = {host: {**it, "inventory_hostname": host} for host, it in answers.items()}
    known = {**variables, "hostvars": hosts, "ansible_play_hosts": list(hosts), **more}
    return Templar(loader=loader, variables=known).template(variables[name])
