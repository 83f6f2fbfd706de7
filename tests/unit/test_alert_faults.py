"""What would reach nobody, or cannot work, is refused; what is legal and silent is warned of."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.alert_routing import (
    routing,
    unheard,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host

MAIL = {"to": ["ops@example.com"], "from": "a@example.com", "server": "smtp.example.com:587"}
GOOD: dict[str, Any] = {
    "receivers": {
        "team": {"email": {**MAIL, "user": "a", "password_secret": "mail_password"}},
        "pager": {"pagerduty": {"key_secret": "pager_key"}},
    },
    "critical": ["team", "pager"],
    "warning": ["team"],
    "routes": [{"services": ["web"], "owners": ["front"], "receivers": ["team"]}],
    "escalation": [{"after": "15m", "receivers": ["pager"]}, {"after": "30m", "receivers": ["team"]}],
    "watchdog": {"receivers": ["pager"]},
    "uptime": {"receivers": ["team"], "every": "2m"},
}


def judged(
    definition: dict[str, Any], hosts: list[Host], alerts: dict[str, Any], **secrets: Any
) -> dict[str, str]:
    """Problems by path below `alerts`."""
    definition["services"]["web"]["owner"] = "front"
    definition["secrets"] = {"mail_password": {}, "pager_key": {}, **secrets}
    definition["components"] = {"monitoring": {"alerts": alerts}}
    try:
        parse_stack(definition, hosts)
    except InvalidInputError as error:
        start = "stack/components/monitoring/alerts/"
        return {problem.path.removeprefix(start): problem.problem for problem in error.problems}
    return {}


def changed(path: str, value: Any) -> dict[str, Any]:
    alerts = deepcopy(GOOD)
    *parents, last = path.split("/")
    place: Any = alerts
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[int(last) if isinstance(place, list) else last] = value
    return alerts


def test_a_good_one_is_good(definition: dict[str, Any], hosts: list[Host]) -> None:
    assert judged(definition, hosts, GOOD) == {}


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        (("critical", ["tema"]), "critical/0", "tema is not a receiver"),
        (("receivers/idle", {"webhook": {"url": "https://a.test/"}}), "receivers/idle", "gets no alert"),
        (("receivers/team", {}), "receivers/team", "says no way to reach it"),
        (
            ("receivers/pager/pagerduty/key_secret", "other"),
            "receivers/pager/pagerduty/key_secret",
            "other is not declared",
        ),
        (
            ("receivers/pager/pagerduty/key_secret", "made"),
            "receivers/pager/pagerduty/key_secret",
            "made is generated, so nobody else knows it",
        ),
        (("receivers/team/email/user", None), "receivers/team/email", "has no user"),
        (
            ("receivers/team/email/server", "smtp.example.com:465"),
            "receivers/team/email/tls",
            "is starttls at port 465",
        ),
        (
            ("receivers/team/email/tls", "none"),
            "receivers/team/email/tls",
            "is none, which would show the password to everybody",
        ),
        (("receivers/team/webhook", {}), "receivers/team/webhook", "has no URL"),
        (
            ("receivers/team/webhook", {"url": "https://hooks.slack.com/services/T0/B0"}),
            "receivers/team/webhook/url",
            "is a secret: whoever knows it can post there",
        ),
        (("routes/0/services", ["wbe"]), "routes/0/services/0", "wbe is not a service"),
        (("routes/0/owners", ["back"]), "routes/0/owners/0", "back owns no service"),
        (
            ("routes/0", {"receivers": ["team"]}),
            "routes/0",
            "fits every alert, so nothing after it is reached",
        ),
        (("escalation/1/after", "15m"), "escalation/1/after", "is not later than the step before"),
        (
            ("thresholds/disk", {"warning": 95}),
            "thresholds/disk",
            "is critical at 90 before it is a warning at 95",
        ),
        (
            ("thresholds/lock_wait", {"critical": "20s"}),
            "thresholds/lock_wait",
            "is critical at 20 before it is a warning at 30",
        ),
        (
            ("thresholds/cache_hits", {"critical": 60}),
            "thresholds/cache_hits",
            "is critical at 60 before it is a warning at 50",
        ),
    ],
)
def test_a_fault_is_named_with_its_path(
    definition: dict[str, Any], hosts: list[Host], change: tuple[str, Any], where: str, said: str
) -> None:
    assert judged(definition, hosts, changed(*change), made={"generate": 32}) == {where: said}


def test_nobody_escalates_what_nobody_was_told(definition: dict[str, Any], hosts: list[Host]) -> None:
    alerts = {**GOOD, "critical": [], "routes": [{"severities": ["warning"], "receivers": ["team"]}]}
    assert judged(definition, hosts, alerts) == {"escalation": "escalates alerts that nobody was told of"}


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({}, ["reach nobody: name receivers"]),
        (GOOD, []),
        ({**GOOD, "watchdog": None}, ["Nobody would notice"]),
        ({**GOOD, "warning": []}, ["that are warning reach nobody"]),
    ],
)
def test_what_nobody_hears_is_warned_of(
    definition: dict[str, Any], hosts: list[Host], alerts: dict[str, Any], said: list[str]
) -> None:
    assert judged(definition, hosts, alerts) == {}
    found = unheard(parse_stack(definition, hosts))
    assert len(found) == len(said) and all(part in line for part, line in zip(said, found, strict=True))


def test_the_watchdog_and_escalation_come_before_what_the_user_routes(
    definition: dict[str, Any], hosts: list[Host]
) -> None:
    assert judged(definition, hosts, GOOD) == {}
    told = routing(parse_stack(definition, hosts).components.monitoring.alerts)
    assert [branch.audience for branch in told.branches] == [
        "Watchdog",
        "SiteAnswers",
        "pager",
        "team",
        "team",
        "team+pager",
        "team",
    ]
    assert set(told.audiences) == {"Watchdog", "SiteAnswers", "pager", "team", "team+pager"}
    assert told.branches[4].matchers == ('service = "web"', 'owner = "front"')


def test_a_push_monitor_is_told_at_every_interval_and_never_of_an_end(
    definition: dict[str, Any], hosts: list[Host]
) -> None:
    assert judged(definition, hosts, GOOD) == {}
    told = routing(parse_stack(definition, hosts).components.monitoring.alerts)
    sign = told.branches[1]
    assert (sign.matchers, sign.wait, sign.interval) == (('alertname = "SiteAnswers"',), 0, 120)
    assert sign.repeat < sign.interval, "equal to it, every second one would be missed"


def test_where_nothing_has_a_route_there_is_nothing_to_tell_a_push_monitor(
    definition: dict[str, Any], hosts: list[Host]
) -> None:
    for service in definition["services"].values():
        service.pop("route", None)
    assert judged(definition, hosts, GOOD) == {"uptime": "has nothing to tell: no service has a route"}
