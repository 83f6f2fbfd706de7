"""A dry run tells the truth: nothing when converged, the very steps after an edit, and it touches nothing."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import yaml

from lab import Lab

RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def recap(output: str) -> dict[str, tuple[int, int, int]]:
    """changed, unreachable and failed by host."""
    return {host: (int(a), int(b), int(c)) for host, a, b, c in RECAP.findall(output)}


def running(lab: Lab) -> set[tuple[str, str, str]]:
    return {(one.host, str(one.facts["Id"]), one.started) for one in lab.containers()}


def releases(lab: Lab) -> dict[str, str]:
    folder = f"/opt/{lab.stack['name']}"
    return {
        name: host.check_output(
            # What a host measures of itself it writes all the time.
            "readlink %s/current; find %s -path '*/state/metrics' -prune -o -printf '%%p %%m %%T@ %%s\\n'",
            folder,
            folder,
        )
        for name, host in lab.hosts.items()
    }


def test_a_dry_run_of_a_converged_lab_changes_nothing(lab: Lab) -> None:
    done = lab.playbook("deploy.yml", "--check", "--diff")
    results = recap(done.stdout)
    assert lab.addresses.keys() <= results.keys()
    assert {host: result for host, result in results.items() if any(result)} == {}, done.stdout


def test_a_dry_run_after_an_edit_predicts_its_steps_and_does_none_of_them(lab: Lab, tmp_path: Path) -> None:
    stack = copy.deepcopy(lab.stack)
    stack["services"]["web"]["replicas"] = 3
    edited = tmp_path / "stack.yml"
    edited.write_text(yaml.safe_dump({"stack": stack}))
    before = running(lab), releases(lab)

    done = lab.playbook("deploy.yml", "--check", "--diff", "-e", f"@{edited}")

    assert (running(lab), releases(lab)) == before
    results = recap(done.stdout)
    for host in lab.addresses:
        changed, unreachable, failed = results[host]
        assert (changed > 0, unreachable, failed) == (True, 0, 0), f"{host}\n{done.stdout}"
    assert "web-blue-3" in done.stdout
