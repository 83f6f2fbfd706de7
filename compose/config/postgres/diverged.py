"""Whether the databases here and the other site's have one past, whatever its parts are called.

PostgreSQL and Patroni tell timelines by their numbers. Two sites that cannot see each other both promote a
member, and both call what it writes from then on by the next number: Patroni would find that nothing is to be
rewound, pg_rewind that both are on the same timeline, and PostgreSQL would read records of one in the middle
of the other's. So positions are compared, and the WAL itself, before Patroni starts a member that follows;
what differs is given up, and Patroni copies it anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SEGMENT = 16 << 20
# A record's header, which ends with the checksum of all of it.
HEADER = 24
# What is compared before a position, and behind the beginning of a timeline, where the time of its promotion
# stands.
BEFORE, BEHIND = 8192, 64
# Seconds, for a query at the other site, and for a program here.
PATIENCE = 20
FOREVER = 1 << 64

LINE = """
SELECT ('x' || left(name, 8))::bit(32)::int, lsn - '0/0', encode(pg_read_binary_file(
         'pg_wal/' || left(name, 8) || '.history', 0, 1048576, true), 'hex')
  FROM (SELECT pg_walfile_name(lsn) AS name, lsn FROM pg_current_wal_flush_lsn() AS lsn) AS now
"""
HELP = "where this member does not come to stream, see docs/runbooks/second-site.md#copied-anew"
BYTES = "SELECT encode(pg_read_binary_file('pg_wal/{name}', {begin}, {length}, true), 'hex')"

# A cluster that has begun once begins no second time: members without data wait for one that has some.
BEGIN_AGAIN = """
from patroni.config import Config
from patroni.dcs import get_dcs
dcs = get_dcs(Config("/config/patroni.yml"))
if dcs.get_cluster().is_unlocked():
    dcs.cancel_initialization()
"""

# Timelines and where each begins, the oldest first.
Line = list[tuple[int, int]]
# Standard output of a query at the other site.
Ask = Callable[[str], str]
# The bytes of a file in pg_wal, from a position on; None where there is no such file.
Read = Callable[[str, int, int], "bytes | None"]


def give_up(data: Path, source: Mapping[str, str]) -> None:
    """Take away databases that can become no copy of the other site's primary, which `source` leads to."""
    away, there = data.with_name("main.given-up"), data / "PG_VERSION"
    shutil.rmtree(away, ignore_errors=True)  # of a start that was ended meanwhile
    try:
        why = there.exists() and differs(data, control(data), asker(source))
    except (OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip()
        print(f"site: not compared with the other site's databases: {why}: {HELP}", flush=True)
        return
    if why:
        print(f"site: {why}: the databases here are given up and copied anew", flush=True)
        # First out of the way, in one piece: Patroni would keep half of it.
        data.rename(away)
        shutil.rmtree(away)
    if not there.exists():
        # Without it every member would wait for another one for ever; where it fails, the engine tries again.
        subprocess.run(["python3", "-c", BEGIN_AGAIN], check=True, timeout=PATIENCE)


def differs(data: Path, told: Mapping[str, str], ask: Ask) -> str:
    """Why the databases in `data` can become no copy of the other site's primary by going on; "": no reason.

    told: what `control` says of them. Raises OSError, subprocess.SubprocessError, LookupError or ValueError
    where it cannot be told.
    """
    number, position, history = ask(LINE).strip().split("|")
    others = line(int(number), bytes.fromhex(history).decode())
    reached, own = end(told), here(data, timeline_of(told))
    shared = common(own, others)
    twice = {timeline for timeline, _begin in own[shared:]} & {
        timeline for timeline, _begin in others[shared:]
    }
    if twice:
        return f"both sites have a timeline {max(twice)} of their own"
    ends = [one[shared][1] for one in (own, others) if len(one) > shared]
    until = min(reached, int(position), *ends)
    begins = own[shared - 1][1]
    behind = min([begins + BEHIND, int(position), *ends])
    local, remote = reads(data), asks(ask)
    for begin, stop in ((until - BEFORE, until), (begins, behind)):
        if begin < stop and another(span(own, begin, stop, local), span(others, begin, stop, remote)):
            return f"the WAL before {written(stop)} is another one than the other site's"
    return ""


def another(own: bytes | None, others: bytes | None) -> bool:
    """Whether both are known and not the same. A file that was made and not yet written is no WAL."""
    return bool(own and own.strip(b"\0")) and others is not None and own != others


def line(timeline: int, history: str) -> Line:
    """A timeline and those before it, from its history file: `parent, where it was left, why`."""
    made: Line = []
    begin = 0
    for parent, left in re.findall(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", history, re.MULTILINE):
        made.append((int(parent), begin))
        begin = position_of(left)
    return [*made, (timeline, begin)]


def here(data: Path, timeline: int) -> Line:
    """The line that PostgreSQL would go on with: the newest timeline of which there is a history."""
    known = {int(path.stem, 16): path for path in (data / "pg_wal").glob("????????.history")}
    newest = max([*known, timeline])
    return line(newest, known[newest].read_text() if newest in known else "")


def common(own: Line, others: Line) -> int:
    """How many timelines of both have the same numbers and beginnings."""
    pairs = zip(own, others, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(own), len(others)))


def control(data: Path) -> Mapping[str, str]:
    """What pg_controldata says."""
    argv = ["pg_controldata", "-D", str(data)]
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, timeout=PATIENCE)
    told = (text.split(":", 1) for text in done.stdout.splitlines() if ":" in text)
    return {name.strip(): value.strip() for name, value in told}


