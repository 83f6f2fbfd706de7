"""What is archived where and by whom, what is deleted and told, and how Redis is saved and brought back."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core import archive_redis, archive_restore
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_host import ArchiveHost
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_layout import password, restoring
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_plan import (
    Settings,
    Snapshot,
    chosen,
    expired,
    explain,
    kept_metrics,
    newest,
    no_repository,
    saver,
    snapshots,
    unread,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_redis import Redis
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_work import Archive, main
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.validation import parse_stack
from ansible_collections.slipway.compose.plugins.modules import archive as module
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import platform_secrets
from whole_stack import SECRETS, rendered, stack, usual, with_archive, with_backup, with_service

CHECKOUT = Path(__file__).resolve().parents[2]
ROLE = CHECKOUT / "roles/host"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
VARIABLES = {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}}


def snapshot(name: str, days: float, paths: Sequence[str] = ("/opt/shop/config",)) -> Snapshot:
    """One that was taken so many days ago."""
    return Snapshot(name * 8, NOW - timedelta(days=days), "a", tuple(paths))


def test_a_stack_that_keeps_no_archive_has_nothing_of_it() -> None:
    for host in (1, 2, 3):
        with_backups = rendered(with_backup(stack(3)), f"h{host}.test")
        for tree in (usual(3, host), with_backups):
            assert not any("/archive" in path for path in tree)
            assert "archive" not in tree["docker-compose.prod.yml"]
    assert "archive" not in host_stack({"components": {"backup": {}}}, "a", ["a"], VARIABLES)
    assert not {"8434"} & set(host_stack({"components": {"backup": {}}}, "a", ["a"], VARIABLES)["peer_ports"])
    assert "archive_password" not in platform_secrets(with_backup(stack(3)))


def test_declaring_it_changes_no_container_but_adds_one() -> None:
    for host in (1, 2, 3):
        before = rendered(with_backup(stack(3)), f"h{host}.test")
        after = rendered(with_archive(stack(3)), f"h{host}.test")
        compose = [yaml.safe_load(tree["docker-compose.prod.yml"])["services"] for tree in (before, after)]
        assert {name: compose[1][name] for name in compose[0]} == compose[0]
        assert compose[1].keys() - compose[0].keys() == ({"archive-repository"} if host == 3 else set())
        changed = {path for path in after if after[path] != before.get(path)}
        assert not any(path.startswith(("config/redis/", "config/backup")) for path in changed)


def test_the_repository_takes_no_orders_to_delete_and_no_strangers() -> None:
    text = rendered(with_archive(stack(3)), "h3.test")["docker-compose.prod.yml"]
    command = yaml.safe_load(text)["services"]["archive-repository"]["command"]
    assert command[:3] == ["rclone", "serve", "restic"]
    assert {"--append-only", "--client-ca=/config/tls/ca.crt", "--cache-objects=false"} <= set(command)


def test_a_host_opens_its_own_archives_and_those_of_redis_alone() -> None:
    base = with_archive(stack(5))
    trees = {host: rendered(base, f"h{host}.test") for host in range(1, 6)}
    opened = {
        host: {path.split("/")[-1] for path in tree if path.endswith(".password")}
        for host, tree in trees.items()
    }
    assert opened[1] == {"host-h1.test.password", "redis.password"}
    assert opened[4] == {"host-h4.test.password"}
    assert opened[5] == {*(f"host-h{number}.test.password" for number in range(1, 6)), "redis.password"}
    assert len({trees[5][f"config/host/archive/{name}"] for name in opened[5]}) == 6
    assert not any(SECRETS["archive_password"] in text for tree in trees.values() for text in tree.values())
    assert "config/host/archive/redis_admin" not in trees[4]


def test_a_password_depends_on_the_secret_and_on_the_repository() -> None:
    made = {password(secret, of) for secret in ("a", "b") for of in ("host-h1", "redis")}
    assert len(made) == 4 and password("a", "redis") in made


def test_programs_read_what_is_rendered() -> None:
    base = with_service(stack(3), "api", volumes={"uploads": "/data"}, hosts=("h1.test",))
    told = {
        host: Settings.from_dict(json.loads(text))
        for host in ("h1.test", "h3.test")
        for path, text in rendered(with_archive(base, "alertmanager", "api.uploads"), host).items()
        if path == "config/host/archive/settings.json"
    }
    assert (told["h1.test"].volumes, told["h3.test"].volumes) == (("api.uploads",), ("alertmanager",))
    assert told["h1.test"].repository == "10.0.0.3:8434" and told["h1.test"].redis_port == 6379
    assert (told["h1.test"].keeps, len(told["h3.test"].keeps)) == ((), 4)


@pytest.mark.parametrize(
    ("archive", "secrets", "expected"),
    [
        ({"volumes": ["alertmanger"]}, {}, "archive/volumes/0: alertmanger is no volume.*Did you mean alert"),
        ({"volumes": ["postgres"]}, {}, "archive/volumes/0: postgres is no volume.*a way of its own"),
        ({"volumes": ["web.uploads"]}, {}, "archive/volumes/0: web.uploads is no volume to archive"),
        ({"keep_days": 0}, {}, "archive/keep_days: is 0, out of range"),
        ({"at": "3"}, {}, "archive/at: .*a time of day"),
        ({"when": "03:00"}, {}, "archive/when: is not a known key"),
        ({}, {"archive_password": {"generate": 32}}, "secrets/archive_password: has a name the platform"),
    ],
)  # fmt: skip
def test_what_cannot_be_archived_is_refused(
    definition: dict[str, Any], hosts: Any, archive: Any, secrets: Any, expected: str
) -> None:
    definition["components"] = {"backup": {"archive": archive}}
    definition["secrets"] = secrets
    with pytest.raises(InvalidInputError, match=expected):
        parse_stack(definition, hosts)


def test_the_smallest_declaration_keeps_a_week_and_the_silences(
    definition: dict[str, Any], hosts: Any
) -> None:
    definition["components"] = {"backup": {"archive": {}}}
    backup = parse_stack(definition, hosts).components.backup
    assert backup and backup.archive
    assert (backup.archive.keep_days, backup.archive.volumes) == (7, ("alertmanager",))
    for off in ({"backup": {}}, {"backup": {"archive": False}}):
        definition["components"] = off
        backup = parse_stack(definition, hosts).components.backup
        assert backup and backup.archive is None


def test_every_host_archives_and_the_keeper_deletes() -> None:
    declared = {"components": {"backup": {"archive": {"at": "04:30"}}}}
    told = {host: host_stack(declared, host, ["a", "b"], VARIABLES) for host in ("a", "b")}
    assert told["a"]["archive"] == {"take": "*-*-* 04:30:00 UTC", "keep": "", "second": ""}
    assert told["b"]["archive"]["keep"].endswith(":30:00 UTC") and told["b"]["archive"]["second"] == ""
    assert "8434" in told["a"]["peer_ports"]


@pytest.mark.parametrize(
    ("what", "on", "expected"),
    [
        ("redis", "", ("h1.test",)),
        ("redis", "h2.test", ("h2.test",)),
        ("files", "", ("h1.test", "h2.test", "h3.test")),
        ("volume:alertmanager", "", ("h3.test",)),
        ("volume:api.uploads", "h2.test", ("h2.test",)),
    ],
)
def test_something_comes_back_on(what: str, on: str, expected: tuple[str, ...]) -> None:
    base = with_service(stack(3), "api", volumes={"uploads": "/data"})
    assert restoring(with_archive(base, "alertmanager", "api.uploads"), what, on) == expected


@pytest.mark.parametrize(
    ("what", "on", "expected"),
    [
        ("postgres", "", "cannot be restored"),
        ("volume:prometheus", "", "is not archived"),
        ("volume:alertmanager", "h1.test", "of h1.test is not archived"),
        ("volume:api.uploads", "", "is on several hosts"),
    ],
)
def test_what_cannot_come_back_is_refused(what: str, on: str, expected: str) -> None:
    base = with_service(stack(3), "api", volumes={"uploads": "/data"})
    with pytest.raises(SlipwayError, match=expected):
        restoring(with_archive(base, "alertmanager", "api.uploads"), what, on)


def test_archives_are_deleted_by_their_age_and_the_newest_never() -> None:
    found = [snapshot("a", 9), snapshot("b", 7.1), snapshot("c", 6.9), snapshot("d", 0)]
    assert expired(found, 7, NOW) == ["a" * 8, "b" * 8]
    assert expired(found[:2], 7, NOW) == ["a" * 8]


def test_one_from_the_future_neither_deletes_others_nor_stands_for_them() -> None:
    found = [snapshot("a", 8), snapshot("b", -3650)]
    assert expired(found, 7, NOW) == []
    assert newest(found, NOW) == snapshot("a", 8).time.timestamp()
    assert chosen(found, "latest", NOW).short == "a" * 8


def test_restics_own_words_are_read() -> None:
    told = '[{"time": "2026-11-27T01:02:03.123456789+01:00", "id": "ab12", "hostname": "h", "paths": ["/a"]}]'
    (found,) = snapshots("redis", told)
    assert found.time == datetime(2026, 11, 27, 0, 2, 3, 123456, tzinfo=UTC)
    assert snapshots("redis", "null") == []
    assert no_repository(10, "") and no_repository(1, "Is there a repository at the following location?")
    assert not no_repository(1, "wrong password")


@pytest.mark.parametrize(
    "junk",
    ['{"time": "2026-11-27T01:02:03Z", "id": "ab", "paths": ["/a"]}', '{"time": "soon", "id": "ab"}', "1"],
)
def test_an_archive_that_is_none_of_ours_is_a_known_failure(junk: str) -> None:
    with pytest.raises(SlipwayError, match="redis holds an archive that is none of ours"):
        snapshots("redis", f"[{junk}]")


def test_what_went_while_it_was_read_is_no_fault_and_what_could_not_be_read_is() -> None:
    line = '{"message_type":"error","error":{"message":"%s"},"during":"archival","item":"/v"}'
    gone, denied = line % "lstat /v/wal/1: no such file or directory", line % "open /v/key: permission denied"
    words = "Warning: at least one source file could not be read"
    for summary in (words, f'{{"message_type":"exit_error","code":3,"message":"{words}"}}'):
        assert unread(f"{gone}\n\n{summary}\n") == []
        assert unread(f"{gone}\n{denied}\n{summary}\n") == [denied]


def test_an_archive_is_chosen_by_the_beginning_of_its_id() -> None:
    found = [snapshot("ab", 2), snapshot("ac", 1)]
    assert chosen(found, "ab", NOW) == found[0]
    for wanted in ("a", "x"):
        with pytest.raises(SlipwayError, match="The newest there are: abababab"):
            chosen(found, wanted, NOW)
    with pytest.raises(SlipwayError, match="none"):
        chosen([], "latest", NOW)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Fatal: wrong password or no key found", "is not the one that it was made with"),
        ("unable to create lock: repository is already locked exclusively by PID 3", "another one works"),
        ("Save(<data/1>) returned error: write: no space left on device", "the disk is full"),
        ("[Errno 111] Connection refused", "the repository does not answer"),
        ("remote error: tls: certificate required", "does not trust"),
    ],
)
def test_a_failure_says_what_it_means(said: str, problem: str) -> None:
    assert problem in explain("it failed", 1, f"something before\n{said}").problem


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"role": "master"}, "10.0.0.1"),
        ({"slave0": "ip=10.0.0.3,port=6379,state=online", "slave1": "ip=10.0.0.2,state=online"}, "10.0.0.2"),
        ({"slave0": "ip=10.0.0.2,state=wait_bgsave", "slave1": "ip=10.0.0.3,state=online"}, "10.0.0.3"),
        ({"slave0": "ip=10.0.0.2,state=wait_bgsave", "slave_repl_offset": "7"}, "10.0.0.1"),
    ],
)
def test_a_replica_takes_redis_snapshot_where_one_is_well(info: dict[str, str], expected: str) -> None:
    assert saver("10.0.0.1", info) == expected


def test_the_monitoring_is_told_of_a_repository_also_of_an_empty_one() -> None:
    held = [snapshot("a", 2), snapshot("b", 1)]
    assert kept_metrics("host-a", held, NOW) == [
        f'slipway_archive_newest_seconds{{of="a"}} {held[1].time.timestamp():.0f}',
        'slipway_archives{of="a"} 2',
    ]
    assert kept_metrics("redis", [], NOW) == [
        'slipway_archive_newest_seconds{of="redis"} 0',
        'slipway_archives{of="redis"} 0',
    ]


class Server:
    """A server that answers each command as it is told to, and remembers what it was asked."""

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        mine, theirs = socket.socketpair()
        self.redis, self.asked = Redis(mine), list[list[bytes]]()
        self._stream, self._answer = theirs, answer
        Thread(target=self._serve, daemon=True).start()

    def leave(self) -> None:
        self._stream.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        reader = self._stream.makefile("rb")
        while head := reader.readline():
            words = [reader.read(int(reader.readline()[1:]) + 2)[:-2] for _word in range(int(head[1:]))]
            self.asked.append(words)
            if answer := self._answer(words):
                self._stream.sendall(answer)


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(value), value)


def test_a_snapshot_is_awaited_also_where_another_child_is_at_work() -> None:
    refusals, states = [b"-ERR Background save already in progress\r\n"], [b"1", b"1"]

    def answer(words: list[bytes]) -> bytes:
        if words[0] == b"BGSAVE":
            return refusals.pop() if refusals else b"+Background saving started\r\n"
        going_on = states.pop() if states else b"0"
        return bulk(b"rdb_bgsave_in_progress:%s\r\nrdb_last_bgsave_status:ok\r\n" % going_on)

    server = Server(answer)
    archive_redis.save(server.redis, sleep=lambda _seconds: None)
    assert [words[0] for words in server.asked] == [b"BGSAVE"] * 2 + [b"INFO"] * 3


def test_a_snapshot_that_failed_is_none() -> None:
    failed = bulk(b"rdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:err\r\n")
    server = Server(lambda words: b"+OK\r\n" if words[0] == b"BGSAVE" else failed)
    with pytest.raises(SlipwayError, match="could not write its snapshot"):
        archive_redis.save(server.redis, sleep=lambda _seconds: None)


def source(words: list[bytes]) -> bytes:
    """Three keys, one told twice and one that expires while it is copied."""
    if words[0] == b"INFO":
        return bulk(b"# Keyspace\r\ndb3:keys=3,expires=1\r\n")
    if words[0] == b"SCAN":
        page = [b"a\r\n", b"gone"] if words[1] == b"0" else [b"a\r\n", b"b"]
        cursor = b"7" if words[1] == b"0" else b"0"
        return b"*2\r\n" + bulk(cursor) + b"*%d\r\n" % len(page) + b"".join(map(bulk, page))
    if words[0] == b"PEXPIRETIME":
        return {b"a\r\n": b":-1\r\n", b"b": b":1800000000000\r\n", b"gone": b":-2\r\n"}[words[1]]
    if words[0] == b"DUMP":
        return b"$-1\r\n" if words[1] == b"gone" else bulk(b"\x00\xff" + words[1])
    return b"+OK\r\n"


def test_every_key_is_written_once_with_its_time_to_live_into_its_own_database() -> None:
    target = Server(lambda _words: b"+OK\r\n")
    assert archive_redis.copy(Server(source).redis, target.redis) == archive_redis.Copied(3, 2, 1)
    assert target.asked == [
        [b"SELECT", b"3"],
        [b"RESTORE", b"a\r\n", b"0", b"\x00\xffa\r\n", b"REPLACE", b"ABSTTL"],
        [b"RESTORE", b"b", b"1800000000000", b"\x00\xffb", b"REPLACE", b"ABSTTL"],
    ]


def test_a_master_that_takes_no_keys_is_named_with_its_words() -> None:
    target = Server(lambda words: b"-READONLY it is a replica\r\n" if words[0] == b"RESTORE" else b"+OK\r\n")
    with pytest.raises(SlipwayError, match="READONLY it is a replica"):
        archive_redis.copy(Server(source).redis, target.redis)


def test_a_server_that_goes_away_is_a_known_failure() -> None:
    def leave(_words: list[bytes]) -> bytes:
        server.leave()
        return b""

    server = Server(leave)
    with pytest.raises(SlipwayError, match="Redis went away"):
        server.redis.ask("PING")


def test_a_server_that_takes_no_snapshot_is_asked_once_and_named() -> None:
    server = Server(lambda _words: b"-NOPERM this user has no permissions\r\n")
    with pytest.raises(SlipwayError, match="takes no snapshot: NOPERM"):
        archive_redis.save(server.redis, sleep=lambda _seconds: None)
    assert len(server.asked) == 1


def keeping(tmp_path: Path, answers: Callable[[Sequence[str]], tuple[int, str, str]]) -> Archive:
    """The keeper of two repositories whose commands are answered so."""
    told = Settings("shop", "a", "10.0.0.1", "10.0.0.1:8434", 7, (), 0, ("host-a", "redis"))
    folder = tmp_path / "config/host/archive"
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "state").mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(told.to_dict()))
    for name in told.keeps:
        (folder / f"{name}.password").write_text(f"secret-of-{name}")
    return Archive(tmp_path, lambda argv, stdin=None: answers([*argv, f"stdin={stdin}"]))


class Repositories:
    """Two repositories, one with an old archive and one without any, and what restic was asked of them.

    locked: by somebody who died. spoiled: the first cannot be listed.
    """

    def __init__(self, *, stubborn: bool = False, locked: bool = False, spoiled: bool = False) -> None:
        self.asked: list[Sequence[str]] = []
        self.newer = datetime.now(UTC) - timedelta(days=1)
        self._held = {"older": self.newer - timedelta(days=7), "newer": self.newer}
        self._stubborn, self._locked, self._spoiled = stubborn, locked, spoiled

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.asked.append(argv)
        if "unlock" in argv:
            self._locked = False
            return (10, "", "none") if "--repo=/var/lib/archive/redis" in argv else (0, "", "")
        if self._locked:
            return 11, "", "unable to create lock: repository is already locked exclusively by PID 7"
        if "forget" in argv and not self._stubborn:
            del self._held["older"]
        if "snapshots" not in argv:
            return 0, "", ""
        if self._spoiled and "--repo=/var/lib/archive/host-a" in argv:
            return 1, "", "Fatal: snapshot 1 cannot be decoded"
        held = [
            {"id": name, "hostname": "a", "paths": [], "time": moment.isoformat()}
            for name, moment in self._held.items()
        ]
        return (0, json.dumps(held), "") if "--repo=/var/lib/archive/host-a" in argv else (10, "", "none")


def test_the_keeper_deletes_what_is_old_and_tells_the_age_of_the_rest(tmp_path: Path) -> None:
    repositories = Repositories()
    keeping(tmp_path, repositories).keep(lambda _line: None)
    forget = next(argv for argv in repositories.asked if "forget" in argv)
    assert forget[-4:] == ["forget", "--prune", "older", "stdin=secret-of-host-a\n"]
    assert not any("secret" in word for argv in repositories.asked for word in argv[:-1])
    told = (tmp_path / "state/metrics/archive.prom").read_text()
    assert f'newest_seconds{{of="a"}} {repositories.newer.timestamp():.0f}\n' in told
    assert 'slipway_archives{of="a"} 1\n' in told and 'newest_seconds{of="redis"} 0\n' in told
    assert 'last_ok{what="keep"} 1' in (tmp_path / "state/metrics/archive_keep.prom").read_text()


def test_what_restic_only_says_to_have_deleted_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="host-a: what is old could not be deleted"):
        keeping(tmp_path, Repositories(stubborn=True)).keep(lambda _line: None)
    assert 'last_ok{what="keep"} 0' in (tmp_path / "state/metrics/archive_keep.prom").read_text()


def test_a_lock_of_one_that_died_keeps_the_keeper_from_nothing(tmp_path: Path) -> None:
    keeping(tmp_path, Repositories(locked=True)).keep(lambda _line: None)
    assert 'last_ok{what="keep"} 1' in (tmp_path / "state/metrics/archive_keep.prom").read_text()


def test_a_spoiled_repository_keeps_the_keeper_from_no_other(tmp_path: Path) -> None:
    told = tmp_path / "state/metrics/archive.prom"
    with pytest.raises(SlipwayError, match="host-a cannot be listed"):
        keeping(tmp_path, Repositories(spoiled=True)).keep(lambda _line: None)
    assert 'of="a"' not in told.read_text() and 'slipway_archives{of="redis"} 0\n' in told.read_text()


def test_what_is_known_of_a_repository_is_told_again_where_it_cannot_be_listed(tmp_path: Path) -> None:
    told = tmp_path / "state/metrics/archive.prom"
    keeping(tmp_path, Repositories()).keep(lambda _line: None)
    before = told.read_text()
    told.write_text(before.replace('archives{of="redis"} 0', 'archives{of="redis"} 7'))
    with pytest.raises(SlipwayError, match="host-a cannot be listed"):
        keeping(tmp_path, Repositories(spoiled=True)).keep(lambda _line: None)
    assert told.read_text() == before


class Engine:
    """A volume of two containers, and restic. Each look at the clock is a minute after the one before."""

    def __init__(self, folder: Path, *failing: str) -> None:
        self.data, self.started = folder / "volumes/shop_files/_data", list[str]()
        self._failing, self._minutes = failing, count()
        self.data.mkdir(parents=True)
        (self.data / "held").write_text("original")

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        told = {"docker volume": str(self.data), "docker ps": "one\ntwo\n"}.get(" ".join(argv[:2]), "")
        if "snapshots" in argv:
            paths = [str(self.data)]
            told = json.dumps([{"id": "ab" * 8, "hostname": "a", "paths": paths, "time": NOW.isoformat()}])
        if target := [word for word in argv if word.startswith("--target=")]:
            fresh = Path(target[0].removeprefix("--target="))
            fresh.mkdir()
            (fresh / "held").write_text("archived")
        if argv[1] == "start":
            self.started.append(argv[2])
        failed = " ".join(argv[1:3]) in self._failing
        return int(failed), told, "no such container" if failed else ""

    def restore(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        clock = SimpleNamespace(now=lambda _zone: NOW + timedelta(minutes=next(self._minutes)))
        monkeypatch.setattr(archive_restore, "datetime", clock)
        monkeypatch.setattr(ArchiveHost, "reachable", lambda _host: None)
        return archive_restore.restore(keeping(tmp_path, self).host, "volume:files", "latest").told


def test_what_a_volume_held_is_kept_also_when_the_same_is_restored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path)
    first = Path(engine.restore(tmp_path, monkeypatch).rsplit(" ", 1)[-1])
    assert first == engine.data.with_name("before-abababab-20261127T120100Z")
    second = Path(engine.restore(tmp_path, monkeypatch).rsplit(" ", 1)[-1])
    kept = [(folder / "held").read_text() for folder in (first, second, engine.data)]
    assert kept == ["original", "archived", "archived"]


def test_all_containers_of_a_volume_are_started_also_where_one_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path, "start one")
    with pytest.raises(SlipwayError, match="container one does not start"):
        engine.restore(tmp_path, monkeypatch)
    assert engine.started == ["one", "two"] and (engine.data / "held").read_text() == "archived"


def test_a_container_that_does_not_stop_leaves_the_volume_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path, "stop two", "start two")
    with pytest.raises(SlipwayError, match="two does not stop: .*; container two does not start"):
        engine.restore(tmp_path, monkeypatch)
    assert engine.started == ["one", "two"] and (engine.data / "held").read_text() == "original"


def test_an_archive_that_cannot_be_reached_is_told_as_a_failure(tmp_path: Path) -> None:
    archive = keeping(tmp_path, lambda _argv: (0, "", ""))
    with pytest.raises(SlipwayError, match="cannot be reached"):
        archive.take(lambda _line: None)
    assert 'last_ok{what="take"} 0' in (tmp_path / "state/metrics/archive_take.prom").read_text()


class Systemd:
    """What the module asks of its host: the state of the unit, and to start it."""

    def __init__(self, state: str) -> None:
        self.state, self.asked = state, list[list[str]]()

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        self.asked.append(argv)
        return 0, f"{self.state}\n", ""


@pytest.mark.parametrize(
    ("state", "provisioned", "last", "expected"),
    [
        pytest.param("inactive", True, None, True, id="never-archived"),
        pytest.param("inactive", True, "10.0.0.1:8434", False, id="archived-before"),
        pytest.param("inactive", True, "10.0.0.2:8434", True, id="archived-where-archives-were-kept-before"),
        pytest.param("activating", True, None, False, id="under-way"),
        pytest.param("inactive", False, None, False, id="not-provisioned"),
    ],
)
def test_the_first_archive_begins_where_there_never_was_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    state: str,
    provisioned: bool,
    last: str,
    expected: bool,
) -> None:
    archive, systemd = keeping(tmp_path, lambda _argv: (0, "", "")), Systemd(state)
    monkeypatch.setattr(module, "SYSTEMD", tmp_path)
    if provisioned:
        (tmp_path / module.UNIT).touch()
    if last:
        archive.host.settings = replace(archive.host.settings, repository=last)
        with archive.host.telling("take"):
            pass
    assert module.ready(systemd, tmp_path)["changed"] is expected
    assert (["systemctl", "start", "--no-block", module.UNIT] in systemd.asked) is expected


def test_a_release_from_before_the_archive_has_none_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYSTEMD", tmp_path)
    (tmp_path / module.UNIT).touch()
    assert module.ready(Systemd("inactive"), tmp_path) == {"changed": False, "steps": []}


def test_a_restore_holds_the_environment_and_nothing_else_of_the_playbook_does() -> None:
    plays = yaml.safe_load((CHECKOUT / "playbooks/archive.yml").read_text(encoding="utf-8"))
    (held,) = [task for task in plays[1]["tasks"] if "block" in task]
    lock, restore = held["block"]
    assert lock["ansible.builtin.include_role"]["name"] == "slipway.compose.lock"
    assert restore["slipway.compose.archive"]["state"] == "restored"
    assert held["always"][0]["ansible.builtin.include_role"]["tasks_from"] == "released"
    assert held["when"] == "restore is defined"


KEEP, SECOND = "slipway-archive-keep", "slipway-archive-second"
COPYING = {"archive_second", "archive_copy"}


@pytest.mark.parametrize(
    ("archive", "unwanted", "metrics"),
    [
        pytest.param(
            None,
            {"slipway-archive", KEEP, SECOND},
            {"archive", "archive_keep", "archive_take", *COPYING},
            id="none-at-all",
        ),
        pytest.param(
            {"take": "03:00", "keep": "", "second": ""},
            {KEEP, SECOND},
            {"archive", "archive_keep", *COPYING},
            id="another-host-keeps",
        ),
        pytest.param(
            {"take": "03:00", "keep": "*:30", "second": ""}, {SECOND}, COPYING, id="there-is-no-second-place"
        ),
        pytest.param({"take": "03:00", "keep": "*:30", "second": "*:50"}, set(), set(), id="all-of-them"),
    ],
)
def test_services_of_archives_go_with_their_timers_and_with_what_they_told(
    archive: dict[str, str] | None, unwanted: set[str], metrics: set[str]
) -> None:
    loader = DataLoader()
    variables = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)
    known = {**variables, "host_stack": {} if archive is None else {"archive": archive}}
    templar = Templar(loader=loader, variables=known)
    told = templar.template(variables["_host_archive_units_unwanted"])
    assert set(told) == {f"{name}.{kind}" for name in unwanted for kind in ("service", "timer")}
    assert set(templar.template(variables["_host_archive_metrics_unwanted"])) == metrics
    wanted = {f"{name}.timer" for name in {"slipway-archive", KEEP, SECOND} - unwanted}
    assert set(templar.template(variables["_host_archive_timers"])) == wanted


def test_the_hosts_program_has_all_that_it_needs(tmp_path: Path) -> None:
    """As the role lays it out, in a Python that sees nothing of this checkout."""
    modules = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["_host_archive_core"]
    (tmp_path / "core").mkdir()
    shutil.copy(ROLE / "files/archive_main.py", tmp_path / "__main__.py")
    for name in modules:
        shutil.copy(CHECKOUT / f"plugins/module_utils/_core/{name}.py", tmp_path / "core")
    for arguments, status, told in (
        ([], 2, "usage:"),
        (["shop", "take"], 1, "archives nothing of shop"),
        (["shop", "copy"], 1, "archives nothing of shop"),
    ):
        command = [sys.executable, "-I", str(tmp_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == status
        assert told in done.stderr


def test_a_wrong_call_says_how_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shop", "often"]) == 2
    assert "take|keep" in capsys.readouterr().err
