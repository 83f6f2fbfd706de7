"""Every container is confined: what its engine enforces, and what its process really has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from waiting import eventually

from lab import Container, Lab

# Capabilities that a component was given deliberately: none was.
NAMED_CAPABILITIES: Mapping[str, set[str]] = {}

# The claim, and what HostConfig says when it holds.
CLAIMS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "has a read-only root": lambda limits: limits["ReadonlyRootfs"] is True,
    "drops all capabilities": lambda limits: "ALL" in (limits["CapDrop"] or []),
    "is not privileged": lambda limits: limits["Privileged"] is False,
    "gains no new privileges": lambda limits: "no-new-privileges:true" in (limits["SecurityOpt"] or []),
    "has a memory limit": lambda limits: limits["Memory"] > 0,
    "has a CPU limit": lambda limits: limits["NanoCpus"] > 0,
    "has a limit of processes": lambda limits: (limits["PidsLimit"] or 0) > 0,
    "restarts by itself": lambda limits: limits["RestartPolicy"]["Name"] in ("unless-stopped", "always"),
    "has a bound for its log": lambda limits: (
        limits["LogConfig"]["Type"] == "journald"
        or {"max-size", "max-file"} <= limits["LogConfig"]["Config"].keys()
    ),
}


@pytest.fixture(scope="module")
def containers(lab: Lab) -> list[Container]:
    found = lab.containers()
    assert len(found) > 20, "too few containers: is the stack deployed?"
    return found


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_container(containers: list[Container], claim: str) -> None:
    assert [str(one) for one in containers if not CLAIMS[claim](one.facts["HostConfig"])] == []


def test_every_container_runs_without_failures(lab: Lab) -> None:
    def bad() -> list[str]:
        return [
            f"{one}: {one.facts['State']['Status']}, restarted {one.facts['RestartCount']} times"
            for one in lab.containers()
            if not one.facts["State"]["Running"]
            or one.facts["State"].get("Health", {}).get("Status", "healthy") != "healthy"
        ]

    # One health check that came too late is asked again.
    assert eventually(bad, lambda found: not found, seconds=90) == []


def test_no_container_is_given_capabilities_beyond_the_named(containers: list[Container]) -> None:
    given = {str(one): set(one.facts["HostConfig"]["CapAdd"] or []) for one in containers}
    allowed = {str(one): NAMED_CAPABILITIES.get(one.component, set()) for one in containers}
    assert {name: extra for name in given if (extra := given[name] - allowed[name])} == {}


def test_no_process_of_a_container_is_root_or_holds_a_capability(
    lab: Lab, containers: list[Container]
) -> None:
    pids = {
        (one.host, str(one.facts["State"]["Pid"])): one for one in containers if one.facts["State"]["Running"]
    }
    looked = 0
    for name, host in lab.hosts.items():
        own = [pid for host_name, pid in pids if host_name == name]
        files = " ".join(f"/proc/{pid}/status" for pid in own)
        told = host.check_output(f"grep -HE '^(Uid|CapEff|CapBnd):' {files}")
        for line in told.splitlines():
            path, field, values = line.split(":", 2)
            one = pids[name, path.split("/")[2]]
            numbers = [int(word, 16 if field.startswith("Cap") else 10) for word in values.split()]
            assert (0 not in numbers) if field == "Uid" else not any(numbers), f"{one}: {line}"
            looked += 1
    assert looked == 3 * len(pids)
