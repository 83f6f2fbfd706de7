"""What the statements of a migration mean for a release: which the one that serves cannot live with, and
which hold up its requests.

squawk, a linter for PostgreSQL, reads the SQL and names its findings; here stands what each of them means.
Its rules of style are not asked.
"""

from __future__ import annotations

# Whoever needed it before fails afterwards: never in an expand.
BREAKING = frozenset(
    {
        "adding-not-nullable-field",
        "adding-required-field",
        "ban-drop-column",
        "ban-drop-database",
        "ban-drop-default",
        "ban-drop-domain",
        "ban-drop-extension",
        "ban-drop-schema",
        "ban-drop-sequence",
        "ban-drop-table",
        "ban-drop-type",
        "ban-set-schema",
        "ban-truncate-cascade",
        "changing-column-type",
        "renaming-column",
        "renaming-object",
        "renaming-table",
    }
)
# The same, unless the file puts something as good in its place, which only its author can know.
REPLACING = frozenset(
    {
        "ban-drop-constraint",
        "ban-drop-function",
        "ban-drop-not-null",
        "ban-drop-trigger",
        "ban-drop-view",
        "ban-revoke",
    }
)
# Reads or writes of a table wait for as long as it takes to read or rewrite all of it.
BLOCKING = frozenset(
    {
        "adding-field-with-default",
        "adding-foreign-key-constraint",
        "adding-not-nullable-field",
        "adding-serial-primary-key-field",
        "changing-column-type",
        "constraint-missing-not-valid",
        "disallowed-unique-constraint",
        "require-concurrent-index-creation",
        "require-concurrent-index-deletion",
        "require-concurrent-partition-detach",
        "require-concurrent-reindex",
    }
)
UNREADABLE = "syntax-error"
ALLOWABLE = REPLACING | BLOCKING | {UNREADABLE}
