"""Release records in words: a line, a table, a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..wording import listed
from .record import RUNNING, Record, StepReport

_HEADER = ("WHEN (UTC)", "WHO", "WHAT", "RELEASE", "OUTCOME", "SECONDS", "SERVICES CHANGED", "ID", "REASON")
_LONGEST_REASON = 100


def outcome(record: Record) -> str:
    return record.outcome.replace("_", " ")


def one_line(record: Record) -> str:
    """`deploy of 3f2a by ann@laptop rolled back after 42 s: error rate 12 % over 1 %`."""
    subject = f"{record.what} of {record.release}" if record.release else record.what
    took = "" if record.seconds is None else f" after {record.seconds:.0f} s"
    reason = f": {_flat(record.reason)}" if record.reason else ""
    verb = "started" if record.outcome == RUNNING else outcome(record)
    return f"{subject} by {record.who}@{record.machine} {verb}{took}{reason}"


def table(records: Sequence[Record]) -> list[str]:
    """Aligned lines, a header first, then the records in the order given."""
    return _aligned([_HEADER, *map(_row, records)])


def page(record: Record) -> list[str]:
    """Everything about one record."""
    facts = {
        "id": record.id,
        "what": record.what,
        "environment": record.environment,
        "stack": record.stack,
        "release": record.release,
        "previous release": record.previous,
        "who": f"{record.who}@{record.machine}",
        "begun": _moment(record.begun),
        "ended": _moment(record.ended),
        "seconds": _seconds(record),
        "revision": record.revision,
        "outcome": outcome(record),
        "reason": _flat(record.reason),
    }
    width = max(map(len, facts))
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts.items() if value]
    return [*lines, *_services(record), *_images(record), *_steps(record.steps)]


def _row(record: Record) -> tuple[str, ...]:
    reason = _flat(record.reason)
    return (
        _moment(record.begun),
        f"{record.who}@{record.machine}",
        record.what,
        record.release or "-",
        outcome(record),
        _seconds(record) or "?",
        listed(record.changed_services),
        record.id,
        reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 1]}…",
    )


def _services(record: Record) -> Iterator[str]:
    for name, service in sorted(record.services.items()):
        yield f"service {name}: {service.strategy or 'no strategy'}{'' if service.plan else ', unchanged'}"
        yield from (f"  {line}" for line in service.plan)


def _images(record: Record) -> Iterator[str]:
    if record.images:
        yield "images:"
        yield from (f"  {name}: {image}" for name, image in sorted(record.images.items()))


def _steps(steps: Sequence[StepReport]) -> Iterator[str]:
    if steps:
        header = ("BEGUN", "ENDED", "SERVICE", "HOST", "VERDICT", "STEP")
        yield from _aligned([header, *map(_step, steps)])


def _step(step: StepReport) -> tuple[str, ...]:
    numbers = ", ".join(f"{name} {_number(value)}" for name, value in step.numbers.items())
    told = "; ".join(part for part in (step.name, numbers, _flat(step.detail)) if part)
    cells = (_moment(step.begun)[11:], _moment(step.ended)[11:], step.service, step.host, step.verdict)
    return (*(cell or "-" for cell in cells), told)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _seconds(record: Record) -> str:
    return "" if record.seconds is None else f"{record.seconds:.0f}"


def _moment(moment: str) -> str:
    return moment[:19].replace("T", " ")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
