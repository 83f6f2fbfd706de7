"""Third parties: what is refused, and what hosts are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.third_party_watch import (
    Party,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import ThirdParty
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from made_third_parties import FOLDER, URL, party
from whole_stack import CERTIFICATE, IMAGES, SECRETS, rendered, stack, with_outside


def declared(definition: dict[str, Any], one: Any, **secrets: Any) -> dict[str, Any]:
    definition["components"] = {"monitoring": {"outside": {"payments": one}}}
    definition["secrets"] = secrets
    return definition


def test_a_url_is_all_that_must_be_said(definition: dict[str, Any], hosts: list[Host]) -> None:
    told = parse_stack(declared(definition, {"url": URL}), hosts).components.monitoring.outside
    assert told == {"payments": ThirdParty(URL, "GET", 200, 60, 10000, 2000, None, None, "warning")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "api.example.com"}, '/url: is "api.example.com", not a URL'),
        ({"url": "file:///etc/passwd"}, '/url: is "file:///etc/passwd", not a URL'),
        ({"url": "https://api.example.com:70000/"}, "/url: has port 70000. Write one from 1 to 65535"),
        ({"url": "https://api.example.com:0"}, "/url: has port 0. Write one from 1 to 65535"),
        ({"method": "POST"}, '/method: is "POST", not one of GET, HEAD'),
        ({"expect": 429}, "/expect: is 429, which says that a limit is reached. Expect the status"),
        ({"expect": 99}, "/expect: is 99, out of range. Write a whole number from 200 to 599"),
        ({"every": "1s"}, '/every: is "1s", out of range. Write a duration from 15s to 1d'),
        ({"slow": "10s"}, "/slow: is 10000 ms, and after 10000 ms an answer counts as none. Write less than"),
        (
            {"every": "15s", "within": "16s"},
            "/within: is 16000 ms, longer than the 15 s until it is asked again. Write 15s or less, or",
        ),
        ({"few": 0}, "/few: is 0, out of range"),
        ({"severity": "page"}, '/severity: is "page", not one of critical, warning'),
        ({"authorization_secret": "pay"}, "/authorization_secret: pay is not declared. "),
        (
            {"authorization_secret": "made"},
            "/authorization_secret: made is generated, so nobody else knows it. Remove generate",
        ),
        (
            {"url": "http://api.example.com", "authorization_secret": "given"},
            "/url: would show the secret to everybody on the way. Write https",
        ),
        ({"header": "x"}, "/header: is not a known key. "),
    ],
)
def test_what_cannot_work_is_refused(
    definition: dict[str, Any], hosts: list[Host], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(declared(definition, {"url": URL, **change}, given={}, made={"generate": 16}), hosts)
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"stack/components/monitoring/outside/payments{said}")


def test_several_faults_are_told_at_once(definition: dict[str, Any], hosts: list[Host]) -> None:
    one = {"url": "nowhere", "within": "never", "authorization_secret": "pay", "expect": "ok"}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(declared(definition, one), hosts)
    found = sorted(problem.path.rpartition("/")[2] for problem in refused.value.problems)
    assert found == ["authorization_secret", "expect", "url", "within"]


def test_monitoring_hosts_are_given_the_list_and_each_secret_as_a_file() -> None:
    base = with_outside(stack())
    laid = topology(base)
    images = dict.fromkeys([*IMAGES, *base.services], "i")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {})
    for host, view in laid.views.items():
        files = {it.path: it for it in render(laid, view, material) if SECRETS["third_party"] in it.content}
        found = {path: (it.mode, it.owner) for path, it in files.items()}
        assert found == ({f"{FOLDER}/secrets/third_party": (0o400, 0)} if host == "h3.test" else {})
    told = json.loads(rendered(base, "h3.test")[f"{FOLDER}/list.json"])
    # As the program reads them: key by key.
    assert Party(**told["payments"]) == party(
        url="https://api.pay.test/health?deep=1", few=100, authorization="third_party"
    )
    assert Party(**told["maps"]) == party(url="https://maps.test/up", method="HEAD", expect=204)


def test_a_stack_that_lists_none_is_as_it_was() -> None:
    tree = rendered(stack(), "h3.test")
    assert not [path for path in tree if "third" in path]
    assert "third_party" not in tree["config/alertmanager/alertmanager.yml"]


def test_a_critical_alert_of_one_silences_no_warning_of_another() -> None:
    told = yaml.safe_load(rendered(with_outside(stack()), "h3.test")["config/alertmanager/alertmanager.yml"])
    (rule,) = [it for it in told["inhibit_rules"] if it["source_matchers"] == ['severity = "critical"']]
    assert {"alertname", "host", "third_party"} <= set(rule["equal"])


@pytest.mark.parametrize(
    ("monitoring", "asking"),
    [
        pytest.param({"outside": {"maps": {"url": URL}}}, ["c"], id="the-third-host"),
        pytest.param({"outside": {"maps": {"url": URL}}, "hosts": ["a", "d"]}, ["a", "d"], id="those-named"),
        pytest.param({"outside": {}}, [], id="nobody-to-ask"),
        pytest.param(None, [], id="nothing-said"),
    ],
)
def test_the_program_stands_where_the_monitoring_does(monitoring: Any, asking: list[str]) -> None:
    peers = ["a", "b", "c", "d"]
    told = {"components": {"monitoring": monitoring}}
    found = [host_stack(told, host, peers, {it: {} for it in peers}) for host in peers]
    assert [host for host, it in zip(peers, found, strict=True) if it.get("third_parties")] == asking
