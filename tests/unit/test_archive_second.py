"""What is copied to the second place and fetched from there, with which keys, and what failures mean."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.archive import archive_second
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_host import ArchiveHost
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_layout import (
    password,
    place,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_place import (
    SIGNS,
    Place,
    shown,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_plan import (
    Settings,
    Snapshot,
    chosen,
    explain,
    missing,
    snapshots,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_work import Archive
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import (
    S3,
    SecondRepository,
    Sftp,
)
from ansible_collections.slipway.compose.plugins.modules import archive as module
from whole_stack import SECRETS, rendered, stack, with_archive, with_second

CHECKOUT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
OWN = "config/host/archive/second"
SFTP = Sftp("backup.example.com", 2222, "keeper", "redis", "ab" * 32)
KEY = base64.b64encode(b"a host key").decode()


def snapshot(name: str, days: float, original: str = "") -> Snapshot:
    return Snapshot(name * 8, NOW - timedelta(days=days), "a", ("/opt/shop/config",), original)


def second_of(base: Any, host: int) -> dict[str, str]:
    """What a host knows of the second place, by name."""
    tree = rendered(base, f"h{host}.test")
    return {path.removeprefix(f"{OWN}/"): text for path, text in tree.items() if path.startswith(OWN)}


def test_the_keeper_alone_knows_the_second_place_and_no_stack_without_one() -> None:
    assert second_of(with_second(stack(3)), 1) == second_of(with_archive(stack(3)), 3) == {}
    names = {*(f"host-h{number}.test.password" for number in (1, 2, 3)), "redis.password"}
    assert set(second_of(with_second(stack(3)), 3)) == {*names, "place.json", "s3.credentials"}
    assert set(second_of(with_second(stack(3), sftp=SFTP), 3)) == {*names, "place.json", "sftp.key"}


def test_a_second_place_changes_no_container() -> None:
    for host in ("h1.test", "h3.test"):
        before, after = (rendered(made(stack(3)), host) for made in (with_archive, with_second))
        key = "docker-compose.prod.yml"
        services = [yaml.safe_load(tree[key])["services"] for tree in (before, after)]
        assert services[0] == services[1]
        assert before["config/host/archive/settings.json"] == after["config/host/archive/settings.json"]


def test_no_password_of_a_host_opens_what_is_stored_there() -> None:
    tree = rendered(with_second(stack(3)), "h3.test")
    for of in ("redis", "host-h1.test"):
        here, there = tree[f"config/host/archive/{of}.password"], tree[f"{OWN}/{of}.password"]
        assert there == password(SECRETS["archive_password"], f"second/{of}") != here


def test_keys_are_in_files_of_their_own() -> None:
    store = second_of(with_second(stack(3)), 3)
    assert f"aws_access_key_id = {SECRETS['redis']}\n" in store["s3.credentials"]
    assert f"aws_secret_access_key = {SECRETS['redis_admin']}\n" in store["s3.credentials"]
    server = second_of(with_second(stack(3), sftp=SFTP), 3)
    assert server["sftp.key"] == f"{SECRETS['redis']}\n"
    assert SECRETS["redis"] not in store["place.json"] + server["place.json"]


def test_archives_lie_in_a_folder_of_their_own_beside_the_backups() -> None:
    server = place(SecondRepository("/wayfare", None, SFTP))
    assert server.url == "sftp://keeper@backup.example.com:2222//wayfare/restic"
    assert (server.address, server.port, server.fingerprint) == ("backup.example.com", 2222, "ab" * 32)
    store = place(SecondRepository("/wayfare", S3("s3.test:9000", "shop", "eu", True, "a", "b"), None))
    assert store.url == "s3:https://s3.test:9000/shop/wayfare/restic"
    assert (store.port, store.options) == (9000, ("s3.region=eu", "s3.bucket-lookup=path"))
    amazon = place(SecondRepository("/wayfare", S3("s3.test", "shop", "eu", False, "a", "b"), None))
    assert (amazon.port, amazon.options[1]) == (443, "s3.bucket-lookup=dns")
    assert Place.from_dict(json.loads(json.dumps(store.to_dict()))) == store


@pytest.mark.parametrize(
    ("backup", "host", "expected"),
    [
        ({"second": {"sftp": {}}, "archive": {}}, "b", True),
        ({"second": {"sftp": {}}, "archive": {}}, "a", False),
        ({"archive": {}}, "b", False),
        ({"second": None, "archive": {}}, "b", False),
    ],
)
def test_the_keeper_copies_every_hour_where_there_is_a_second_place(
    backup: dict[str, Any], host: str, *, expected: bool
) -> None:
    variables = {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}}
    told = host_stack({"components": {"backup": backup}}, host, ["a", "b"], variables)
    assert told["archive"]["second"].endswith(":50:00 UTC") is expected


def test_what_is_there_already_and_what_is_to_be_deleted_is_not_copied() -> None:
    here = [snapshot("a", 9), snapshot("b", 3), snapshot("c", 2), snapshot("d", 1)]
    there = [snapshot("x", 3, "b" * 8)]
    assert missing(here, there, 7, NOW) == here[2:]
    assert missing(here[:1], [], 7, NOW) == here[:1]
    # Back here it has another id; it is the same all the same.
    assert (
        missing(there, [snapshot("y", 3, "b" * 8)], 7, NOW)
        == missing([snapshot("b", 3)], there, 7, NOW)
        == []
    )


def test_the_newest_that_came_back_is_not_the_newest() -> None:
    found = [snapshot("a", 3, "x"), snapshot("b", 2, "y"), snapshot("c", 1)]
    assert chosen(found, "refilled", NOW) == found[1]
    with pytest.raises(SlipwayError, match="there is no one archive 'refilled'"):
        chosen(found[2:], "refilled", NOW)


def test_what_an_archive_is_a_copy_of_is_read() -> None:
    told = {"time": NOW.isoformat(), "id": "ab", "hostname": "h", "paths": ["/a"]}
    first, second = snapshots("redis", json.dumps([told, {**told, "original": "cd"}]))
    assert (first.origin, second.origin) == ("ab", "cd")


def test_a_host_key_is_known_by_its_fingerprint() -> None:
    known = Place("", "backup.example.com", 2222, (), "")
    line = f"[backup.example.com]:2222 ssh-ed25519 {KEY}"
    others = f"\n# a comment\nother.example.com ssh-ed25519 {KEY}\n[backup.example.com]:2222 ssh-rsa !!\n"
    assert shown(f"{line}{others}", known) == {hashlib.sha256(b"a host key").hexdigest(): line}
    assert shown(f"backup.example.com ssh-rsa {KEY}", replace(known, port=22))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("subprocess ssh: Host key verification failed.\nFatal: unable to start", "another host key"),
        ("subprocess ssh: keeper@h: Permission denied (publickey).", "does not take the user's key"),
        ("client.BucketExists: Access Denied.", "the store refuses the keys"),
        ("The specified bucket does not exist", "no such bucket"),
        ("client.MakeBucket: The specified location-constraint is not valid", "no such bucket"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            "a certificate that this host does not",
        ),
        ("Fatal: wrong password or no key found", "is not the one that it was made with"),
        ("MkdirAll /shop/restic: permission denied", "the user may not write there"),
        ("write: No space left on device", "it is full there"),
        ("[Errno 113] No route to host", "it does not answer"),
        ("[Errno -2] Name or service not known", "it does not answer"),
        ("timed out", "it does not answer"),
    ],
)
def test_a_failure_of_the_second_place_says_what_it_means(said: str, problem: str) -> None:
    assert problem in explain("the second place", 1, said, SIGNS).problem


class Places:
    """Two repositories here and there, and what restic was asked.

    silent: it copies nothing and calls that well. spoiled: the first cannot be listed there.
    """

    def __init__(self, tmp_path: Path, *, silent: bool = False, spoiled: bool = False) -> None:
        self.asked: list[Sequence[str]] = []
        now = datetime.now(UTC)
        self.here = {"host-a": [Snapshot("new", now, "a", ("/x",))], "redis": []}
        self.there: dict[str, list[Snapshot]] = {"host-a": [], "redis": []}
        self.silent, self.spoiled = silent, spoiled
        own = tmp_path / "config/host/archive"
        (own / "second").mkdir(parents=True)
        (tmp_path / "state").mkdir()
        told = Settings("shop", "a", "10.0.0.1", "10.0.0.1:8434", 7, (), 0, ("host-a", "redis"))
        (own / "settings.json").write_text(json.dumps(told.to_dict()))
        for name in told.keeps:
            (own / f"{name}.password").write_text("first-secret")
            (own / f"second/{name}.password").write_text("second-secret")
        store = place(SecondRepository("/shop", S3("s3.test", "shop", "eu", False, "a", "b"), None))
        (own / "second/place.json").write_text(json.dumps(store.to_dict()))
        self.metrics = tmp_path / "state/metrics"
        self.host = ArchiveHost(tmp_path, self.run)

    def run(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        self.asked.append(argv)
        repository = next(name for name in self.here if any(word.rstrip("/").endswith(name) for word in argv))
        elsewhere = any(word.startswith("--repo=s3:") for word in argv)
        if "copy" in argv and not self.silent:
            source, target = (self.here, self.there) if elsewhere else (self.there, self.here)
            target[repository] += [
                replace(it, id=f"copy-of-{it.id}", original=it.origin)
                for it in source[repository]
                if it.id in argv
            ]
        if "snapshots" not in argv:
            return 0, "", ""
        if elsewhere and self.spoiled and repository == "host-a":
            return 1, "", "Fatal: snapshot 1 cannot be decoded"
        found = [
            {"id": it.id, "hostname": it.host, "paths": it.paths, "time": it.time.isoformat()}
            | ({"original": it.original} if it.original else {})
            for it in (self.there if elsewhere else self.here)[repository]
        ]
        return 0, json.dumps(found), ""


@pytest.fixture(autouse=True)
def _reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArchiveHost, "reachable", lambda _host: None)
    monkeypatch.setattr(archive_second.Second, "reachable", lambda _second: None)


def test_only_what_is_missing_is_copied_and_its_age_is_told(tmp_path: Path) -> None:
    places = Places(tmp_path)
    said: list[str] = []
    archive_second.copy(places.host, said.append)
    archive_second.copy(places.host, said.append)
    assert said == ["host-a: 1 copied to the second place"]
    (copy,) = [argv for argv in places.asked if "copy" in argv]
    assert copy[-1] == "new" and "--repo=s3:https://s3.test/shop/shop/restic/host-a" in copy
    assert not any("secret" in word for argv in places.asked for word in argv)
    told = (places.metrics / "archive_second.prom").read_text()
    assert 'slipway_archives_second{of="a"} 1\n' in told
    assert 'second_newest_seconds{of="redis"} 0\n' in told
    assert 'last_ok{what="copy"} 1' in (places.metrics / "archive_copy.prom").read_text()


def test_what_restic_only_says_to_have_copied_is_a_failure(tmp_path: Path) -> None:
    places = Places(tmp_path, silent=True)
    with pytest.raises(SlipwayError, match="host-a: new did not arrive"):
        archive_second.copy(places.host, lambda _line: None)
    assert 'last_ok{what="copy"} 0' in (places.metrics / "archive_copy.prom").read_text()


def test_one_repository_that_is_spoiled_there_keeps_no_other_from_being_copied(tmp_path: Path) -> None:
    places = Places(tmp_path, spoiled=True)
    places.here["redis"] = [Snapshot("keys", datetime.now(UTC), "a", ("/d",))]
    with pytest.raises(SlipwayError, match="host-a cannot be listed"):
        archive_second.copy(places.host, lambda _line: None)
    assert [it.original for it in places.there["redis"]] == ["keys"]
    assert 'slipway_archives_second{of="redis"} 1\n' in (places.metrics / "archive_second.prom").read_text()


def test_what_was_lost_here_comes_back_once(tmp_path: Path) -> None:
    places = Places(tmp_path)
    archive_second.copy(places.host, lambda _line: None)
    anew = Snapshot("anew", datetime.now(UTC), "a", ("/x",))
    places.here["host-a"] = [anew]
    said: list[str] = []
    assert [it.origin for it in archive_second.lost(places.host)["host-a"]] == ["new"]
    for _again in range(2):
        archive_second.refill(places.host, said.append)
    assert said == ["host-a: 1 came back from the second place"]
    assert [it.origin for it in places.here["host-a"]] == ["anew", "new"]
    assert {name: it.origin for name, it in archive_second.returned(places.host).items()} == {"host-a": "new"}


def test_the_module_says_what_would_come_back_and_what_came(tmp_path: Path) -> None:
    places, archive = Places(tmp_path), Archive(tmp_path)
    archive.host = places.host
    archive.copy(lambda _line: None)
    places.here["host-a"] = []
    dry, wet = SimpleNamespace(check_mode=True), SimpleNamespace(check_mode=False)
    assert module.refilled(dry, archive) == {"changed": True, "steps": ["host-a: 1 would come back"]}
    done = module.refilled(wet, archive)
    assert (done["changed"], done["refilled"]) == (True, {"a": "copy-of-"})
    again = module.refilled(wet, archive)
    assert again == {"changed": False, "steps": [], "refilled": {"a": "copy-of-"}}


def test_one_repository_that_is_spoiled_there_keeps_no_other_from_coming_back(tmp_path: Path) -> None:
    places = Places(tmp_path, spoiled=True)
    places.there["redis"] = [Snapshot("copy-of-keys", datetime.now(UTC), "a", ("/d",), "keys")]
    with pytest.raises(SlipwayError, match="host-a cannot be listed"):
        archive_second.refill(places.host, lambda _line: None)
    assert [it.original for it in places.here["redis"]] == ["keys"]


def test_a_host_that_copies_nothing_says_what_to_declare(tmp_path: Path) -> None:
    places = Places(tmp_path)
    (tmp_path / "config/host/archive/second/place.json").unlink()
    with pytest.raises(SlipwayError, match="copies no archives.*Declare stack/components/backup/second"):
        archive_second.copy(places.host, lambda _line: None)


def test_nothing_is_archived_where_archives_are_fetched_back() -> None:
    plays = yaml.safe_load((CHECKOUT / "playbooks/archive.yml").read_text(encoding="utf-8"))
    states = {
        task["slipway.compose.archive"]["state"]: str(task.get("when"))
        for task in plays[1]["tasks"]
        if "slipway.compose.archive" in task
    }
    assert all("not refill" in states[state] for state in ("taken", "copied"))
    assert states["refilled"] == "refill | default(false) | bool"
