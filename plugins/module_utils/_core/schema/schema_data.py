"""The part of the schema that says how data are cared for."""

from __future__ import annotations

from ..data_care.masking import KEEP, PUBLIC, RULES
from .forms import DATABASE, FILE, TIME_OF_DAY
from .kinds import Boolean, Choice, Entries, Key, ListOf, Table, Text, duration

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_$]{0,62}"
TABLE = Text(
    rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})?",
    "a table's name, with its schema where that is not public",
    "bookings",
)
COLUMN = Text(_IDENTIFIER, "a column's name", "passenger")

RETENTION = Table(
    "retention rule",
    {
        "table": Key(TABLE, "Table to delete from."),
        "column": Key(COLUMN, "Column of a date or time that says how old a row is; best one with an index."),
        "keep": Key(duration("1d", "36500d"), "How long a row is kept.", "365d"),
        "cascades": Key(
            ListOf(TABLE),
            "Tables of which rows go along, however young, because they refer to these with "
            "`ON DELETE CASCADE`; one that does and is not listed keeps the rule from deleting anything.",
            [],
        ),
    },
)

SUBJECT = Table(
    "subject",
    {
        "export": Key(
            FILE,
            "SQL file with one query: all that is held of the person whom "
            "`current_setting('slipway.subject')` names.",
            None,
        ),
        "erase": Key(FILE, "SQL file with the statements that erase it, which run as one transaction.", None),
    },
)

DATABASE_CARE = Table(
    "database",
    {
        "masking": Key(
            Entries(TABLE, Entries(COLUMN, Choice(RULES))),
            "What becomes of columns in a copy for another environment, by table and column: `hash`, the "
            "same for the same value; `fake_name`; `fake_email`; `empty`, NULL where that may be; `keep`, as "
            "it is, and searched for what was masked; `public`, as it is, and not searched. Every column "
            "that can hold text needs one.",
            {},
        ),
        "schema": Key(
            Choice((KEEP, PUBLIC)),
            "What becomes of texts in the schema, as `DEFAULT`, `CHECK`, enums, views and functions have "
            "them: `keep`, as they are, and searched for what was masked; `public`, as they are, and not "
            "searched.",
            KEEP,
        ),
        "retention": Key(ListOf(RETENTION), "Rows that are deleted when they are old, in this order.", []),
        "subject": Key(SUBJECT, "How a person's data are exported and erased.", {}),
    },
)

DATA = Table(
    "data",
    {
        "protected": Key(
            Boolean(),
            "Whether no copy of another environment may replace its databases.",
            None,
            "true where the environment is called prod, production or live, alone or as a part of the name",
        ),
        "retention_at": Key(
            TIME_OF_DAY, "When old rows are deleted, with up to 15 minutes of jitter.", "04:30"
        ),
        "databases": Key(Entries(DATABASE, DATABASE_CARE), "By the name of a service's `database`.", {}),
    },
)
