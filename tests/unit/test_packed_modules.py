"""Packages of modules are kept for the next run, whole, and never those of other sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.executor import module_common
from ansible_collections.slipway.compose.plugins.plugin_utils import packed_modules

HEALTH = "ansible_collections.slipway.compose.plugins.modules.health-ZIP_DEFLATED-none"
STAT = "ansible.modules.stat-ZIP_DEFLATED-none"
FOREIGN = "ansible_collections.other.one.plugins.modules.it-ZIP_DEFLATED-none"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (HEALTH, STAT, f"{HEALTH}.lock", f"{HEALTH}-part", FOREIGN):
        (folder / name).write_text(f"this is {name}")
    return folder


def test_the_next_run_has_what_this_one_made_and_no_more(run: Path, tmp_path: Path) -> None:
    cache, following = tmp_path / "cache/state", tmp_path / "following"
    packed_modules.unpack_known(cache, run)
    packed_modules.keep(cache, run)
    packed_modules.unpack_known(cache, following)
    assert {path.name: path.read_text() for path in following.iterdir()} == {
        HEALTH: f"this is {HEALTH}",
        STAT: f"this is {STAT}",
    }


def test_a_package_that_is_there_is_left_alone(run: Path, tmp_path: Path) -> None:
    cache, following = tmp_path / "cache/state", tmp_path / "following"
    packed_modules.keep(cache, run)
    following.mkdir()
    (following / HEALTH).write_text("made meanwhile")
    packed_modules.unpack_known(cache, following)
    assert (following / HEALTH).read_text() == "made meanwhile"


def test_without_a_place_for_it_runs_go_on(run: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    packed_modules.keep(blocked / "state", run)
    packed_modules.unpack_known(blocked / "state", tmp_path / "following")
    assert not list((tmp_path / "following").glob("ansible*"))


def test_only_a_few_states_are_kept(run: Path, tmp_path: Path) -> None:
    for number in range(8):
        packed_modules.keep(tmp_path / f"cache/{number}", run)
    assert len(list((tmp_path / "cache").iterdir())) == 4


@pytest.mark.parametrize(
    "changed", ["modules/health.py", "module_utils/_core/release/plan.py", "module_utils/new.py"]
)
def test_other_sources_have_another_name(changed: str, tmp_path: Path) -> None:
    for name in ("modules/health.py", "module_utils/_core/release/plan.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    before = packed_modules.state(tmp_path)
    assert packed_modules.state(tmp_path) == before
    (tmp_path / changed).write_text("2")
    assert packed_modules.state(tmp_path) != before


def test_this_ansible_has_its_packages_where_they_are_looked_for() -> None:
    source = Path(str(module_common.__file__)).read_text()
    assert "os.path.join(C.DEFAULT_LOCAL_TMP, 'ansiballz_cache')" in source
