"""One migration file: what it declares of itself, its statements, and why it may not be run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from ..errors import Problem
from ..postgresql import sql
from ..postgresql.sql import Fault, Statement
from ..wording import did_you_mean
from .migration_rules import ALLOWABLE

NO_TRANSACTION = "no-transaction"
REPEATABLE = "repeatable"
EXPAND = "expand"
CONTRACT = "contract"
ALLOW = "allow"
DIRECTIVES = (NO_TRANSACTION, REPEATABLE, EXPAND, CONTRACT)
_MARK = "-- slipway:"


@dataclass(frozen=True)
class Script:
    """What one file says: its directives, the rules it may break, and its statements in order."""

    file: str
    directives: frozenset[str]
    allowed: frozenset[str]
    statements: tuple[Statement, ...]
    problems: tuple[Problem, ...]

    @property
    def transactional(self) -> bool:
        return NO_TRANSACTION not in self.directives

    @property
    def repeatable(self) -> bool:
        return REPEATABLE in self.directives

    @property
    def kind(self) -> str:
        """Whether the release that went before can live with it (`expand`), or only the one it came with."""
        return CONTRACT if CONTRACT in self.directives else EXPAND


def kind(text: str) -> str:
    """The same, without reading further than the opening lines."""
    return CONTRACT if CONTRACT in _directives(text)[0] else EXPAND


@lru_cache(maxsize=64)
def script(file: str, text: str) -> Script:
    """Read a file completely; everything wrong with it is in `problems`, addressed by line."""
    directives, allowed = _directives(text)
    found = sql.statements(text)
    if isinstance(found, Fault):
        fault = Problem(f"{file}:{found.line}", found.problem, "Correct the file; migrations are plain SQL")
        return Script(file, directives, allowed, (), (fault,))
    problems = _unknown(file, directives, allowed)
    if not found:
        problems.append(
            Problem(file, "holds no statement", "Write its SQL, or `SELECT 1;` where nothing is to be done")
        )
    for statement in found:
        problems += _refused(file, statement, NO_TRANSACTION not in directives)
    return Script(file, directives, allowed, tuple(found), tuple(problems))


def _directives(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Directives stand in the comment lines a file opens with; what follows `allow` in a line are rules."""
    opening = takewhile(lambda line: line.startswith("--") or not line.strip(), text.splitlines())
    directives: set[str] = set()
    allowed: set[str] = set()
    for line in (line.removeprefix(_MARK) for line in opening if line.startswith(_MARK)):
        words = line.replace(",", " ").split()
        end = words.index(ALLOW) if ALLOW in words else len(words)
        directives.update(words[:end])
        allowed.update(words[end + 1 :])
    return frozenset(directives), frozenset(allowed)


def _unknown(file: str, directives: frozenset[str], allowed: frozenset[str]) -> list[Problem]:
    problems = []
    for directive in sorted(directives - set(DIRECTIVES)):
        known = (*DIRECTIVES, ALLOW)
        remedy = f"{did_you_mean(directive, known)}Known are {', '.join(known)}"
        problems.append(Problem(file, f"`{_MARK} {directive}` is not a known directive", remedy))
    for rule in sorted(allowed - ALLOWABLE):
        remedy = f"{did_you_mean(rule, ALLOWABLE)}Those are listed in docs/releases.md"
        problems.append(Problem(file, f"`{_MARK} {ALLOW} {rule}` names no rule that can be allowed", remedy))
    if {EXPAND, CONTRACT} <= directives:
        problems.append(Problem(file, "says both expand and contract", "Keep one, or split the file"))
    return problems


def _refused(file: str, statement: Statement, transactional: bool) -> list[Problem]:
    where = f"{file}:{statement.line}"
    shown = " ".join(statement.words[:3])
    if _controls_transaction(statement.words):
        remedy = (
            f"Remove it: the file is committed as a whole, or by statement with `{_MARK} {NO_TRANSACTION}`"
        )
        return [Problem(where, f"{shown} ends or begins a transaction", remedy)]
    if _changes_session(statement.words):
        remedy = "Remove it: a migration runs as the database's owner, whom its objects are to belong to"
        return [Problem(where, f"{shown} changes the session's role", remedy)]
    if _reads_client(statement.words):
        remedy = "Use INSERT; there is no input beside the file itself"
        return [Problem(where, "COPY FROM STDIN needs data from a client", remedy)]
    if transactional and _needs_no_transaction(statement.words):
        remedy = f"Put it in a file of its own whose first line is `{_MARK} {NO_TRANSACTION}`"
        return [Problem(where, f"{shown} cannot run inside a transaction", remedy)]
    return []


def _controls_transaction(words: tuple[str, ...]) -> bool:
    if words[:1] == ("ROLLBACK",):
        return "TO" not in words[:3]
    return words[:1] in (("BEGIN",), ("COMMIT",), ("END",), ("ABORT",)) or words[:2] in (
        ("START", "TRANSACTION"),
        ("PREPARE", "TRANSACTION"),
    )


def _changes_session(words: tuple[str, ...]) -> bool:
    if words[:1] == ("DISCARD",):
        return True
    if words[:1] not in (("SET",), ("RESET",)):
        return False
    rest = (
        words[2:]
        if words[1:2] in (("LOCAL",), ("SESSION",)) and words[1:3] != ("SESSION", "AUTHORIZATION")
        else words[1:]
    )
    return rest[:1] == ("ROLE",) or rest[:2] == ("SESSION", "AUTHORIZATION")


def _reads_client(words: tuple[str, ...]) -> bool:
    return words[:1] == ("COPY",) and ("FROM", "STDIN") in zip(words, words[1:], strict=False)


def _needs_no_transaction(words: tuple[str, ...]) -> bool:
    if "CONCURRENTLY" in words:
        return words[0] != "REFRESH"
    return (
        words[:1] == ("VACUUM",)
        or words == ("CLUSTER",)
        or words[:2]
        in (
            ("ALTER", "SYSTEM"),
            ("CREATE", "DATABASE"),
            ("DROP", "DATABASE"),
            ("CREATE", "TABLESPACE"),
            ("DROP", "TABLESPACE"),
            ("CREATE", "SUBSCRIPTION"),
            ("DROP", "SUBSCRIPTION"),
            ("REINDEX", "DATABASE"),
            ("REINDEX", "SYSTEM"),
            ("REINDEX", "SCHEMA"),
        )
    )
