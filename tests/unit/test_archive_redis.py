"""How Redis is saved and brought back."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive import archive_redis
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_redis import Redis
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    SlipwayError,
)


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
