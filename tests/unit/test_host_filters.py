"""What provisioning decides on the control node: peers, ports, fingerprints, and what a failure means."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.inventory.data import InventoryData
from ansible_collections.slipway.compose.plugins.filter import host_fingerprint as fingerprint
from ansible_collections.slipway.compose.plugins.filter.host_admits import host_admits
from ansible_collections.slipway.compose.plugins.filter.host_failure import host_failure
from ansible_collections.slipway.compose.plugins.filter.host_family import host_family
from ansible_collections.slipway.compose.plugins.filter.host_fingerprint import host_fingerprint
from ansible_collections.slipway.compose.plugins.filter.host_peers import host_peers
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.filter.lost_hosts import lost_hosts
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.schema_rollout import MOST_REPLICAS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.ports import publish_base
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import replicas
from ansible_collections.slipway.compose.plugins.plugin_utils import host_programs
from hypothesis import given
from hypothesis import strategies as st
from whole_stack import service

VARIABLES = {
    "a": {"ansible_host": "192.0.2.1"},
    "b": {"ansible_host": "192.0.2.2", "slipway_address": "10.0.0.2"},
}


def inventory(**children: list[str]) -> Any:
    """Ansible's `hostvars`, as far as filters see its inventory: groups with children, hosts or groups."""
    data = InventoryData()
    for group in children:
        data.add_group(group)
    for group, names in children.items():
        for name in names:
            if name not in children:
                data.add_host(name)
            data.add_child(group, name)
    data.reconcile_inventory()
    return SimpleNamespace(_inventory=data)


HOSTVARS = inventory(
    environments=["production", "staging"],
    production=["a", "b", "c", "databases"],
    databases=["b"],
    staging=["s"],
    europe=["production", "staging"],
    others=["x"],
)


@pytest.mark.parametrize(
    ("host", "peers"),
    [
        pytest.param("b", ["a", "b", "c"], id="a-group-inside-an-environment-is-no-environment"),
        pytest.param("s", ["s"], id="nor-is-one-that-holds-two-of-them"),
        pytest.param("x", ["x"], id="a-host-of-no-environment-has-no-peers"),
    ],
)
def test_peers_are_the_hosts_of_the_same_environment(host: str, peers: list[str]) -> None:
    assert host_peers(HOSTVARS, host) == peers


def test_a_host_of_two_environments_has_no_peers_but_a_problem() -> None:
    both = inventory(environments=["production", "staging"], production=["a", "b"], staging=["b"])
    with pytest.raises(AnsibleFilterError, match="b: belongs to the environments production, staging"):
        host_peers(both, "b")
    assert host_peers(both, "a") == ["a", "b"]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param({}, "c", id="the-third-host"),
        pytest.param({"hosts": ["d"]}, "d", id="the-one-that-is-named"),
        pytest.param(None, "", id="no-backups"),
    ],
)
def test_timers_of_backups_stand_where_the_repository_does(declared: Any, expected: str) -> None:
    peers = ["a", "b", "c", "d"]
    stack = {"components": {"backup": declared}}
    having = [host for host in peers if "backup" in host_stack(stack, host, peers, {it: {} for it in peers})]
    assert having == ([expected] if expected else [])


def test_the_private_address_comes_before_the_one_ssh_uses() -> None:
    assert host_stack({}, "a", ["a", "b"], VARIABLES)["peers"] == ["10.0.0.2", "192.0.2.1"]


@pytest.mark.parametrize(
    ("edge", "ports"),
    [
        pytest.param({}, [80, 443], id="the-first-two-hosts-are-edges-until-the-stack-says-otherwise"),
        pytest.param(
            {"hosts": ["a"], "https_port": 8443}, [80, 8443], id="an-edge-host-opens-the-stacks-ports"
        ),
        pytest.param({"hosts": ["b"]}, [], id="a-host-without-an-edge-opens-nothing"),
    ],
)
def test_only_edge_hosts_open_ports_to_everybody(edge: dict[str, Any], ports: list[int]) -> None:
    assert host_stack({"components": {"edge": edge}}, "a", ["a"], VARIABLES)["public_ports"] == ports


def test_the_third_host_is_no_edge_by_itself() -> None:
    peers = ["a", "b", "c"]
    variables: dict[str, dict[str, str]] = {it: {} for it in peers}
    opened = [host for host in peers if host_stack({}, host, peers, variables)["public_ports"]]
    assert opened == ["a", "b"]


def opened(stack: dict[str, Any]) -> list[range]:
    """The ports that peers may reach."""
    said = [it.partition("-") for it in host_stack(stack, "a", ["a"], VARIABLES)["peer_ports"]]
    return [range(int(first), int(last or first) + 1) for first, _, last in said]


def test_peers_reach_the_registry() -> None:
    assert range(5555, 5556) in opened({"components": {"registry": {"port": 5555}}})


# The last of these is given the last ports there are to give.
LAST = next(name for name in map("web{}".format, count()) if publish_base(name) > 32_680)


