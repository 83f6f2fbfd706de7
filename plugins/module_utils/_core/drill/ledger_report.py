"""How long writes and reads were interrupted and how much was lost, from what a ledger tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .ledger import INTERRUPTED, Ledger, Proof

# Writes that go on for so many seconds are back: a later gap has a cause of its own.
STEADY = 10.0


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledgement, or an answer to a read, in seconds since the epoch."""

    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def gaps(ledger: Ledger, least: float = INTERRUPTED) -> list[Gap]:
    """Every time longer than `least` seconds without an acknowledgement, from the ledger's begin to its end.

    What interrupts writes for less, or for less than the pause between two writes, is not seen.
    """
    return _between(ledger, [it.at for it in ledger.acknowledged], least)


def read_gaps(ledger: Ledger, least: float = INTERRUPTED) -> list[Gap]:
    """Every time longer than `least` seconds in which no read was answered, as with writes."""
    return _between(ledger, ledger.reads.at, least) if ledger.reads else []


def _between(ledger: Ledger, moments: Sequence[float], least: float) -> list[Gap]:
    every = [ledger.begun, *moments, ledger.ended]
    found = [Gap(one, other) for one, other in zip(every, every[1:], strict=False)]
    return [gap for gap in found if gap.seconds > least]


@dataclass(frozen=True)
class Recovery:
    """After one fault: seconds until writes were acknowledged without interruption again; None: never."""

    fault: str
    at: float
    seconds: float | None


def recoveries(ledger: Ledger, found: Sequence[Gap], least: float = INTERRUPTED) -> list[Recovery]:
    """RTO of each mark: the end of its last gap before writes went on for STEADY seconds, or the next mark.

    What interrupts writes later (a host that joins again, say) is no part of it; it stands among the gaps.
    A gap that begins less than `least` seconds before the next mark is the next one's: the pause between two
    writes lies before it.
    """
    told = []
    for number, (at, fault) in enumerate(ledger.marks):
        until = ledger.marks[number + 1][0] if number + 1 < len(ledger.marks) else float("inf")
        end = at
        for gap in (it for it in found if it.ended > at and it.begun < until - least):
            if gap.begun - end < STEADY:
                end = gap.ended
        never = end > at and end >= ledger.ended and not _acknowledged_at(ledger, end)
        told.append(Recovery(fault, at, None if never else round(end - at, 3)))
    return told


def data_lost(ledger: Ledger, proof: Proof) -> float:
    """RPO in seconds: from the first lost acknowledgement to the last moment in which one was lost."""
    times = [it.at for it in ledger.acknowledged if it.seq in set(proof.lost)]
    return round(max(times) - min(times), 3) if times else 0.0


def report(ledger: Ledger, proof: Proof | None, least: float = INTERRUPTED) -> dict[str, Any]:
    """All figures, as JSON can hold them: seconds, counts, UTC times."""
    found = gaps(ledger, least)
    longest = max(found, key=lambda gap: gap.seconds, default=None)
    figures: dict[str, Any] = {
        "run": ledger.run,
        "begun": _moment(ledger.begun),
        "seconds": round(ledger.ended - ledger.begun, 3),
        "acknowledged": len(ledger.acknowledged),
        "first_try": sum(it.tries == 1 for it in ledger.acknowledged),
        "given_up": len(ledger.given_up),
        "refused": dict(ledger.refused),
        "retries": dict(ledger.retries),
        "interrupted_above": least,
        "longest_gap": round(longest.seconds, 3) if longest else 0.0,
        "longest_gap_at": _moment(longest.begun) if longest else "",
        "interrupted": round(sum(gap.seconds for gap in found), 3),
        "gaps": [{"at": _moment(gap.begun), "seconds": round(gap.seconds, 3)} for gap in found],
        "faults": [
            {"what": it.fault, "at": _moment(it.at), "rto": it.seconds}
            for it in recoveries(ledger, found, least)
        ],
        **_reads(ledger, least),
    }
    if proof:
        figures |= {
            "ok": proof.ok and bool(ledger.acknowledged),
            "present": len(proof.present),
            "lost": len(proof.lost),
            "lost_writes": list(proof.lost),
            "duplicated": len(proof.duplicated),
            "duplicated_writes": list(proof.duplicated),
            "altered": len(proof.altered),
            "unacknowledged_present": len(proof.unacknowledged),
            "rpo": data_lost(ledger, proof),
        }
    return figures


def _reads(ledger: Ledger, least: float) -> dict[str, Any]:
    """reads: how many were answered; None: nobody read, and nothing is known of them."""
    found = read_gaps(ledger, least)
    longest = max(found, key=lambda gap: gap.seconds, default=None)
    return {
        "reads": len(ledger.reads.at) if ledger.reads else None,
        "reads_failed": dict(ledger.reads.failed) if ledger.reads else {},
        # An answer after the last gap: the ledger's end is no answer.
        "reads_back": not found or found[-1].ended < ledger.ended,
        "longest_read_gap": round(longest.seconds, 3) if longest else 0.0,
        "longest_read_gap_at": _moment(longest.begun) if longest else "",
        "read_gaps": [{"at": _moment(gap.begun), "seconds": round(gap.seconds, 3)} for gap in found],
    }


def sentences(figures: dict[str, Any]) -> list[str]:
    """The report as an operator reads it."""
    told = [
        f"{figures['acknowledged']} writes acknowledged in {figures['seconds']:.1f} s, "
        f"{figures['first_try']} at the first try, {figures['given_up']} given up",
    ]
    again = figures["retries"]
    if again:
        told.append(
            "Sent again, always with the same idempotency key: "
            + ", ".join(f"{count} x {why}" for why, count in again.items())
        )
    if figures["refused"]:
        told.append(
            "Refused, not sent again: " + ", ".join(f"{n} x {why}" for why, n in figures["refused"].items())
        )
    longest = f"the longest {figures['longest_gap']:.2f} s, at {figures['longest_gap_at']}"
    told.append(
        f"Interrupted for more than {figures['interrupted_above']:g} s: {len(figures['gaps'])} times, "
        f"{figures['interrupted']:.2f} s in all{f', {longest}' if figures['gaps'] else ''}"
    )
    if figures["reads"] is not None:
        told.append(reading(figures))
    for fault in figures["faults"]:
        rto = "writes did not come back" if fault["rto"] is None else f"RTO {fault['rto']:.2f} s"
        told.append(f"{fault['what']} at {fault['at']}: {rto}")
    if "ok" in figures:
        told.append(
            f"{figures['present']} present once, {figures['lost']} LOST, {figures['duplicated']} DUPLICATED, "
            f"{figures['altered']} altered; RPO {figures['rpo']:g} s; besides "
            f"{figures['unacknowledged_present']} present that were never acknowledged"
        )
    return told


def reading(figures: Mapping[str, Any]) -> str:
    """What came of the reads, in one sentence."""
    failed = figures["reads_failed"]
    why = ", ".join(f"{count} x {reason}" for reason, count in failed.items())
    longest = f"never more than {figures['interrupted_above']:g} s without one"
    if figures["read_gaps"]:
        longest = f"{figures['longest_read_gap']:.2f} s without one, at {figures['longest_read_gap_at']}"
    return (
        f"{figures['reads']} reads answered, {sum(failed.values())} failed{f' ({why})' if why else ''}, "
        f"{longest}{'' if figures['reads_back'] else ': THEY DID NOT COME BACK'}"
    )


def _acknowledged_at(ledger: Ledger, moment: float) -> bool:
    return any(it.at == moment for it in ledger.acknowledged)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
