"""Databases that a copy makes beside the one it is of, and whose names no stack may use."""

from __future__ import annotations

# Of these letters of a name; with what is added it must not be longer than PostgreSQL's names.
KEPT = 48
SUFFIX = "_clone"


def beside(database: str) -> str:
    """Where the copy is restored to."""
    return f"{database[:KEPT]}{SUFFIX}"


def before(database: str) -> str:
    """Where what it has replaced is kept until the next copy."""
    return f"{database[:KEPT]}_before{SUFFIX}"
