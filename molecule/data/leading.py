"""Who led PostgreSQL when, by the members' own logs; two at once are found by it, whatever they call it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

# When a member said that it leads, in seconds since the epoch, and its name.
Word = tuple[float, str]

# In fewer seconds no leadership goes to another member and comes back.
ELECTIONS = 10.0
# What a Patroni of 4.0 says at the end of a round in which its PostgreSQL takes writes (its `ha.py`): with
# the leader's key, without it as etcd is away, or paused; and as it takes the key. `standby leader` is none.
_ROUND = "|".join(
    (
        r"no action\. I am \(\S+\), the leader with the lock",
        r"acquired session lock as a leader",
        r"promoted self to leader by acquiring session lock",
        r"promoted self to leader because I had the session lock",
        r"continue to run as a leader because failsafe mode is enabled and all members are accessible",
        r"continue to run as primary after failing to update leader lock in DCS",
    )
)
PATRONI = re.compile(rf"^(\S+ \S+),(\d+) INFO: (?:PAUSE: )?(?:{_ROUND})$", re.MULTILINE)
# A server that was promoted, or started as a primary: a standby takes `read-only connections`.
POSTMASTER = re.compile(
    r"^(\S+ \S+)\.(\d+) UTC \[\d+\] LOG:  database system is ready to accept connections$", re.MULTILINE
)
# It ends, or is a standby from here on. One that was killed is known to be gone when the next one starts.
_END = r"received \w+ shutdown request|starting PostgreSQL .*|database system is ready to accept read-only .*"
ENDED = re.compile(rf"^(\S+ \S+)\.(\d+) UTC \[\d+\] LOG:  (?:{_END})$", re.MULTILINE)


def words_of(log: str, name: str) -> list[Word]:
    """Each time that a member says in its log, which is Patroni's and its server's, that it leads."""
    told = [*PATRONI.findall(log), *POSTMASTER.findall(log)]
    return sorted((_moment(second, fraction), name) for second, fraction in told)


def at_once(words: Sequence[Word]) -> Iterable[tuple[float, str, str]]:
    """Where a member says that it leads, between two words of another that are too close for two elections.

    words: in the order of time. Yields the moment, who led, and who did, too.
    """
    turns: list[tuple[str, float, float]] = []
    for at, name in words:
        same = bool(turns) and turns[-1][0] == name
        turns[-1 if same else len(turns) :] = [(name, turns[-1][1] if same else at, at)]
    for before, between, after in zip(turns, turns[1:], turns[2:], strict=False):
        if before[0] == after[0] and after[1] - before[2] < ELECTIONS:
            yield between[1], before[0], between[0]


@dataclass(frozen=True)
class Primary:
    """A server of that name that took itself for the primary, in seconds since the epoch."""

    name: str
    begun: float
    ended: float


def primaries_of(log: str, name: str, until: float) -> list[Primary]:
    """When a member's server was a primary; it may have been one before the log begins."""
    ends = [_moment(*told) for told in ENDED.findall(log)]
    begun, found = None, []
    for at, leads in sorted(
        [*((at, True) for at, _name in words_of(log, name)), *((at, False) for at in ends)]
    ):
        if leads and begun is None:
            begun = at
        elif not leads and begun is not None:
            found.append(Primary(name, begun, at))
            begun = None
    return found if begun is None else [*found, Primary(name, begun, until)]


def beside_another(primaries: Sequence[Primary]) -> Iterable[tuple[float, float, str, str]]:
    """Two servers that took themselves for the primary: since when, for how many seconds, and which.

    No proof of harm: one that nobody demotes, as its Patroni hangs, is one of them, and its commits wait for
    standbys that follow the other.
    """
    for one, other in combinations(sorted(primaries, key=lambda it: it.begun), 2):
        begun, ended = max(one.begun, other.begun), min(one.ended, other.ended)
        if one.name != other.name and ended > begun:
            yield begun, ended - begun, one.name, other.name


def _moment(second: str, fraction: str) -> float:
    at = datetime.strptime(f"{second}.{fraction}", "%Y-%m-%d %H:%M:%S.%f")
    return at.replace(tzinfo=UTC).timestamp()
