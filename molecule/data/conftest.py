"""The lab whose database is moved about, and a ledger that is written meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_under_test import Members
from edge import Edge
from ledger_under_test import Ledger, Reported

from lab import Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab.load(os.environ.get("SLIPWAY_LAB", "lab"))


@pytest.fixture(scope="session")
def members(lab: Lab) -> Members:
    return Members(lab)


@pytest.fixture(scope="session")
def authority(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = next(iter(lab.hosts.values()))
    path = tmp_path_factory.mktemp("ledger") / "ca.crt"
    path.write_text(first.check_output("cat /opt/%s/config/host/tls/ca.crt", lab.stack["name"]))
    return path


@pytest.fixture(scope="session")
def edge(lab: Lab, authority: Path) -> Edge:
    return Edge(lab.stack["domain"], lab.https_port, lab.http_port, authority)


@pytest.fixture
def ledger(lab: Lab, authority: Path, tmp_path: Path) -> Iterator[Ledger]:
    """Written from the first to the last line of a test; `ledger.end()` proves it."""
    running = Ledger(lab, authority, tmp_path / "ledger.jsonl")
    running.begin()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def whole(members: Members) -> Iterator[None]:
    """A cluster is whole before each test, and after it."""
    members.until_whole()
    yield
    members.until_whole()


@pytest.fixture
def reported(capsys: pytest.CaptureFixture[str]) -> Reported:
    """Show figures of a run that passed, too."""

    def show(figures: dict) -> None:
        names = ["acknowledged", "first_try", "lost", "duplicated", "longest_gap", "faults", "retries"]
        names += ["reads", "reads_failed", "longest_read_gap"]
        with capsys.disabled():
            print("\n" + "\n".join(f"  {name}: {figures[name]}" for name in names))

    return show
