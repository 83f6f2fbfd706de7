"""Redis's snapshot, and its way back: from a server nobody reaches, key by key into the serving master."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..run import Run

UID = 10001
DUMP = "dump.rdb"
_PATIENCE = 30.0
# A snapshot of some gigabytes on a slow disk, or as many to load.
_LONGEST = 3600.0
_BATCH = 500
_GONE = -2


class RefusedError(SlipwayError):
    """What Redis answered in place of a result."""

    def __init__(self, words: str) -> None:
        super().__init__(words, "See docs/runbooks/redis.md, then run this again")


class Redis:
    """A conversation with one server; values are bytes, as they may be anything."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")

    @classmethod
    def at(cls, address: str, port: int, ca: Path, password: str) -> Redis:
        try:
            plain = socket.create_connection((address, port), _PATIENCE)
            context = ssl.create_default_context(cafile=str(ca))
            redis = cls(context.wrap_socket(plain, server_hostname=address))
            redis.ask("AUTH", "slipway", password)
        except (OSError, SlipwayError) as error:
            words = error.problem if isinstance(error, SlipwayError) else error
            raise SlipwayError(
                f"Redis at {address}:{port} cannot be asked: {words}",
                "See docs/runbooks/redis.md, then run this again",
            ) from error
        return redis

    def close(self) -> None:
        self._reader.close()
        self._connection.close()

    def ask(self, *words: str | bytes) -> Any:
        (answer,) = self.ask_all([words])
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[Sequence[str | bytes]]) -> list[Any]:
        """The answers to many commands that are sent at once; a refused one's is its error."""
        try:
            self._connection.sendall(b"".join(map(_written, commands)))
            return [self._read() for _command in commands]
        except OSError as error:
            raise SlipwayError(f"Redis went away: {error}", "See its log, then run this again") from error

    def info(self, section: str) -> dict[str, str]:
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _read(self) -> Any:
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("it closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return RefusedError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else self._reader.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._read() for _item in range(int(rest))]
        return rest.decode()


def _written(words: Sequence[str | bytes]) -> bytes:
    raw = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)


def save(redis: Redis, sleep: Callable[[float], None] = time.sleep) -> None:
    """Have the server write a snapshot, and wait until it is whole."""
    until = time.monotonic() + _LONGEST
    while True:
        try:
            redis.ask("BGSAVE")
            break
        except RefusedError as refusal:
            # It writes its append-only file anew, or a snapshot for a replica: that ends by itself.
            passes = any(word in refusal.problem for word in ("progress", "AOF", "child"))
            if not passes or time.monotonic() > until:
                raise SlipwayError(f"Redis takes no snapshot: {refusal.problem}", "See its log") from refusal
            sleep(1)  # whatever it is busy with passes
    while (state := redis.info("persistence")).get("rdb_bgsave_in_progress") != "0":
        if time.monotonic() > until:
            raise SlipwayError("Redis's snapshot takes more than an hour", "See the disk of its host")
        sleep(0.2)  # between two looks
    if state.get("rdb_last_bgsave_status") != "ok":
        raise SlipwayError(
            "Redis could not write its snapshot", "See its log; it needs room on the disk, and memory to fork"
        )


@dataclass(frozen=True)
class Copied:
    """keys: in the snapshot's server. restored: written to the master. gone: expired while it was copied."""

    keys: int
    restored: int
    gone: int


def copy(source: Redis, target: Redis) -> Copied:
    """Every key of every database with its time to live, in place of what has its name; others stay."""
    found = restored = gone = 0
    for database in source.info("keyspace"):
        number = database.removeprefix("db")
        for redis in (source, target):
            redis.ask("SELECT", number)
        for keys in _batches(source):
            written = _copy(source, target, keys)
            found, restored, gone = found + len(keys), restored + written, gone + len(keys) - written
    return Copied(found, restored, gone)


def _batches(source: Redis) -> Iterator[list[bytes]]:
    """Each key once: a server may tell one twice while its table grows."""
    seen: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, keys = source.ask("SCAN", cursor, "COUNT", str(_BATCH))
        fresh = [key for key in dict.fromkeys(keys) if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor == b"0":
            return


def _copy(source: Redis, target: Redis, keys: Sequence[bytes]) -> int:
    asked = [command for key in keys for command in (("PEXPIRETIME", key), ("DUMP", key))]
    told = source.ask_all(asked)
    wanted = [
        (key, max(0, moment), value)
        for key, moment, value in zip(keys, told[::2], told[1::2], strict=True)
        if moment != _GONE and value is not None
    ]
    answers = target.ask_all(
        [("RESTORE", key, str(moment), value, "REPLACE", "ABSTTL") for key, moment, value in wanted]
    )
    for (key, _moment, _value), answer in zip(wanted, answers, strict=True):
        if isinstance(answer, RefusedError):
            raise SlipwayError(
                f"the master does not take {key.decode(errors='replace')}: {answer.problem}",
                "What was written stays; correct the cause (docs/runbooks/redis.md) and run this again",
            )
    return len(wanted)


@contextmanager
def scratch(run: Run, container: str, folder: Path, fill: Callable[[Path], None]) -> Iterator[Redis]:
    """A server of what `fill` puts into the folder, without a network, with Redis's own image and limits."""
    name = f"{container}-restore"
    run(["docker", "rm", "--force", name])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        fill(folder)
        for path in (folder, *folder.iterdir()):
            # What was stored may be a link to anything.
            os.chown(path, UID, UID, follow_symlinks=False)
        image, memory = _facts(run, container)
        guard = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        own = [f"--user={UID}:{UID}", f"--memory={memory}", "--pids-limit=64", f"--volume={folder}:/scratch"]
        start = ["docker", "run", "--detach", "--init", "--pull=never", f"--name={name}", *guard, *own, image]
        serve = ["redis-server", "--port", "0", "--unixsocket", "/scratch/redis.sock", "--dir", "/scratch"]
        code, _out, err = run([*start, *serve, "--dbfilename", DUMP, "--save", "", "--appendonly", "no"])
        if code:
            raise SlipwayError(f"no server for the snapshot starts: {err.strip()}", "See `docker ps` there")
        redis = _loaded(run, name, folder / "redis.sock")
        try:
            yield redis
        finally:
            redis.close()
    finally:
        run(["docker", "rm", "--force", name])
        shutil.rmtree(folder, ignore_errors=True)


def _facts(run: Run, container: str) -> tuple[str, str]:
    code, out, err = run(["docker", "inspect", "--format", "{{.Image}} {{.HostConfig.Memory}}", container])
    if code:
        raise SlipwayError(
            f"there is no container {container}: {err.strip()}", "Deploy, or restore on another host of Redis"
        )
    image, memory = out.split()
    return image, memory


def _loaded(run: Run, name: str, path: Path) -> Redis:
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        with suppress(OSError, SlipwayError):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_PATIENCE)
            connection.connect(str(path))
            redis = Redis(connection)
            redis.ask("PING")
            return redis
        if run(["docker", "inspect", "--format", "{{.State.Running}}", name])[1].strip() != "true":
            break
        time.sleep(0.2)  # it reads the snapshot, and says nothing when it is done
    _code, out, err = run(["docker", "logs", "--tail", "5", name])
    raise SlipwayError(
        f"the snapshot cannot be loaded: {(out or err).strip()}", "Take an older one: -e snapshot=<id>"
    )


def leader(info: Mapping[str, str], address: str) -> str:
    """The address of the master, as a member that is told of by `INFO replication` knows it."""
    return info["master_host"] if info.get("role") == "slave" else address
