"""Which archives are kept, which is chosen, and what restic's own words mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_plan import (
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
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    SlipwayError,
)
from made_archives import NOW, snapshot


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
