"""The kinds of value a stack definition is made of: each parses one value, faults it, and describes itself.

`schema` arranges them into the table of keys, `reading` walks input along that table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SlipwayError
from ..stack.model_rollout import Portion
from ..wording import did_you_mean, listed, shown, type_of

REQUIRED = object()
LONGEST = 4096


@dataclass(frozen=True)
class Text:
    """Text of a form: a pattern for the machine, and what it says to a reader."""

    pattern: str
    form: str
    example: str
    blank = ""

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            raise SlipwayError(f"is {shown(value)}, not text", f"Write {self.form}, like {self.example}")
        if len(value) > LONGEST or not re.fullmatch(self.pattern, value):
            raise SlipwayError(f"is {shown(value)}, not {self.form}", f"Write it like {self.example}")
        return value

    def __str__(self) -> str:
        return self.form


@dataclass(frozen=True)
class Integer:
    low: int
    high: int
    blank = 0

    def parse(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SlipwayError(f"is {shown(value)}, not a whole number", f"Write {self}, without quotes")
        if not self.low <= value <= self.high:
            raise SlipwayError(f"is {shown(value)}, out of range", f"Write {self}")
        return value

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    low: float
    high: float
    blank = 0.0

    def parse(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SlipwayError(f"is {shown(value)}, not a number", f"Write {self}, without quotes")
        if not self.low <= value <= self.high:
            raise SlipwayError(f"is {shown(value)}, out of range", f"Write {self}")
        return float(value)

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Boolean:
    blank = False

    def parse(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise SlipwayError(f"is {shown(value)}, not {self}", "Write true or false, without quotes")
        return value

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Amount:
    """A number that carries its unit, read into the smallest one."""

    noun: str
    units: Mapping[str, int]
    low: str
    high: str
    blank = 0

    def parse(self, value: object) -> int:
        units = "|".join(self.units)
        match = re.fullmatch(rf"[0-9]{{1,12}}(?:{units})", value) if isinstance(value, str) else None
        if match is None:
            raise SlipwayError(f"is {shown(value)}, not {self.noun} with a unit", f"Write {self}")
        if not self._smallest(self.low) <= self._smallest(match[0]) <= self._smallest(self.high):
            raise SlipwayError(f"is {shown(value)}, out of range", f"Write {self}")
        return self._smallest(match[0])

    def _smallest(self, text: str) -> int:
        number = text.rstrip("".join(self.units))
        return int(number) * self.units[text.removeprefix(number)]

    def __str__(self) -> str:
        *first, last = self.units
        return f"{self.noun} from {self.low} to {self.high} (units: {', '.join(first)} and {last})"


def size(low: str, high: str) -> Amount:
    return Amount("a size", {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}, low, high)


def duration(low: str, high: str) -> Amount:
    """In seconds."""
    return Amount("a duration", {"s": 1, "m": 60, "h": 3600, "d": 86400}, low, high)


def latency(low: str, high: str) -> Amount:
    """In milliseconds."""
    return Amount("a duration", {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}, low, high)


@dataclass(frozen=True)
class ReplicaCount:
    """A number of replicas, or a percentage of them."""

    high: int
    blank = Portion(0)

    def parse(self, value: object) -> Portion:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}%", value) and int(value[:-1]) <= 100:
            return Portion(int(value[:-1]), percent=True)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= self.high:
            raise SlipwayError(f"is {shown(value)}, not {self}", f"Write {self}")
        return Portion(value)

    def __str__(self) -> str:
        return f"a number of replicas from 0 to {self.high}, or a percentage from 0% to 100%"


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]
    blank = ""

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.values:
            meant = did_you_mean(value, self.values)
            raise SlipwayError(f"is {shown(value)}, not {self}", f"{meant}Write {self}")
        return value

    def __str__(self) -> str:
        return f"one of {listed(self.values)}"


@dataclass(frozen=True)
class Mode:
    """`off`, which YAML 1.1 reads as false, or one of these."""

    values: tuple[str, ...]
    blank = ""

    def parse(self, value: object) -> str:
        return "off" if value is False else Choice(("off", *self.values)).parse(value)

    def __str__(self) -> str:
        return str(Choice(("off", *self.values)))


@dataclass(frozen=True)
class Scalar:
    """Anything that fits one environment variable or setting; numbers and booleans become text."""

    true: str
    false: str
    blank = ""

    def parse(self, value: object) -> str:
        if isinstance(value, bool):
            return self.true if value else self.false
        if isinstance(value, str) and all(letter.isprintable() or letter in "\n\t" for letter in value):
            return value
        if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 10**18:
            return str(value)
        # The value itself stays unsaid: it may be a secret in the wrong place.
        raise SlipwayError(f"is {type_of(value)}, which no variable can hold", f"Write {self}")

    def __str__(self) -> str:
        return "text, a number, true or false"


@dataclass(frozen=True)
class ListOf:
    item: Kind
    least: int = 0
    distinct: bool = False
    blank = ()

    def __str__(self) -> str:
        return f"a list, each entry {self.item}"


@dataclass(frozen=True)
class Key:
    """One key of a table, its default as a user writes it. `computed` says what an absent one means."""

    kind: Kind
    doc: str
    default: object = REQUIRED
    computed: str = ""


@dataclass(frozen=True)
class Table:
    """A mapping with known keys. `false` in its place switches a part off, where that is allowed."""

    title: str
    keys: Mapping[str, Key]
    may_be_off: bool = False

    def __str__(self) -> str:
        few = listed(list(self.keys)[:4]) + (" …" if len(self.keys) > 4 else "")
        return f"a table with the keys {few}" + (", or false" if self.may_be_off else "")


@dataclass(frozen=True)
class Entries:
    """A mapping whose keys are the user's own names."""

    name: Text
    item: Kind
    least: int = 0

    def __str__(self) -> str:
        of = f"{self.item.title}s" if isinstance(self.item, Table) else str(self.item)
        return f"a table from {self.name} to {of}"


Leaf = Text | Integer | Number | Boolean | Amount | ReplicaCount | Choice | Mode | Scalar
Kind = Leaf | ListOf | Table | Entries
