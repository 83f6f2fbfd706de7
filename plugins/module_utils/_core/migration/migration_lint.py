"""Judges one migration file before it is released; squawk, a linter for PostgreSQL, reads the SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Problem, SlipwayError
from ..run import Run
from ..stack.postgres_version import OLDEST
from .migration_file import CONTRACT, Script
from .migration_rules import BLOCKING, BREAKING, REPLACING, UNREADABLE

# squawk's own word for "look away" is not read: a file says what it may do in one way, and for the log.
_LOOK_AWAY = "squawk-ignore"
# What the oldest version takes, all take.
_POSTGRES = str(OLDEST)
# Rules that squawk knows and does not apply unless asked to.
_ASKED_FOR = "ban-drop-extension,ban-drop-trigger,ban-revoke,require-concurrent-partition-detach"


@dataclass(frozen=True)
class Finding:
    """What squawk says of one statement; `line` counts from 1."""

    line: int
    rule: str
    message: str
    help: str


def findings(run: Run, squawk: str, text: str, transactional: bool) -> list[Finding]:
    """Ask squawk about the text of one file."""
    argv = [squawk, "--reporter", "json", "--pg-version", _POSTGRES, "--include", _ASKED_FOR]
    argv += ["--stdin-filepath", "migration.sql", *(["--assume-in-transaction"] if transactional else [])]
    code, out, err = run(argv, stdin=text.replace(_LOOK_AWAY, _LOOK_AWAY.replace("-", " ")))
    try:
        return [_finding(row) for row in json.loads(out)]
    except (ValueError, KeyError, TypeError) as error:
        told = err.strip() or out.strip() or f"exit status {code}"
        raise SlipwayError(
            f"{squawk} did not judge a migration: {told.splitlines()[0]}",
            "Install the pinned version: scripts/setup",
        ) from error


def judged(script: Script, found: Iterable[Finding]) -> list[Problem]:
    """What stands in the way of releasing a file, addressed by line."""
    worth = {UNREADABLE} | BLOCKING | (set() if script.kind == CONTRACT else BREAKING | REPLACING)
    return [_problem(script, it) for it in found if it.rule in worth and not _allowed(script, it.rule)]


def _allowed(script: Script, rule: str) -> bool:
    """An allowance to block is none to break."""
    return rule in script.allowed and (script.kind == CONTRACT or rule not in BREAKING)


def _problem(script: Script, it: Finding) -> Problem:
    allow = f"say `-- slipway: allow {it.rule}` in the file's opening lines"
    helped = f"{it.help}. " if it.help else ""
    if it.rule == UNREADABLE:
        remedy = f"Correct it; if PostgreSQL takes it all the same, {allow}, and nobody checks the file"
    elif script.kind != CONTRACT and it.rule in BREAKING:
        remedy = (
            "The release that serves may need it until the new one is alone: say `-- slipway: contract` in "
            "the file's opening lines, or put the statement in a file of its own that does"
        )
    elif it.rule in REPLACING:
        remedy = f"If the file puts something in its place that the release that serves can use, {allow}"
    else:
        remedy = f"{helped}Where the table is small enough to wait for, {allow}"
    return Problem(f"{script.file}:{it.line}", f"{it.message} ({it.rule})", remedy)


def _finding(row: dict[str, object]) -> Finding:
    # squawk counts lines from 0.
    return Finding(
        int(str(row["line"])) + 1,
        str(row["rule_name"]),
        _sentence(str(row["message"])),
        _sentence(str(row.get("help") or "")),
    )


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
