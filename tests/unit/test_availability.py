"""How services fare, as others are told: decided from alerts, listed by a release, told until it is heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import availability_list
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.availability import (
    DEGRADED,
    DOWN,
    SETTLED,
    UP,
    Account,
    Listener,
    Seen,
    fares,
    identity,
    payload,
    recalled,
    remembered,
    seen,
    untold,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from whole_stack import CERTIFICATE, IMAGES, SECRETS, rendered, stack, with_listeners

WHERE = {"stack": "shop", "environment": "production"}
NOON = 1795694400.0


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, **labels}


@pytest.mark.parametrize(
    ("firing", "web", "api"),
    [
        pytest.param([], UP, UP, id="nothing-fires"),
        pytest.param([alert("ServiceDown", service="web")], DOWN, UP, id="no-replica-is-healthy"),
        pytest.param([alert("SiteDown")], DOWN, DOWN, id="no-route-answers"),
        pytest.param(
            [alert("RouteUnreachable", service="api", host="a")], UP, DEGRADED, id="by-one-edge-of-two"
        ),
        pytest.param(
            [alert("RouteUnreachable", service="api", host=host) for host in "ab"], UP, DOWN, id="by-no-edge"
        ),
        pytest.param([alert("ErrorBudgetBurning", service="web")], DEGRADED, UP, id="budget-spent-fast"),
        pytest.param([alert("SlowResponses", service="web")], DEGRADED, UP, id="slow"),
        pytest.param([alert("HighErrorRate", "warning", service="web")], UP, UP, id="a-warning-is-no-outage"),
        pytest.param([alert("ReplicaMemoryHigh", service="web")], UP, UP, id="no-user-sees-that"),
        pytest.param([alert("ServiceDown", service="worker")], UP, UP, id="of-a-service-without-a-route"),
        pytest.param(
            [alert("ServiceDown", service="web", escalation="1")],
            UP,
            UP,
            id="an-escalation-is-no-other-fault",
        ),
    ],
)
def test_a_service_fares_as_the_critical_alerts_say(firing: list[dict[str, str]], web: str, api: str) -> None:
    found = fares(firing, ["api", "web"], 2)
    assert {name: state for name, (state, _) in found.items()} == {"api": api, "web": web}


def test_the_alerts_that_say_so_are_told_with_it() -> None:
    firing = [alert("SlowResponses", service="web"), alert("ServiceDown", service="web")]
    assert fares(firing, ["web"], 2)["web"] == (DOWN, ("ServiceDown", "SlowResponses"))


def test_the_worse_is_believed_at_once_and_the_better_when_it_lasts() -> None:
    one = seen(Seen(since=0), DOWN, ("ServiceDown",), NOON)
    assert one == Seen(DOWN, NOON, ("ServiceDown",))
    one = seen(one, UP, (), NOON + 15)
    assert one.state == DOWN
    # Prometheus has begun anew, and the alert waits once more.
    one = seen(seen(one, DOWN, ("ServiceDown",), NOON + 45), UP, (), NOON + 60)
    assert seen(one, UP, (), NOON + 60 + SETTLED - 1).state == DOWN
    assert seen(one, UP, (), NOON + 60 + SETTLED) == Seen(UP, NOON + 60)


def told_along(listener: Listener, states: list[str]) -> list[str]:
    """What a listener hears of a service that goes through some states."""
    account, heard = Account(), []
    for state in states:
        for name, _before in list(untold(account, listener, {"web": Seen(state)})):
            account.worked(name, state)
            heard.append(state)
    return heard


@pytest.mark.parametrize(
    ("on", "heard"),
    [
        ((DOWN, DEGRADED, UP), [DEGRADED, DOWN, DEGRADED, UP, DEGRADED, UP, DOWN]),
        ((DOWN, UP), [DOWN, UP, DOWN]),
        ((DOWN,), [DOWN, DOWN]),
        ((DEGRADED,), [DEGRADED, DEGRADED]),
        ((UP,), []),
    ],
)
def test_a_listener_hears_what_it_listens_to_once(on: tuple[str, ...], heard: list[str]) -> None:
    states = [UP, DEGRADED, DOWN, DOWN, DEGRADED, UP, UP, DEGRADED, UP, DOWN]
    assert told_along(Listener("id", on, "https://a/", "json", ""), states) == heard


def test_who_does_not_answer_is_asked_less_and_less_often() -> None:
    account, waits = Account(), []
    for _ in range(7):
        account.failed(NOON)
        waits.append(account.due - NOON)
    assert waits == [15, 30, 60, 120, 240, 300, 300]
    account.worked("web", DOWN)
    assert (account.due, account.failures) == (0, 0)


def test_what_is_posted_says_which_service_fares_how_since_when_and_why() -> None:
    told = payload(WHERE, "api", Seen(DOWN, NOON, ("ServiceDown",)), UP)
    assert told == {
        "event": "down",
        "text": "✘ shop production: api is down since 2026-11-26T12:00:00Z: ServiceDown",
        "service": {
            "stack": "shop",
            "environment": "production",
            "name": "api",
            "state": "down",
            "before": "up",
            "since": "2026-11-26T12:00:00Z",
            "alerts": ["ServiceDown"],
        },
    }
    assert payload(WHERE, "api", Seen(UP, NOON), DOWN)["text"].endswith(
        "api is up again since 2026-11-26T12:00:00Z"
    )
    assert identity(WHERE, "api", Seen(DOWN, NOON)) == "shop-api-down-1795694400"


def test_a_new_start_goes_on_where_the_last_one_ended() -> None:
    services, accounts = {"web": Seen(DOWN, NOON)}, {"page": Account({"web": DOWN})}
    assert recalled(remembered(services, accounts)) == (services, accounts)


def test_the_first_monitoring_host_is_given_the_list_and_each_secret_as_a_file() -> None:
    laid = topology(with_listeners(stack()))
    images = dict.fromkeys([*IMAGES, *laid.stack.services], "i")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {}, "production")
    folder, own = availability_list.FOLDER, ("status_key", "status_url")
    for host, view in laid.views.items():
        files = render(laid, view, material)
        found = {
            it.path: (it.mode, it.owner) for it in files if any(SECRETS[name] in it.content for name in own)
        }
        wanted = {f"{folder}/secrets/{name}": (0o400, 0) for name in own}
        assert found == (wanted if host == "h3.test" else {})
    (text,) = [it.content for it in files if it.path == f"{folder}/list.json"]
    told = json.loads(text)
    assert told["prometheus"] == "http://10.0.0.3:9090"
    assert told["where"] == {"stack": "wayfare", "environment": "production"}
    assert (told["services"], told["edges"]) == (["api", "journeys", "updates", "web"], 2)
    assert told["hooks"][0] == {
        "on": ["down", "degraded", "up"],
        "url": None,
        "url_secret": "status_url",
        "signing_secret": "status_key",
        "format": "json",
    }


def test_a_stack_whose_hooks_are_of_releases_only_is_as_it_was() -> None:
    assert not [path for path in rendered(stack(), "h3.test") if "availability" in path]


@pytest.mark.parametrize(
    ("hooks", "monitoring", "telling"),
    [
        pytest.param([{"on": ["up"]}], None, ["c"], id="the-third-host"),
        # YAML 1.1 reads the key `on` as a boolean.
        pytest.param([{True: ["failed", "down"]}], {"hosts": ["d", "a"]}, ["d"], id="the-first-of-two"),
        pytest.param([{"on": ["failed"]}], None, [], id="of-releases-only"),
        pytest.param(None, None, [], id="no-hooks"),
    ],
)
def test_the_program_stands_on_one_host(hooks: Any, monitoring: Any, telling: list[str]) -> None:
    peers = ["a", "b", "c", "d"]
    told = {"hooks": hooks, "components": {"monitoring": monitoring}}
    found = [host_stack(told, host, peers, {it: {} for it in peers}) for host in peers]
    assert [host for host, it in zip(peers, found, strict=True) if it.get("availability")] == telling
