"""A fault is told within two minutes, and so is its end: by SMTP over STARTTLS and by HTTP, to this machine.

Deploys the lab's stack with receivers, stops a node-exporter, waits, starts it again, and deploys the
usual stack. Run by hand: `pytest molecule/releases/test_alerts.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_sinks import PASSWORD, Sinks, sinks_for, supply, told_to
from fleet_under_test import Fleet
from waiting import eventually

from lab import Lab

PROMISED = 120.0


@pytest.fixture
def sinks(lab: Lab, tmp_path: Path) -> Iterator[Sinks]:
    host = lab.hosts[lab.host_of("alertmanager")]
    with sinks_for(host.check_output("ip -4 route show default").split()[2], tmp_path) as found:
        yield found


def told(sinks: Sinks, status: str, begun: float) -> tuple[bool, bool]:
    """Whether HostDown, which began after a moment, or its end was told: by mail, by HTTP."""
    return sinks.mailed("HostDown", status), sinks.first("HostDown", status, {}, begun, begun) is not None


@pytest.mark.by_hand
def test_a_fault_and_its_end_are_told_within_two_minutes(
    fleet: Fleet, lab: Lab, sinks: Sinks, tmp_path: Path
) -> None:
    supply(lab, tmp_path, mail_password=PASSWORD, mail_ca=sinks.authority.read_text())
    run = fleet.deploy(told_to(fleet.site.stack, sinks))
    assert run.status == 0, run.problem
    exporter = f"{lab.stack['name']}-node-exporter-1"
    # Not the host that watches: it is lost together with who would tell.
    host = next(iter(lab.hosts.values()))
    try:
        assert eventually(lambda: sinks.last_sign, lambda at: at > 0, PROMISED) > 0
        begun = time.time()
        host.check_output("docker stop %s", exporter)
        assert eventually(lambda: told(sinks, "firing", begun), all, PROMISED) == (True, True)
        print(f"told after {time.time() - begun:.0f} s")
        ended = time.time()
        host.check_output("docker start %s", exporter)
        assert eventually(lambda: told(sinks, "resolved", begun), all, PROMISED) == (True, True)
        print(f"its end told after {time.time() - ended:.0f} s")
    finally:
        host.run("docker start %s", exporter)
        back = fleet.deploy()
    assert back.status == 0, back.problem
    assert "AUTH" in {command[:4] for command in sinks.mail.commands}
