"""A converged environment, and load on its edge while releases come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from edge import Edge
from fleet_under_test import Fleet
from site_under_test import site_under_test
from steady_load import Load

from lab import Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab.load(os.environ.get("SLIPWAY_LAB", "lab"))


@pytest.fixture(scope="session")
def edge(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Edge:
    first = next(iter(lab.hosts.values()))
    ca_file = tmp_path_factory.mktemp("edge") / "ca.crt"
    ca_file.write_text(first.check_output("cat /opt/%s/config/host/tls/ca.crt", lab.stack["name"]))
    return Edge(lab.stack["domain"], lab.https_port, lab.http_port, ca_file)


@pytest.fixture(scope="session")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    found = Fleet(site_under_test(), lab, tmp_path_factory.mktemp("logs"))
    yield found
    home = found.deploy()
    assert home.status == 0, home.problem


@pytest.fixture
def load(edge: Edge, capsys: pytest.CaptureFixture[str]) -> Iterator[Load]:
    """Pages, searches and uploads from several clients, all the time."""
    with Load(edge) as running:
        yield running
    with capsys.disabled():
        print(f"\n{running}", *running.failures[:5], sep="\n")
