"""Archives in a second place, a real SFTP server or a real S3 store: copied, deleted, fetched back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive import archive_second
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_restore import restore
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_second import Second
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from backup_cluster import docker
from second_place import NAME, PLACE, Keeper, StoreKeeper, made


@pytest.fixture(scope="module", params=[Keeper, pytest.param(StoreKeeper, marks=pytest.mark.by_hand)])
def keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    built = made(request.param, tmp_path_factory.mktemp("second"))
    trusted = os.environ.get("SSL_CERT_FILE")
    # This machine is a host that trusts the company's CA.
    os.environ["SSL_CERT_FILE"] = str(built.folder / "place/ca.crt")
    try:
        built.start()
        built.take()
        yield built
    finally:
        os.environ.pop("SSL_CERT_FILE")
        os.environ.update({"SSL_CERT_FILE": trusted} if trusted else {})
        built.remove()
        listed = docker("ps", "--all", "--quiet", "--filter", f"name=^{NAME}-").split()
        docker("rm", "--force", "--volumes", *listed, check=False) if listed else None
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name=^{NAME}_").split()
        docker("volume", "rm", "--force", *volumes, check=False)


@pytest.fixture(scope="module")
def copied(keeper: Keeper) -> list[str]:
    return keeper.copy()


def test_all_archives_are_copied(keeper: Keeper, copied: list[str]) -> None:
    assert copied == [f"host-h{host}.test: 1 copied to the second place" for host in (1, 2)]
    here, there = keeper.here(), keeper.there()
    for name, (one,) in here.items():
        (other,) = there[name]
        assert (other.original, other.time, other.host, other.paths) == (
            one.id,
            one.time,
            one.host,
            one.paths,
        )
        told = keeper.metrics("archive_second")
        label = f'{{of="{name.removeprefix("host-")}"}}'
        assert f"slipway_archive_second_newest_seconds{label} {one.time.timestamp():.0f}\n" in told
        assert f"slipway_archives_second{label} 1\n" in told
    assert 'last_ok{what="copy"} 1' in keeper.metrics("archive_copy")


def test_what_is_there_already_is_not_copied_again(keeper: Keeper, copied: list[str]) -> None:
    assert keeper.copy() == []
    before = keeper.there()
    big = keeper.folder / "h1/config/big"
    big.write_bytes(os.urandom(4 << 20))
    keeper.archive(1).take(lambda _line: None)
    (keeper.folder / "h1/config/small").write_text("added")
    keeper.archive(1).take(lambda _line: None)
    assert keeper.copy() == ["host-h1.test: 2 copied to the second place"]
    now = keeper.there()
    assert [it.id for it in now["host-h1.test"]][:1] == [it.id for it in before["host-h1.test"]]
    assert now["host-h2.test"] == before["host-h2.test"]
    # The big one once, though two archives have it.
    stored = json.loads(keeper.restic("host-h1.test", "stats", "--mode=raw-data", "--json"))
    assert 4 << 20 < stored["total_size"] < 6 << 20


def test_no_hosts_own_password_opens_what_is_there(keeper: Keeper, copied: list[str]) -> None:
    own = keeper.folder / "h1/config/host/archive/host-h1.test.password"
    where = Second(keeper.archive(2).host)
    code, _out, err = where._restic((f"{where.place.url}/host-h1.test", own), "snapshots")
    assert code == 12 and "wrong password" in err


def test_what_is_old_is_deleted_there(keeper: Keeper, copied: list[str]) -> None:
    old = ["--host=h1.test", "--time=2020-01-01 00:00:00", str(keeper.folder / "h1/config/small")]
    keeper.restic("host-h2.test", "backup", *old)
    assert keeper.copy() == ["host-h2.test: 1 deleted in the second place"]
    assert [it.original for it in keeper.there()["host-h2.test"]] == [
        it.id for it in keeper.here()["host-h2.test"]
    ]


def test_a_changed_password_is_named(keeper: Keeper, copied: list[str]) -> None:
    right = keeper.secrets["archive_password"]
    keeper.secrets["archive_password"] = "another"
    keeper.render()
    try:
        with pytest.raises(SlipwayError, match=r"second place: .*`platform/archive_password`") as told:
            keeper.there()
    finally:
        keeper.secrets["archive_password"] = right
        keeper.render()
    assert "Put the old one back" in told.value.remedy


def test_keys_that_are_not_taken_are_named(keeper: Keeper, copied: list[str]) -> None:
    if keeper.kind == "s3":
        name, wrong, expected = "place_secret", "not-this", "the store refuses the keys"
    else:
        other = keeper.own / "other"
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(other)], check=True)
        name, wrong, expected = "place_key", other.read_text(), "does not take the user's key"
    right = keeper.secrets[name]
    keeper.secrets[name] = wrong
    keeper.render()
    try:
        with pytest.raises(SlipwayError, match=expected):
            keeper.copy()
    finally:
        keeper.secrets[name] = right
        keeper.render()
    assert 'last_ok{what="copy"} 0' in keeper.metrics("archive_copy")


def test_a_bucket_that_is_not_there_is_made_where_the_key_may(keeper: Keeper, copied: list[str]) -> None:
    backup = keeper.stack.components.backup
    assert backup and backup.second
    if store := backup.second.s3:
        wrong = replace(store, bucket="another")
        with keeper.changed(s3=wrong):
            assert keeper.copy() == [
                f"{name}: {len(those)} copied to the second place" for name, those in keeper.here().items()
            ]


def test_a_server_that_is_another_one_is_not_trusted(
    keeper: Keeper, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if keeper.kind == "s3":
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(SlipwayError, match="a certificate that this host does not trust"):
            keeper.copy()
        return
    backup = keeper.stack.components.backup
    assert backup and backup.second and backup.second.sftp
    wrong = replace(backup.second.sftp, fingerprint="0" * 64)
    with keeper.changed(sftp=wrong), pytest.raises(SlipwayError, match="another host key") as told:
        keeper.copy()
    assert keeper.fingerprint("host") in told.value.problem
    assert "second/sftp/fingerprint" in told.value.remedy
    # Also where the server became another one later.
    known = keeper.folder / "h2/state/archive/known_hosts"
    before = known.read_text()
    assert len(before.splitlines()) == 1
    key = (keeper.own / "host.pub").read_text().split()[1]
    known.write_text(f"[{PLACE}]:2222 ssh-ed25519 {key}\n")
    again = replace(backup.second.sftp, fingerprint=keeper.fingerprint("host"))
    (keeper.own / "host").rename(keeper.own / "gone")
    docker("restart", keeper.place)
    try:
        with keeper.changed(sftp=again), pytest.raises(SlipwayError, match="another host key"):
            keeper.copy()
    finally:
        (keeper.own / "gone").rename(keeper.own / "host")
        docker("restart", keeper.place)
        known.write_text(before)
        keeper._ready()


def test_a_place_that_is_away_is_named_and_archives_go_on_here(keeper: Keeper, copied: list[str]) -> None:
    docker("stop", keeper.place)
    try:
        with pytest.raises(SlipwayError, match="the second place: cannot be reached: it does not answer"):
            keeper.copy()
        before = len(keeper.here()["host-h1.test"])
        keeper.take()
        keeper.archive(2).keep(lambda _line: None)
        assert len(keeper.here()["host-h1.test"]) == before + 1
        assert 'last_ok{what="keep"} 1' in keeper.metrics("archive_keep")
        assert 'last_ok{what="copy"} 0' in keeper.metrics("archive_copy")
        assert 'slipway_archives_second{of="h1.test"} 3\n' in keeper.metrics("archive_second")
    finally:
        docker("start", keeper.place)
        keeper._ready()
    assert keeper.copy() == [f"host-h{host}.test: 1 copied to the second place" for host in (1, 2)]
    assert 'last_ok{what="copy"} 1' in keeper.metrics("archive_copy")


def test_after_the_keeper_was_lost_exactly_the_same_comes_back(keeper: Keeper, copied: list[str]) -> None:
    """Last: what was archived here is new afterwards."""
    root = keeper.folder / "h1"
    before, config = keeper.here(), keeper.files(root / "config")
    keeper.lose()
    assert keeper.here() == {name: [] for name in before}
    # A stack made anew archives at once what it has, which is not what was lost.
    (root / "config/small").write_text("spoiled")
    keeper.archive(1).take(lambda _line: None)
    assert keeper.copy() == ["host-h1.test: 1 copied to the second place"]

    assert keeper.refill() == [
        f"{name}: {len(those)} came back from the second place" for name, those in before.items()
    ]
    now = keeper.here()
    for name, those in before.items():
        back = [(it.original, it.time, it.host, it.paths) for it in now[name] if it.original]
        assert back == [(it.origin, it.time, it.host, it.paths) for it in those]
    assert keeper.refill() == []
    assert keeper.copy() == []

    done = restore(keeper.archive(1).host, "files", "refilled")
    assert done.snapshot == archive_second.returned(keeper.archive(2).host)["host-h1.test"]
    restored = root / f"restored-{done.snapshot.short}" / root.relative_to("/")
    assert keeper.files(restored / "config") == config
    latest = restore(keeper.archive(1).host, "files", "latest").snapshot
    assert latest.time > done.snapshot.time and not latest.original
    keeper.archive(2).host.locally("host-h1.test", "check", "--read-data")
