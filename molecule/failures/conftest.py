"""A converged environment before the first test, and the same after the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from load import Load
from site_under_test import Deploy, Run, Site, site_under_test


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = site_under_test()
    folder = tmp_path_factory.mktemp("converged")
    _converged(found.deploy(folder / "before.log"))
    yield found
    _converged(found.deploy(folder / "after.log"))


@pytest.fixture
def deploy(site: Site, tmp_path: Path) -> Deploy:
    """Run the deployment, with extra variables or arguments."""
    runs = iter(range(100))

    def run(variables: Mapping[str, Any] | None = None, *more: str) -> Run:
        return site.deploy(tmp_path / f"{next(runs)}.log", variables, *more)

    return run


@pytest.fixture
def untouched(site: Site) -> Iterator[None]:
    """Whatever the test does, every container and `current` on every host are the same afterwards."""
    before = site.state()
    yield
    assert site.state() == before


@pytest.fixture
def load(site: Site) -> Iterator[Load]:
    """A few verified requests a second, all the time."""
    authority = site.machines[0](f"sudo cat /opt/{site.stack['name']}/config/host/tls/ca.crt")
    with Load(site.stack["domain"], int(site.lab["https_port"]), authority) as running:
        yield running


def _converged(run: Run) -> None:
    assert run.status == 0, run.problem
    assert run.changed and not any(run.changed.values()), f"not converged: {run.changed}"
