"""What is said of one request is found, whichever host and replica it came to."""

from __future__ import annotations

import secrets

from edge import Edge
from waiting import eventually

from lab import Lab


def test_a_request_is_found_by_its_id_in_the_logs_of_all_hosts(lab: Lab, edge: Edge) -> None:
    one = secrets.token_hex(16)
    assert edge.get("/api/places", X_Request_ID=one).status == 200

    def said() -> list[str]:
        told = lab.playbook("playbooks/logs.yml", "-e", "component=api", "-e", f"contains={one}").stdout
        return [line for line in told.splitlines() if one in line]

    (found,) = eventually(said, lambda lines: len(lines) == 1, 60)
    _time, host, replica = found.split(" ")[:3]
    assert host in lab.hosts
    assert replica.startswith("api-")


def test_what_each_host_has_kept_is_read_without_a_store(lab: Lab, edge: Edge) -> None:
    one = secrets.token_hex(16)
    assert edge.get("/api/places", X_Request_ID=one).status == 200
    words = ("-e", "component=api", "-e", f"contains={one}", "-e", "store=false")
    told = lab.playbook("playbooks/logs.yml", *words).stdout
    assert len([line for line in told.splitlines() if one in line]) == 1


def test_a_name_that_nothing_has_is_refused(lab: Lab) -> None:
    refused = lab.playbook("playbooks/logs.yml", "-e", "component=edgy", check=False)
    assert refused.returncode != 0
    assert "Did you mean edge?" in refused.stdout
