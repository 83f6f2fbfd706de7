"""Another major version of PostgreSQL: where it has its place, and what keeps members from a wrong start."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import upgrade
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backups import Server, stanza_step
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_catalog import (
    Folders,
    catalog,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.postgres_version import Place
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import COMPOSE_FOLDER
from documentation import CHECKOUT
from made_backups import info
from whole_stack import rendered, stack, with_backup, with_other_site

OLD, NEW = "7400000000000000017", "7400000000000000018"


def of(version: int, base: Stack | None = None) -> Stack:
    it = base or stack()
    assert it.components.postgres
    postgres = replace(it.components.postgres, version=version)
    return replace(it, components=replace(it.components, postgres=postgres))


def databases(home: Path, version: str, system: str) -> Path:
    folder = home / version / "main"
    (folder / "global").mkdir(parents=True)
    (folder / "PG_VERSION").write_text(f"{version}\n")
    (folder / "global/pg_control").write_bytes(int(system).to_bytes(8, sys.byteorder) + bytes(280))
    return folder


@pytest.mark.parametrize(
    ("held", "etcd", "starts"),
    [
        pytest.param({}, "", True, id="a-first-start"),
        pytest.param({"18": NEW}, "", True, id="databases-of-its-own-version"),
        pytest.param({"17": OLD, "18": NEW}, OLD, True, id="patroni-itself-refuses-those-of-another-cluster"),
        pytest.param({"17": OLD}, OLD, False, id="nobody-has-upgraded"),
        pytest.param({"17": OLD}, "", False, id="etcd-was-lost-and-nobody-has-upgraded"),
        pytest.param({"17": OLD}, NEW, True, id="another-member-was-upgraded-and-this-one-is-cloned"),
    ],
)
def test_a_member_starts_where_the_cluster_has_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: dict[str, str], etcd: str, starts: bool
) -> None:
    monkeypatch.setenv("PGDATA", str(tmp_path / "18/main"))
    for version, system in held.items():
        databases(tmp_path, version, system)
    assert (upgrade.may_start(tmp_path, lambda: etcd) == 0) is starts


def test_a_member_without_anything_to_ask_starts_though_etcd_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> str:
        pytest.fail("etcd was asked")

    monkeypatch.setenv("PGDATA", str(tmp_path / "17/main"))
    assert upgrade.may_start(tmp_path, ask) == 0
    databases(tmp_path, "17", OLD)
    assert upgrade.may_start(tmp_path, ask) == 0


def test_an_upgrade_is_not_made_over_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "HOME", tmp_path)
    databases(tmp_path, "17", OLD)
    databases(tmp_path, "18", NEW)
    with pytest.raises(SystemExit, match="is there already"):
        upgrade.upgrade("17", "18")


@pytest.mark.parametrize("version", [17, 18])
def test_everything_goes_by_the_declared_version(version: int) -> None:
    place = Place(version)
    tree = rendered(with_other_site(with_backup(of(version))))
    member = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]["postgres"]
    assert member["environment"]["PGDATA"] == place.data
    assert member["environment"]["PATH"].startswith(f"{place.programs}:/usr/local/sbin:")
    assert "python3 /config/upgrade.py may-start || exit 1;" in member["command"][-1]
    patroni = yaml.safe_load(tree["config/postgres/patroni.yml"])["postgresql"]
    assert (patroni["data_dir"], patroni["bin_dir"]) == (place.data, place.programs)
    assert f"pg1-path={place.data}\n" in tree["config/backup-agent/pgbackrest.conf"]
    repository = rendered(with_backup(of(version)), "h3.test")["config/backup-repository/pgbackrest.conf"]
    assert repository.count(f"-path={place.data}\n") == 3


def test_the_version_is_written_in_one_place() -> None:
    files = [
        path for name in ("compose", "plugins") for path in (CHECKOUT / name).rglob("*") if path.is_file()
    ]
    known = {
        path for path in files if path.suffix in {".py", ".j2", ".sh", ".yml"} or path.name == "Dockerfile"
    }
    named = sorted(path.name for path in known if "postgresql/17" in path.read_text(encoding="utf-8"))
    assert named == ["restore.py"], "an example in the module's documentation"


@pytest.mark.parametrize(
    ("args", "version", "refused"),
    [
        ({"POSTGRES_VERSION": "17.*"}, 17, False),
        ({"POSTGRES_VERSION": "17.*"}, 18, True),
        ({"POSTGRES_VERSION": "17.*", "POSTGRES_OTHER": "18.*"}, 18, False),
        ({"POSTGRES_VERSION": "18.*"}, 17, True),
        ({}, 18, False),
    ],
)
def test_an_image_must_have_the_version(args: dict[str, str], version: int, refused: bool) -> None:
    folders = Folders(COMPOSE_FOLDER / "images", CHECKOUT, {"postgres": args})
    if not refused:
        catalog(topology(of(version)), folders)
        return
    with pytest.raises(SlipwayError, match=f"version is {version}"):
        catalog(topology(of(version)), folders)


def test_the_repository_goes_on_with_the_other_version_there_and_back() -> None:
    assert stanza_step(info(version="17"), Server("78", 180006)) == "stanza-upgrade"
    assert stanza_step(info(version="18"), Server("77", 170012)) == "stanza-upgrade"
