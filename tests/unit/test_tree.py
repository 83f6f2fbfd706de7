"""A release's files on disk: complete or absent, replaced by rename, the old ones kept."""

from __future__ import annotations

import os

from ansible_collections.slipway.compose.plugins.module_utils._core.tree import (
    File,
    ReleaseTree,
    differing,
    folder_digest,
    lay,
    release_id,
)

ME = os.geteuid()
CONF = File("config/edge/nginx.conf", "worker_processes 2;\n", 0o400, ME)
KEY = File("config/edge/tls/tls.key", "key", 0o400, ME)


def test_the_same_input_is_the_same_release():
    assert release_id({"a": [CONF, KEY], "b": [CONF]}) == release_id({"b": [CONF], "a": [KEY, CONF]})
    assert release_id({"a": [CONF]}) != release_id({"b": [CONF]})


def test_staging_twice_writes_once(tmp_path):
    tree = ReleaseTree(tmp_path)
    assert tree.stage("r1", [CONF, KEY]) is True
    assert tree.stage("r1", [CONF, KEY]) is False


def test_a_secret_is_stored_with_its_mode(tmp_path):
    ReleaseTree(tmp_path).stage("r1", [KEY])
    assert (tmp_path / "releases/r1" / KEY.path).stat().st_mode & 0o777 == 0o400


def test_an_edited_release_is_restored(tmp_path):
    tree = ReleaseTree(tmp_path)
    tree.stage("r1", [CONF])
    stored = tmp_path / "releases/r1" / CONF.path
    stored.chmod(0o600)
    stored.write_text("edited")
    assert tree.stage("r1", [CONF]) is True
    assert stored.read_text() == CONF.content


def test_a_half_written_release_is_written_again(tmp_path):
    tree = ReleaseTree(tmp_path)
    (tmp_path / "releases/.r1.partial/config").mkdir(parents=True)
    assert tree.stage("r1", [CONF]) is True
    assert not (tmp_path / "releases/.r1.partial").exists()


def test_live_files_are_replaced_and_old_ones_removed(tmp_path):
    tree = ReleaseTree(tmp_path)
    tree.stage("r1", [CONF, KEY])
    tree.bring_live("r1", "config/edge")
    changed = File(CONF.path, "worker_processes 4;\n", 0o400, ME)
    tree.stage("r2", [changed])
    tree.bring_live("r2", "config/edge")
    live = tmp_path / "config/edge"
    assert [path.name for path in live.rglob("*") if path.is_file()] == ["nginx.conf"]
    assert (live / "nginx.conf").read_text() == changed.content
    assert (tmp_path / "releases/r1" / CONF.path).read_text() == CONF.content


def test_bringing_the_same_release_live_twice_leaves_no_temporary_names(tmp_path):
    tree = ReleaseTree(tmp_path)
    tree.stage("r1", [CONF])
    tree.bring_live("r1", "config/edge")
    tree.bring_live("r1", "config/edge")
    assert [path.name for path in (tmp_path / "config/edge").iterdir()] == ["nginx.conf"]


def test_live_digest_tells_an_edited_file(tmp_path):
    tree = ReleaseTree(tmp_path)
    tree.stage("r1", [CONF])
    tree.bring_live("r1", "config/edge")
    assert tree.live_digest("config/edge") == folder_digest([CONF], "config/edge")
    live = tmp_path / CONF.path
    live.unlink()
    live.write_text("edited")
    assert tree.live_digest("config/edge") != folder_digest([CONF], "config/edge")


def test_current_moves_and_pruning_spares_it(tmp_path):
    tree = ReleaseTree(tmp_path)
    for number in range(4):
        tree.stage(f"r{number}", [CONF])
        os.utime(tree.release(f"r{number}"), (number, number))
    assert tree.make_current("r0") is True
    assert tree.make_current("r0") is False
    assert tree.oldest(2) == ["r1"]
    assert tree.oldest(2, protected=["r1"]) == []
    tree.forget("r1")
    assert sorted(tree.releases()) == ["r0", "r2", "r3"]
    assert tree.current == "r0"


def test_what_a_service_has_loaded_is_remembered(tmp_path):
    tree = ReleaseTree(tmp_path)
    tree.set_applied("edge", "abc")
    tree.set_applied("etcd", "def")
    tree.set_applied("edge", None)
    assert tree.applied() == {"etcd": "def"}


def test_a_folder_holds_what_it_is_told_and_nothing_else(tmp_path):
    owner = ME
    folder = tmp_path / "program"
    files = [File("__main__.py", "1\n", 0o644, owner), File("core/logs/a.py", "2\n", 0o644, owner)]
    assert differing(folder, files) == ["__main__.py", "core/logs/a.py"] and not folder.exists()
    lay(folder, files)
    assert not differing(folder, files)
    (folder / "core/__pycache__").mkdir()
    (folder / "core/__pycache__/a.pyc").write_bytes(b"\xff")
    (folder / "core/old.py").write_text("3\n")
    (folder / "__main__.py").chmod(0o600)
    assert differing(folder, files) == ["__main__.py", "core/old.py"]
    lay(folder, files)
    assert not differing(folder, files)
    assert not (folder / "core/old.py").exists() and (folder / "core/__pycache__/a.pyc").exists()