@given(
    st.sampled_from(["web", "api", LAST]),
    st.none() | st.integers(1024, 65_000),
    st.none() | st.integers(1, 50),
)
def test_peers_reach_every_replica_that_a_service_may_be_scaled_to(
    name: str, base: int | None, most: int | None
) -> None:
    declared = {"port": 8080, "publish_base": base, "scale": most and {"max": most}}
    it = service(name, "/", "http", base or publish_base(name), ("a",))
    there = replicas(replace(it, replicas=most or MOST_REPLICAS), Host("a", "192.0.2.1"))
    ranges = opened({"services": {name: declared}})
    assert all(any(one.port in ports for ports in ranges) for one in there)
    assert all(ports[-1] <= 65_535 for ports in ranges)


def test_a_worker_has_no_ports_to_open() -> None:
    assert opened({"services": {LAST: {"port": None}}}) == opened({})


@pytest.mark.parametrize(
    ("client", "port", "admitted"),
    [
        pytest.param("10.0.0.9", "22", True, id="inside"),
        pytest.param("10.0.1.9", "22", False, id="other-network"),
        pytest.param("10.0.0.9", "2222", False, id="other-port"),
        pytest.param("fd00::9", "22", True, id="ipv6"),
    ],
)
def test_a_session_is_admitted_by_address_and_port(client: str, port: str, *, admitted: bool) -> None:
    session = [client, "50000", "10.0.0.1", port]
    assert host_admits(session, ["10.0.0.0/24", "fd00::/8"], [22]) is admitted


def test_names_are_refused_in_firewall_rules() -> None:
    with pytest.raises(AnsibleFilterError, match=r"'bastion\.example\.com' is not an IP address"):
        host_family(["bastion.example.com"], "ip")


def test_addresses_are_told_apart_by_family() -> None:
    assert host_family(["10.0.0.1", "fd00::1", "10.0.0.0/8"], "ip") == ["10.0.0.1", "10.0.0.0/8"]


def test_the_fingerprint_follows_settings_and_not_their_order() -> None:
    first = host_fingerprint({"name": "shop"}, {"host_time_sync": "none", "host_firewall": True})
    assert first == host_fingerprint({"name": "shop"}, {"host_firewall": True, "host_time_sync": "none"})
    assert first != host_fingerprint({"name": "shop"}, {"host_firewall": False, "host_time_sync": "none"})
    assert first != host_fingerprint({"name": "cafe"}, {"host_time_sync": "none", "host_firewall": True})


def test_the_fingerprint_follows_every_program_that_a_host_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, core = tmp_path / "roles/host", tmp_path / "plugins/module_utils/_core"
    shutil.copytree(fingerprint.ROLE, role, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(host_programs.CORE, core, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "ROLE", role)
    monkeypatch.setattr(host_programs, "CORE", core)
    monkeypatch.setattr(host_programs, "MAINS", role / "files")
    monkeypatch.setattr(host_programs, "sources", host_programs.sources.__wrapped__)
    monkeypatch.setattr(fingerprint, "sources", host_programs.sources)
    programs = {path for name in host_programs.programs() for path in host_programs.sources(name).values()}
    names = {path.name for path in programs}
    parts = {"log_shipper.py", "third_parties_main.py", "archive_work.py", "textfile.py"}
    assert {*parts, "retention_work.py"} <= names
    digests = [fingerprint._role_digest.__wrapped__()]
    for changed in (*programs, core / "release/rollout.py"):
        changed.write_text(changed.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        digests.append(fingerprint._role_digest.__wrapped__())
    assert len(set(digests)) == 1 + len(programs), "what no host is given counts not"
    assert digests[-1] == digests[-2]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        pytest.param(
            {
                "msg": "One or more items failed",
                "results": [{"msg": "fine"}, {"failed": True, "msg": "Task failed: no"}],
            },
            "no.",
            id="the-first-failed-item-speaks",
        ),
        pytest.param(
            {"msg": "failed to validate", "stderr": "x.nft:4: Error: syntax\n  here"},
            "failed to validate: x.nft:4: Error: syntax here. "
            "Correct host_firewall_rules; the old rules still hold.",
            id="a-validator-is-quoted",
        ),
        pytest.param(
            {"msg": "E: You don't have enough free space in /var/cache/apt/archives/."},
            "E: You don't have enough free space in /var/cache/apt/archives/. "
            "Free some space on this host (apt-get clean is a start), then run again.",
            id="a-full-disk",
        ),
        pytest.param({}, "The task failed and did not say why.", id="no-message"),
    ],
)
def test_a_failure_is_one_line_with_its_remedy(result: dict[str, Any], line: str) -> None:
    assert host_failure(result) == line


def test_a_host_is_lost_where_any_kept_answer_says_that_it_was_not_reached() -> None:
    answers = {
        "a": {"moved": {"changed": True}, "asked": {"skipped": True}},
        "b": {"moved": {"unreachable": True}, "asked": {"skipped": True}},
        "c": {"asked": {"unreachable": False}},
        "d": {},
    }
    assert lost_hosts(answers, list(answers), ["moved", "asked"]) == ["b"]
