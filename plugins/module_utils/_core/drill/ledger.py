"""A write ledger: what was acknowledged, and whether it is there once, twice or not at all.

Pure part. Every write carries an idempotency key and a mark that nobody else uses (`Write`). The key makes it
safe to send a write again whose fate is unknown; the mark finds rows that a key alone would not tell apart.
"""

from __future__ import annotations

import http
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SlipwayError

ACKNOWLEDGED = "acknowledged"
REFUSED = "refused"
# The edge or the network turned it away before the application could see it.
NOT_SENT = "not sent"
# It may have been committed: a timeout, a connection that broke, an error of the server.
UNKNOWN = "unknown"

# Seconds between two acknowledgements from which on writes count as interrupted.
INTERRUPTED = 1.0


@dataclass(frozen=True)
class Write:
    """One write of a run: number `seq` from 0."""

    run: str
    seq: int

    @property
    def key(self) -> str:
        return f"ledger:{self.run}:{self.seq}"

    @property
    def mark(self) -> str:
        """Stands in the written row itself."""
        return f"Ledger {self.run} {self.seq}"


def fate(status: int) -> str:
    """What an HTTP answer says of a write.

    429 comes from the edge, before the application. 408 and every 5xx leave open whether it was committed:
    the application's own 503 may follow a COMMIT whose answer was lost.
    """
    if status in (http.HTTPStatus.OK, http.HTTPStatus.CREATED):
        return ACKNOWLEDGED
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return NOT_SENT
    if status == http.HTTPStatus.REQUEST_TIMEOUT or not 400 <= status < 500:
        return UNKNOWN
    return REFUSED


@dataclass(frozen=True)
class Acknowledgement:
    """`at`: seconds since the epoch. `row`: id of the row as the application named it. `tries`: 1 or more."""

    seq: int
    at: float
    row: str
    tries: int


@dataclass(frozen=True)
class Reads:
    """What was read beside the writes. `at`: when each was answered. `failed`: how often not, by reason."""

    at: tuple[float, ...]
    failed: Mapping[str, int]


@dataclass(frozen=True)
class Ledger:
    """What a ledger's file tells. `marks`: (time, text) of faults. `session`: the cookie of its writes.

    `reads`: None where nobody read, as in ledgers of before there were readers.
    """

    run: str
    session: str
    begun: float
    ended: float
    acknowledged: tuple[Acknowledgement, ...]
    given_up: tuple[int, ...]
    refused: Mapping[str, int]
    retries: Mapping[str, int]
    marks: tuple[tuple[float, str], ...]
    reads: Reads | None


def read(events: Iterable[Mapping[str, Any]]) -> Ledger:
    """The ledger that a file's lines tell, in their order; raises when it does not begin with its head."""
    told = list(events)
    if not told or told[0].get("event") != "begun":
        raise SlipwayError(
            "the file is no ledger: it has no head", "Name a file that `ledger write` has begun"
        )
    head, last = told[0], told[-1]
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for event in told:
        by_kind.setdefault(str(event["event"]), []).append(event)
    acknowledged = [
        Acknowledgement(int(it["seq"]), float(it["at"]), str(it["row"]), int(it["tries"]))
        for it in by_kind.get("acknowledged", ())
    ]
    return Ledger(
        run=str(head["run"]),
        session=str(head["session"]),
        begun=float(head["at"]),
        ended=float(last["at"]),
        acknowledged=tuple(sorted(acknowledged, key=lambda it: it.at)),
        given_up=tuple(int(it["seq"]) for it in by_kind.get("given up", ())),
        refused=Counter(str(it["why"]) for it in by_kind.get("refused", ())),
        retries=Counter(f"{it['fate']}: {it['why']}" for it in by_kind.get("again", ())),
        marks=tuple((float(it["at"]), str(it["text"])) for it in by_kind.get("mark", ())),
        reads=_reads(by_kind) if head.get("reads") else None,
    )


def _reads(by_kind: Mapping[str, Sequence[Mapping[str, Any]]]) -> Reads:
    return Reads(
        at=tuple(sorted(float(it["at"]) for it in by_kind.get("read", ()))),
        failed=Counter(str(it["why"]) for it in by_kind.get("read failed", ())),
    )


@dataclass(frozen=True)
class Row:
    """A row that carries this run's mark, as the application returns it."""

    id: str
    mark: str
    key: str


@dataclass(frozen=True)
class Proof:
    """Numbers of writes. `lost` and `altered` were acknowledged, `duplicated` may not have been.

    `unacknowledged`: present, though nobody was promised them; no fault, for their fate was unknown.
    """

    present: tuple[int, ...]
    lost: tuple[int, ...]
    duplicated: tuple[int, ...]
    altered: tuple[int, ...]
    unacknowledged: tuple[int, ...]

    @property
    def ok(self) -> bool:
        return not (self.lost or self.duplicated or self.altered)


def prove(ledger: Ledger, rows: Sequence[Row]) -> Proof:
    """Compare what was acknowledged with what is there.

    A write is altered when its row has another id or key than the acknowledged one: it was lost and made
    anew, or something else has taken its place. A duplicate of an unacknowledged write is one all the same.
    """
    found: dict[int, list[Row]] = {}
    prefix = Write(ledger.run, 0).mark.removesuffix("0")
    for row in rows:
        number = row.mark.removeprefix(prefix)
        if row.mark.startswith(prefix) and number.isdecimal():
            found.setdefault(int(number), []).append(row)
    promised = {it.seq: it for it in ledger.acknowledged}

    def altered(seq: int) -> bool:
        (row,) = found[seq]
        return (row.id, row.key) != (promised[seq].row, Write(ledger.run, seq).key)

    once = [seq for seq in promised if len(found.get(seq, ())) == 1]
    return Proof(
        present=tuple(sorted(seq for seq in once if not altered(seq))),
        lost=tuple(sorted(seq for seq in promised if seq not in found)),
        duplicated=tuple(sorted(seq for seq, its in found.items() if len(its) > 1)),
        altered=tuple(sorted(seq for seq in once if altered(seq))),
        unacknowledged=tuple(sorted(found.keys() - promised.keys())),
    )
