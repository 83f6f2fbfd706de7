"""A run is for exactly one environment, and every host of it has an address of its own."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.plugin_utils import environment

SETTINGS = "inventory/p1/host_engine_settings"
MEMBERS = {"staging": ["s1"], "production": ["p1", "p2"]}


def refusal(call, *arguments) -> str:
    with pytest.raises(InvalidInputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_run_on_an_environments_hosts_is_for_it():
    assert environment.select(["p2", "p1"], MEMBERS) == "production"


@pytest.mark.parametrize(
    ("run", "members", "expected"),
    [
        pytest.param(["x"], {}, "inventory: has no group environments with children", id="no-environments"),
        pytest.param(["p1", "x"], MEMBERS, "inventory/x: belongs to no environment", id="a-host-in-none"),
        pytest.param(
            ["p1"],
            {**MEMBERS, "staging": ["s1", "p1"]},
            "inventory/p1: belongs to the environments staging, production",
            id="a-host-in-two",
        ),
        pytest.param(["s1", "p1"], MEMBERS, "spans the environments production, staging", id="no-limit"),
    ],
)
def test_any_other_run_is_refused(run, members, expected):
    assert expected in refusal(environment.select, run, members)


def test_a_part_of_an_environment_is_refused_by_name():
    assert "the limit leaves out p2" in refusal(environment.refuse_partial, ["p1"], "production", MEMBERS)
    environment.refuse_partial(["p2", "p1"], "production", MEMBERS)


@pytest.mark.parametrize(
    ("name", "variables", "address"),
    [
        pytest.param("p1", {"ansible_host": "192.0.2.1"}, "192.0.2.1", id="where-ssh-goes"),
        pytest.param(
            "p1", {"ansible_host": "p1.example.com", "slipway_address": "10.0.0.1"}, "10.0.0.1", id="its-own"
        ),
        pytest.param("192.0.2.9", {}, "192.0.2.9", id="its-name"),
    ],
)
def test_a_hosts_address_is(name, variables, address):
    fleet = environment.fleet("e", {"e": [name]}, {name: variables})
    assert fleet == environment.Fleet((Host(name, address),), ())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, "has no address", id="none"),
        pytest.param(
            {"ansible_host": "p1.lan"}, 'ansible_host is "p1.lan", not an IPv4 address', id="a-name"
        ),
        pytest.param({"slipway_address": "2001:db8::1"}, "not an IPv4 address", id="ipv6"),
        pytest.param({"slipway_address": "127.0.0.1"}, "where no peer can reach it", id="loopback"),
        pytest.param({"slipway_address": "0.0.0.0"}, "where no peer can reach it", id="any"),
    ],
)
def test_an_address_that_will_not_do(variables, expected):
    (problem,) = environment.fleet("e", {"e": ["p1"]}, {"p1": variables}).problems
    assert str(problem).startswith("inventory/p1: ")
    assert expected in str(problem)


def test_two_hosts_with_one_address():
    variables = {name: {"ansible_host": "192.0.2.1"} for name in ("p1", "p2")}
    (problem,) = environment.fleet("production", MEMBERS, variables).problems
    assert str(problem).startswith("inventory/p2: has 192.0.2.1, the address of p1")


def test_one_machine_in_two_environments_under_two_names():
    endpoints = {"p1": ("192.0.2.1",), "p2": ("192.0.2.2",), "s1": ("192.0.2.2",), "s2": None}
    (problem,) = environment.shared_machines(["p1", "p2"], endpoints)
    assert str(problem).startswith("inventory/p2: is the machine that another environment lists as s1")


def test_equal_private_addresses_behind_different_jump_hosts_are_different_machines():
    behind = [
        environment.endpoint({"ansible_host": "10.0.0.1", "ansible_ssh_common_args": f"-J {gate}"})
        for gate in "ab"
    ]
    assert list(environment.shared_machines(["p1"], {"p1": behind[0], "s1": behind[1]})) == []


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        pytest.param({"userland-proxy": False}, [f"{SETTINGS}/userland-proxy"], id="off"),
        pytest.param({"userland-proxy": True, "labels": ["a=b"]}, [], id="on"),
        pytest.param({"labels": ["a=b"]}, [], id="as-by-default"),
        pytest.param(None, [], id="no-settings"),
    ],
)
def test_an_engine_without_its_proxy_is_refused(settings, paths):
    assert [problem.path for problem in environment.engine_settings("p1", settings)] == paths
