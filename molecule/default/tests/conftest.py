"""What every test looks at: the lab that SLIPWAY_LAB names, and its edge."""

from __future__ import annotations

import os

import pytest
from edge import Edge

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
