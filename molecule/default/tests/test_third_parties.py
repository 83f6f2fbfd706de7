"""What the stack lists of others is asked by the monitoring host, and Prometheus knows how it fares."""

from __future__ import annotations

from test_monitoring import TWO_SCRAPES, ask
from waiting import eventually

from lab import Lab


def known(lab: Lab, metric: str) -> dict[tuple[str, str], float]:
    """A metric of third parties, by the host that asked and their names."""
    found = ask(lab, f"query?query=slipway_third_party_{metric}")["result"]
    return {(it["metric"]["host"], it["metric"]["third_party"]): float(it["value"][1]) for it in found}


def test_all_that_the_stack_lists_is_asked_and_answers(lab: Lab) -> None:
    listed = lab.stack["components"]["monitoring"]["outside"]
    asking = lab.host_of("prometheus")
    wanted = {(asking, name): 1.0 for name in listed}
    assert wanted
    assert eventually(lambda: known(lab, "up"), lambda up: up == wanted, TWO_SCRAPES) == wanted
    assert all(seconds > 0 for seconds in known(lab, "seconds").values())
    assert set(known(lab, "failures_in_a_row").values()) == {0.0}


def test_only_the_monitoring_host_asks(lab: Lab) -> None:
    # `is-active` fails where it says no.
    unit = "systemctl is-active slipway-third-parties || true"
    active = {name: host.check_output(unit) for name, host in lab.hosts.items()}
    assert [name for name, said in active.items() if said == "active"] == [lab.host_of("prometheus")]


def test_fallbacks_of_the_application_are_counted_by_dependency(lab: Lab) -> None:
    def counted() -> set[tuple[str, str]]:
        found = ask(lab, "query?query=application_fallbacks_total")["result"]
        return {(it["metric"]["service"], it["metric"]["dependency"]) for it in found}

    wanted = {("api", "journeys"), ("api", "redis")}
    assert eventually(counted, wanted.issubset, TWO_SCRAPES) >= wanted
