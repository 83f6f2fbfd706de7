"""What roles conclude from their hosts' answers, as Ansible evaluates it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLES = Path(__file__).resolve().parents[2] / "roles"
VARS = ROLES / "release/vars/main.yml"


@pytest.mark.parametrize(
    ("locks", "same"),
    [
        pytest.param([{"turn": 7}, {"turn": 3}], True, id="nobody-came-between"),
        pytest.param([{"turn": 8}, {"turn": 3}], False, id="somebody-did"),
        # Another run's, whose turn it was that this one had counted on.
        pytest.param([{"turn": 7}, {"lock": {"turn": 3}}], False, id="not-free-at-once"),
    ],
)
def test_what_is_prepared_holds_only_where_nobody_came_between(
    locks: list[dict[str, Any]], same: bool
) -> None:
    loader = DataLoader()
    variables: dict[str, Any] = loader.load_from_file(str(VARS), trusted_as_template=True)
    hosts = {
        f"h{number}": {"__release": {"turn": turn}, "__lock_asked": lock}
        for number, (turn, lock) in enumerate(zip((7, 3), locks, strict=True))
    }
    known = {**variables, "hostvars": hosts, "ansible_play_hosts": list(hosts)}
    templar = Templar(loader=loader, variables=known)
    told = templar.template(variables["_release_turns"]), templar.template(variables["_release_own_turns"])
    assert (told[0] == told[1]) is same


@pytest.mark.parametrize(
    ("stored", "migrates", "asked"),
    [
        pytest.param("", [False, False], True, id="a-new-release"),
        pytest.param("previous", [False, False], False, id="back-to-the-same-migrations"),
        pytest.param("previous", [False, True], True, id="back-to-others-on-any-host"),
    ],
)
def test_those_in_a_hurry_ask_the_schema_only_where_it_can_say_no(
    stored: str, migrates: list[bool], asked: bool
) -> None:
    loader = DataLoader()
    variables: dict[str, Any] = loader.load_from_file(str(VARS), trusted_as_template=True)
    hosts = {f"h{number}": {"__release": {"migrates": it}} for number, it in enumerate(migrates)}
    known = {**variables, "hostvars": hosts, "ansible_play_hosts": list(hosts), "release_stored": stored}
    assert Templar(loader=loader, variables=known).template(variables["_release_asks_schema"]) is asked


@pytest.mark.parametrize(
    ("resumed", "still"),
    [
        pytest.param({"changed": True}, False, id="whoever-led-leads-again"),
        pytest.param({"failed": True, "changed": False, "msg": "engine"}, True, id="whoever-led-cannot"),
        pytest.param({"unreachable": True, "changed": False, "msg": "ssh"}, True, id="whoever-led-is-lost"),
        pytest.param({}, True, id="whoever-led-was-never-asked"),
        pytest.param(None, False, id="nobody-led"),
    ],
)
def test_nobody_is_started_before_whoever_led_when_a_restore_is_given_up(
    resumed: dict[str, Any] | None, still: bool
) -> None:
    loader = DataLoader()
    variables: dict[str, Any] = loader.load_from_file(
        str(ROLES / "restore/vars/main.yml"), trusted_as_template=True
    )
    marked = {"__restore_marked": {"leader": resumed is not None}}
    led = {**marked, **({"__restore_resumed": resumed} if resumed else {})}
    follower = {
        "__restore_marked": {"leader": False},
        "__restore_resumed": {"skipped": True, "changed": False},
    }
    hosts = {"h0": follower, "h1": led}
    known = {**variables, "hostvars": hosts, "ansible_play_hosts_all": list(hosts)}
    assert Templar(loader=loader, variables=known).template(variables["_restore_stands_still"]) is still
