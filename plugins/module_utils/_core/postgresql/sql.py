"""Reads SQL text as PostgreSQL's own lexer would: where statements end, and which words lead them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*)
    | (?P<comment>/\*)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_UNFINISHED = {"'": "a text constant", '"': "a quoted name", "$": "a dollar-quoted text", "/": "a comment"}


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon, the line it starts at, and its bare words in capitals."""

    line: int
    text: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """Why a text is not SQL that can be sent: the line and what is wrong there."""

    line: int
    problem: str


@dataclass(frozen=True)
class _Token:
    kind: str
    start: int
    end: int


def statements(text: str) -> list[Statement] | Fault:
    """Split SQL at the semicolons that end a statement, not at those in texts, bodies or parentheses."""
    found: list[Statement] = []
    collector = _Collector(text)
    for token in _tokens(text):
        if token.kind == "fault":
            return Fault(
                _line(text, token.start), f"{_UNFINISHED[text[token.start]]} is opened and never closed"
            )
        if token.kind == "other" and text[token.start] == "\\":
            return Fault(_line(text, token.start), "a backslash outside of a text: psql commands are not SQL")
        if token.kind == "space":
            continue
        if collector.ends_with(token):
            found += collector.take()
        else:
            collector.add(token)
    return found + collector.take()


def texts(script: str, *, comments: bool = False) -> Iterator[str]:
    """What stands in constants; within dollar quotes, which hold bodies of functions, in comments as well."""
    for token in _tokens(script):
        piece = script[token.start : token.end]
        if token.kind == "fault":
            yield piece  # no SQL: all of it is text
        elif token.kind == "space":
            if comments and piece.strip():
                yield piece
        elif token.kind == "text" and piece.startswith("$"):
            edge = piece.index("$", 1) + 1
            yield from texts(piece[edge:-edge], comments=True)
        elif token.kind == "text" and not piece.startswith('"'):
            yield piece[piece.index("'") + 1 : -1].replace("''", "'")


def literal(text: str) -> str:
    """A text constant, whatever `standard_conforming_strings` says."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def name(text: str) -> str:
    """A quoted identifier."""
    return '"' + text.replace('"', '""') + '"'


@dataclass
class _Open:
    """A statement being read: its extent and words, and how deep in parentheses and a body the reader is."""

    start: int
    end: int = 0
    words: list[str] = field(default_factory=list)
    parentheses: int = 0
    body: int = 0

    def enter_or_leave_body(self) -> None:
        """Semicolons between BEGIN ATOMIC and its END belong to a function's body."""
        words = self.words
        if words[0] != "CREATE" or not {"FUNCTION", "PROCEDURE"} & set(words[1:4]):
            return
        if self.body == 0:
            self.body = int(words[-2:] == ["BEGIN", "ATOMIC"])
        elif words[-1] in ("BEGIN", "CASE"):
            self.body += 1
        elif words[-1] == "END":
            self.body -= 1


class _Collector:
    """Puts tokens together to statements, counting lines as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._counted = 0
        self._open: _Open | None = None

    def add(self, token: _Token) -> None:
        self._open = self._open or _Open(token.start)
        piece = self._text[token.start : token.end]
        self._open.end = token.end
        if piece in ("(", ")"):
            self._open.parentheses += 1 if piece == "(" else -1
        if token.kind == "word":
            self._open.words.append(piece.upper())
            self._open.enter_or_leave_body()

    def ends_with(self, token: _Token) -> bool:
        inside = self._open is not None and (self._open.parentheses > 0 or self._open.body > 0)
        return self._text[token.start] == ";" and not inside

    def take(self) -> list[Statement]:
        """What was collected, if anything."""
        done, self._open = self._open, None
        if done is None:
            return []
        self._line += self._text.count("\n", self._counted, done.start)
        self._counted = done.start
        return [Statement(self._line, self._text[done.start : done.end], tuple(done.words))]


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while match := _TOKEN.match(text, position):
        kind, start, end = str(match.lastgroup), match.start(), match.end()
        if kind == "comment":
            kind, end = "space", _comment_end(text, start)
        elif kind == "dollar":
            closing = text.find(match.group(), end)
            kind, end = "text", closing + len(match.group()) if closing >= 0 else -1
        elif kind == "other" and text[start] in "'\"":
            end = -1
        if end < 0:
            yield _Token("fault", start, len(text))
            return
        yield _Token(kind, start, end)
        position = end


def _comment_end(text: str, start: int) -> int:
    """PostgreSQL's block comments nest; -1 where one is never closed."""
    depth, position = 0, start
    while edge := _COMMENT_EDGE.search(text, position):
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
        if depth == 0:
            return position
    return -1


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
