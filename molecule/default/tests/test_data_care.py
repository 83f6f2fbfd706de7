"""Old rows are deleted by a timer where PostgreSQL leads; a traveller gets what is held of it."""

from __future__ import annotations

import json
from pathlib import Path

from lab import Lab

METRICS = "state/metrics/retention.prom"


def test_each_host_of_postgresql_has_the_timer_and_the_leader_tells(lab: Lab) -> None:
    root = f"/opt/{lab.stack['name']}"
    telling = []
    for name, host in lab.hosts.items():
        assert host.check_output("systemctl is-active slipway-retention.timer") == "active"
        lab.as_root(name, "systemctl start slipway-retention.service")
        if host.file(f"{root}/{METRICS}").exists:
            telling.append(name)
    assert len(telling) == 1
    told = lab.hosts[telling[0]].check_output(f"cat {root}/{METRICS}")
    assert 'slipway_retention_ok{database="wayfare",table="bookings"} 1' in told


def test_a_traveller_who_is_unknown_gets_an_export_that_holds_nothing(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "held.json"
    words = ("do=export", "subject=nobody", f"file={file}")
    lab.playbook("playbooks/subject.yml", *(word for it in words for word in ("-e", it)))
    assert json.loads(file.read_text()) == {"wayfare": [{"held": {"bookings": [], "audit_log": []}}]}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_lab_is_no_target_of_itself(lab: Lab) -> None:
    words = ("source=lab", "target=lab", "confirm=lab")
    done = lab.playbook(
        "playbooks/clone_environment.yml", *(word for it in words for word in ("-e", it)), check=False
    )
    assert done.returncode
    assert "Name two environments" in " ".join(done.stdout.split())
