"""What came of a drill: for a terminal, as Markdown, and as a page with a picture. Pure."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..stack.model import Objectives
from . import ledger_report
from .ledger import Ledger

# Of the picture: a bar for each second, as high as writes were acknowledged in it; below, seconds and reads.
_WIDTH, _HEIGHT, _LEFT, _SECONDS, _READS = 960, 200, 40, 24, 16


@dataclass(frozen=True)
class Told:
    """figures: see `ledger_report.report`. whole: seconds from the fault until all was well; None: never."""

    drill: str
    environment: str
    ledger: Ledger
    figures: Mapping[str, Any]
    whole: float | None
    objectives: Objectives
    failures: Sequence[str]

    @property
    def fault(self) -> Mapping[str, Any]:
        fault: Mapping[str, Any] = self.figures["faults"][0]
        return fault

    def to_dict(self) -> dict[str, Any]:
        return {
            "drill": self.drill,
            "environment": self.environment,
            "passed": not self.failures,
            "failures": list(self.failures),
            "whole": self.whole,
            "objectives": asdict(self.objectives),
            **self.figures,
        }


def lines(told: Told) -> list[str]:
    """The result as a run tells it."""
    rto = told.fault["rto"]
    return [
        f"{told.fault['what']} at {told.fault['at']}",
        f"RTO {_after(rto)} (at most {told.objectives.rto} s), "
        f"RPO {told.figures['rpo']:g} s (at most {told.objectives.rpo} s)",
        f"{told.figures['acknowledged']} writes acknowledged: {told.figures['lost']} lost, "
        f"{told.figures['duplicated']} duplicated, {told.figures['altered']} altered",
        f"{ledger_report.reading(told.figures)} (at most {told.objectives.read_gap} s)",
        f"all was well again: {_after(told.whole)}",
    ]


def markdown(told: Told) -> str:
    verdict = "FAILED" if told.failures else "passed"
    rto = told.fault["rto"]
    read, unanswered = told.figures["reads"], sum(told.figures["reads_failed"].values())
    rows = [
        ("time to recovery (RTO)", _after(rto), f"{told.objectives.rto} s"),
        ("acknowledged writes lost (RPO)", f"{told.figures['rpo']:g} s", f"{told.objectives.rpo} s"),
        ("writes lost, duplicated, altered", _losses(told.figures), "0, 0, 0"),
        ("longest time without a write", f"{told.figures['longest_gap']:.1f} s", ""),
        (
            "longest time without a read",
            f"{told.figures['longest_read_gap']:.1f} s, {read} answered, {unanswered} failed",
            f"{told.objectives.read_gap} s",
        ),
        ("until all was well again", _after(told.whole), ""),
    ]
    table = "".join(f"| {what} | {seen} | {most} |\n" for what, seen, most in rows)
    failed = "".join(f"- {failure}\n" for failure in told.failures)
    return (
        f"# Drill {told.drill} on {told.environment}: {verdict}\n\n"
        f"{told.fault['what']}, {told.fault['at']}.\n\n"
        f"| | measured | at most |\n|---|---|---|\n{table}\n"
        + (f"{failed}\n" if failed else "")
        + _gaps("write", told.figures["gaps"], told.figures["interrupted_above"])
        + _gaps("read", told.figures["read_gaps"], told.figures["interrupted_above"])
        + "".join(f"{line}.\n" for line in ledger_report.sentences(dict(told.figures))[:2])
        + f"{ledger_report.reading(told.figures)}.\n"
    )


def _gaps(what: str, gaps: Sequence[Mapping[str, Any]], least: float) -> str:
    listed = "".join(f"- {gap['at']}: {gap['seconds']:.1f} s\n" for gap in gaps)
    return f"Without a {what} for more than {least:g} s:\n\n{listed}\n" if gaps else ""


def page(told: Told) -> str:
    """One file that needs nothing else."""
    verdict, colour = ("failed", "#b3261e") if told.failures else ("passed", "#1b7f3b")
    said = "".join(f"<li>{html.escape(line)}</li>" for line in [*lines(told), *told.failures])
    title = html.escape(f"Drill {told.drill} on {told.environment}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
        "svg{width:100%;height:auto}text{font-size:12px;fill:#555}</style>"
        f'<h1>{title}: <span style="color:{colour}">{verdict}</span></h1>'
        f"{picture(told)}<ul>{said}</ul></html>\n"
    )


def picture(told: Told) -> str:
    """SVG: acknowledged writes of each second, the fault, and how long it was felt; reads as a line below."""
    ledger, at = told.ledger, told.ledger.marks[0][0]
    seconds = max(1, int(ledger.ended - ledger.begun) + 1)
    counts = Counter(int(it.at - ledger.begun) for it in ledger.acknowledged)
    most = max(counts.values(), default=1)
    step = (_WIDTH - _LEFT) / seconds

    def place(moment: float) -> float:
        return round(_LEFT + (moment - ledger.begun) * step, 1)

    def bar(second: int, high: float) -> str:
        place = f'x="{_LEFT + second * step:.1f}" y="{_HEIGHT - high:.1f}"'
        return f'<rect {place} width="{step * 0.9:.1f}" height="{high:.1f}"/>'

    bars = "".join(bar(second, _HEIGHT * count / most) for second, count in sorted(counts.items()))
    shades = _shade(
        place(at), place(at + told.whole if told.whole else ledger.ended), "#e8eefc", "not all well"
    )
    rto = told.fault["rto"]
    if rto != 0:
        shades += _shade(place(at), place(at + rto if rto else ledger.ended), "#fbdcd9", "no or few writes")
    every = next(each for each in (5, 10, 30, 60, 300, 600, 3600) if seconds / each <= 24 or each == 3600)
    marks = "".join(
        f'<text x="{_LEFT + second * step:.1f}" y="{_HEIGHT + 16}">{second - int(at - ledger.begun)} s</text>'
        for second in range(int(at - ledger.begun) % every, seconds, every)
    )
    line = (
        f'<line x1="{place(at)}" x2="{place(at)}" y1="0" y2="{_HEIGHT}" stroke="#b3261e" stroke-width="2"/>'
    )
    box = f"0 0 {_WIDTH} {_HEIGHT + _SECONDS + _READS}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="Writes a second, and reads">{shades}'
        f'<g fill="#2f6fdb">{bars}</g>{line}{marks}<text x="0" y="12">{most}/s</text>'
        f"{_reads(ledger, place)}</svg>"
    )


def _reads(ledger: Ledger, place: Callable[[float], float]) -> str:
    """Green while reads were answered, red where none was."""
    if not ledger.reads:
        return ""

    def stretch(begun: float, ended: float, colour: str) -> str:
        left, wide = place(begun), max(1.0, place(ended) - place(begun))
        where = f'x="{left}" y="{_HEIGHT + _SECONDS}" width="{wide:.1f}" height="{_READS - 4}"'
        return f'<rect {where} fill="{colour}"><title>reads</title></rect>'

    red = (stretch(gap.begun, gap.ended, "#b3261e") for gap in ledger_report.read_gaps(ledger))
    label = f'<text x="0" y="{_HEIGHT + _SECONDS + _READS - 5}">reads</text>'
    return label + stretch(ledger.begun, ledger.ended, "#8ccf9f") + "".join(red)


def _shade(left: float, right: float, colour: str, what: str) -> str:
    place = f'x="{left}" y="0" width="{max(0.0, min(right, _WIDTH) - left):.1f}" height="{_HEIGHT}"'
    return f'<rect {place} fill="{colour}"><title>{what}</title></rect>'


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _losses(figures: Mapping[str, Any]) -> str:
    return ", ".join(str(figures[what]) for what in ("lost", "duplicated", "altered"))
