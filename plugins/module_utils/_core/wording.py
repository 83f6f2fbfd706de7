"""How values and names of the user's input are put into a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word, or nothing."""
    close = difflib.get_close_matches(plain(word).lower(), list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}? " if close else ""


def listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


def plain(value: object) -> str:
    """A key as it can stand in a path."""
    text = value if isinstance(value, str) else shown(value)
    return _printable(text)[:60]


def shown(value: object) -> str:
    """A leaf as the user wrote it, short enough for a line; a container by its type alone."""
    if isinstance(value, str):
        return f'"{_printable(value[:60])}{"…" if len(value) > 60 else ""}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
        return str(value)
    return type_of(value)


def type_of(value: object) -> str:
    if value is None:
        return "empty"
    # In this order: a boolean is a number to Python, and text is a sequence.
    words = {bool: "a boolean", str: "text", int: "a number", float: "a number", bytes: "bytes"}
    words |= {Mapping: "a table", Sequence: "a list"}
    return next(
        (word for kind, word in words.items() if isinstance(value, kind)), f"a {type(value).__name__}"
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
