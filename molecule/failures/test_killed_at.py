"""A deployment killed at the moments where most is half done; `scripts/kill-sweep` tries all the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from load import Load
from site_under_test import Site
from sweep import assert_whole, changed, kill, repaired

# `test_killed.py` kills in the middle of tasks: starting, moving traffic, retiring.
SERVICE = "web"
MOMENTS = [
    pytest.param("Contend for it", id="the-lock-is-held-and-nothing-is-done"),
    pytest.param("Remove what is no longer declared", id="promoted-but-not-finished"),
]


@pytest.fixture(scope="module", autouse=True)
def as_it_was(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    home = site.deploy(tmp_path_factory.mktemp("home") / "home.log")
    assert home.status == 0, home.problem


@pytest.mark.by_hand
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_more_run_repairs(site: Site, load: Load, tmp_path: Path, moment: str) -> None:
    release = changed(site, SERVICE, "rolling")
    killed = kill(site, tmp_path / "killed.log", release, moment)
    assert moment in killed.task, killed.log.read_text()[-3000:]
    repaired(site, tmp_path / "repaired.log", release, SERVICE)
    assert load.answered
    assert not load.failures


@pytest.mark.by_hand
def test_another_release_follows_one_that_was_never_made_live(site: Site, load: Load, tmp_path: Path) -> None:
    """All of the traffic is with the new pool, and nothing says yet that it is the live one."""
    killed = kill(site, tmp_path / "killed.log", changed(site, SERVICE, "rolling"), f"Make {SERVICE} live")
    assert f"Make {SERVICE} live" in killed.task, killed.log.read_text()[-3000:]
    repaired(site, tmp_path / "another.log", changed(site, SERVICE, "rolling"), SERVICE)
    assert load.answered
    assert not load.failures


def test_a_rollback_undoes_what_was_interrupted(site: Site, load: Load, tmp_path: Path) -> None:
    here = current(site)
    release = changed(site, SERVICE, "quick_canary")
    killed = kill(site, tmp_path / "killed.log", release, "Judge web")
    assert "Judge web" in killed.task, killed.log.read_text()[-3000:]
    back = site.deploy(tmp_path / "back.log", playbook="playbooks/rollback.yml")
    assert back.status == 0, back.problem
    assert_whole(site, SERVICE)
    assert current(site) == here
    assert load.answered
    assert not load.failures


def current(site: Site) -> str:
    (release,) = {machine(f"sudo readlink /opt/{site.stack['name']}/current") for machine in site.machines}
    return release
