"""What a stack declares of the data it holds: what is masked in copies, kept how long, whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Retention:
    """Rows of a table whose `column`, a time, is older than `keep` seconds are deleted.

    cascades: tables of which rows may go along.
    """

    table: str
    column: str
    keep: int
    cascades: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """SQL files, on the control node: one query of all that is held of a person, and what erases it."""

    export: str | None
    erase: str | None


@dataclass(frozen=True)
class DatabaseCare:
    """masking: table -> column -> rule, as `masking.RULES` has them. schema: of these `keep` or `public`."""

    masking: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    retention: tuple[Retention, ...] = ()
    subject: Subject = Subject(None, None)
    schema: str = "keep"


@dataclass(frozen=True)
class Data:
    """protected: whether no copy may replace its databases; None: the environment's name decides."""

    protected: bool | None = None
    retention_at: str = "04:30"
    databases: Mapping[str, DatabaseCare] = field(default_factory=dict)
