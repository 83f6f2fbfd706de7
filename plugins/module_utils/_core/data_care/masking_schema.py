"""What a schema says in sentences of its own: texts of its dump in which a person's data could stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..postgresql import sql

# As pg_dump begins each object.
_OBJECT = re.compile(r"^-- Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: ", re.MULTILINE)


def texts(dump: str) -> Iterator[tuple[str, str]]:
    """Each text that stands in a schema, and the object whose it is.

    These are constants (of defaults, checks, views, policies, bounds of partitions), words of enums, and in
    bodies of functions comments, too. Names of things are none.
    """
    begins = list(_OBJECT.finditer(dump))
    ends = [match.start() for match in begins[1:]] + [len(dump)]
    for match, end in zip(begins, ends, strict=True):
        # Its first line ends with its schema and owner.
        body = dump[dump.find("\n", match.end()) : end]
        for text in sql.texts(body):
            yield f"{match['type'].lower()} {match['name']}", text