def timeline_of(told: Mapping[str, str]) -> int:
    names = ("Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline")
    return max(int(told[name]) for name in names)


def end(told: Mapping[str, str]) -> int:
    """A position that is surely here: where a member's replay was; else its last checkpoint's header."""
    replayed = position_of(told["Minimum recovery ending location"])
    return replayed or position_of(told["Latest checkpoint location"]) + HEADER


def reads(data: Path) -> Read:
    def read(name: str, begin: int, length: int) -> bytes | None:
        try:
            with (data / "pg_wal" / name).open("rb") as file:
                file.seek(begin)
                return file.read(length)
        except FileNotFoundError:
            return None

    return read


def asks(ask: Ask) -> Read:
    def read(name: str, begin: int, length: int) -> bytes | None:
        told = ask(BYTES.format(name=name, begin=begin, length=length)).strip()
        return bytes.fromhex(told) if told else None

    return read


def span(of: Line, begin: int, stop: int, read: Read) -> bytes | None:
    """The WAL from `begin` to `stop`, of the segment that holds its end; None where it is there no more."""
    first = (stop - 1) // SEGMENT * SEGMENT
    begin = max(begin, first)
    for name in names(of, stop):
        found = read(name, begin - first, stop - begin)
        if found is not None:
            return found
    return None


def names(of: Line, stop: int) -> Iterator[str]:
    """Files that have the byte before `stop`: its timeline's, and later ones that began with a copy of it."""
    number = (stop - 1) // SEGMENT
    high, low = divmod(number, (1 << 32) // SEGMENT)
    ends: Sequence[int] = [*(begin for _timeline, begin in of[1:]), FOREVER]
    for (timeline, begin), left in zip(of, ends, strict=True):
        if left >= stop and begin // SEGMENT <= number:
            yield f"{timeline:08X}{high:08X}{low:08X}"


def position_of(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def written(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def asker(source: Mapping[str, str]) -> Ask:
    """The other site's primary, by libpq's environment variables."""

    def ask(query: str) -> str:
        argv = ["psql", "--no-psqlrc", "-Atq", "-v", "ON_ERROR_STOP=1", "-c", query]
        environment = {**os.environ, **source}
        done = subprocess.run(
            argv, capture_output=True, text=True, check=True, env=environment, timeout=PATIENCE
        )
        return done.stdout

    return ask
