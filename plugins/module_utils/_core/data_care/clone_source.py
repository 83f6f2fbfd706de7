"""A copy of databases for another environment, masked where the backups are before it leaves that host."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backup.backup_errors import LockedError
from ..backup.backup_repository import Repository
from ..backup.backup_scratch import WITHOUT, Scratch, scratch
from ..backup.backups import newest, on_line
from ..backup.restore_plan import MARGIN
from ..errors import SlipwayError
from ..only_one import only_one
from ..postgresql import sql
from ..run import Run
from . import masking_schema, masking_sql
from .masking import KEEP, MASKING, UUID, Column, Rules, applied, parse_columns

Say = Callable[[str], object]
DAY = 86_400
FOLDER = "state/clone"
_AT_WORK = ("a copy for another environment is being made on this host", "Wait until it has ended")


@dataclass(frozen=True)
class Copy:
    """One masked database, dumped. rows: of each table; bytes: what it takes restored."""

    database: str
    path: str
    sha256: str
    bytes: int
    rows: Mapping[str, int]
    extensions: tuple[str, ...]


class Source:
    """The backups of a stack on their host, as the source of copies. owner: uid that may fetch the dumps."""

    def __init__(
        self,
        repository: Repository,
        root: Path,
        say: Say,
        owner: int = 0,
        volume_options: tuple[str, ...] = (),
    ) -> None:
        self._repository = repository
        self._root = root
        self._say = say
        self._owner = owner
        self._volume_options = volume_options

    def copy(self, rules: Mapping[str, Rules], public: Collection[str] = ()) -> list[Copy]:
        """Restore the newest backup where nobody sees it, mask and check each database, and dump it.

        rules: database -> its rules. public: databases whose schema is not searched. The restored copy is
        gone afterwards, however this ends; so are dumps, unless all is well.
        """
        folder = self._root / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(folder, self._owner, -1)
        source, stanza = self._repository.container, self._repository.stanza
        with only_one(self._root / "state/clone.lock", LockedError(*_AT_WORK)):
            clear(self._root)
            with scratch(self._repository.run, source, stanza, self._volume_options, "clone") as place:
                self._restore(place)
                try:
                    return [
                        self._database(place, name, own, public=name in public) for name, own in rules.items()
                    ]
                except BaseException:
                    clear(self._root)
                    raise

    def _restore(self, place: Scratch) -> None:
        found = self._repository.info().of(1)
        archive = newest(found).archive
        line = self._repository.line(archive, 1, self._repository.files(archive, 1))
        backup = newest(on_line([it for it in found if it.archive == archive], line))
        # Every row of a table is written once more.
        needed, free = 2 * backup.size + MARGIN, place.free()
        if free < needed:
            raise SlipwayError(
                f"the disk is full: {needed >> 20} MB are needed, {free >> 20} MB are free",
                "Make room on the backup host: `df -h /var/lib/docker`",
            )
        self._say(f"restore backup {backup.label}, {backup.size >> 20} MB")
        place.restore(f"--repo={backup.repository}", f"--set={backup.label}")
        place.start(DAY)

    def _database(self, place: Scratch, database: str, rules: Rules, *, public: bool) -> Copy:
        place.ask(masking_sql.FORGET_SERVERS, database)
        masked = Masked(place, database, self._say)
        masked.mask(rules)
        masked.check(public=public)
        rows = masked.settled()
        path = self._root / FOLDER / f"{database}.dump"
        dump(self._repository.run, place.name, database, path)
        # Ansible fetches files as whom it logs in as, not as root.
        os.chown(path, self._owner, -1)
        size = path.stat().st_size / (1 << 20)
        self._say(f"{database}: dumped, {size:.1f} MB for {sum(rows.values())} rows")
        return Copy(
            database,
            str(path),
            digest(path),
            int(place.ask(f"SELECT pg_database_size({sql.literal(database)});")),
            rows,
            tuple(json.loads(place.ask(masking_sql.EXTENSIONS, database))),
        )


def clear(root: Path) -> None:
    """Forget dumps, of this copy or of one that was broken off."""
    for path in (root / FOLDER).glob("*.dump"):
        path.unlink()


class Masked:
    """One database of the restored copy, on its way to be seen by others."""

    def __init__(self, place: Scratch, database: str, say: Say = lambda _line: None) -> None:
        self._place = place
        self._database = database
        self._say = say
        self._rules: dict[Column, str] = {}
        self._columns: list[Column] = []

    def mask(self, rules: Rules) -> None:
        """Mask all columns as they are in this very copy; what was there is kept beside, to be looked for."""
        self._columns = parse_columns(self._ask(masking_sql.COLUMNS))
        self._rules = applied(self._columns, rules)
        salt = secrets.token_hex(32)
        self._ask(masking_sql.PREPARE)
        for column in self._masked:
            self._ask(masking_sql.remember(column))
        self._ask(masking_sql.NEEDLES)
        for table in dict.fromkeys(column.table for column in self._masked):
            own = {it: rule for it, rule in self._masked.items() if it.table == table}
            self._ask(masking_sql.mask(own, salt))
            self._say(f"{self._database}: masked {', '.join(map(str, own))}")

    def check(self, *, public: bool = False) -> None:
        """SlipwayError where a value of a masked column is still there, in it or in what is searched.

        public: whether the schema is what everybody may read, and not searched.
        """
        found = []
        for column, rule in self._masked.items():
            if count := int(self._ask(masking_sql.left_over(column, rule))):
                found.append(f"{column} has {count} rows that are not masked")
        searched = [it for it in self._columns if _is_searched(it, self._rules.get(it))]
        for column in searched:
            for line in self._ask(masking_sql.leaks(column)).splitlines():
                source, texts = line.rsplit("|", 1)
                found.append(f"{column} has {texts} texts with values of {source}, which is masked")
        if not public:
            found += self._in_schema()
        if found:
            raise SlipwayError(
                f"nothing was copied, {self._database} would have shown what it hides: {'; '.join(found)}",
                "Mask these columns, too (the same value gives the same hash); what is the same for "
                "everybody is `public`, and not searched; so is the schema with `schema: public`. See "
                "docs/data-care.md",
            )
        self._say(
            f"{self._database}: no value of {len(self._masked)} masked columns is in them any more, nor in "
            f"{len(searched)} others"
        )

    def _in_schema(self) -> list[str]:
        """Texts of it that hold a value which rows held: it goes along as it is."""
        texts = list(masking_schema.texts(self._place.schema(self._database, masking_sql.SCHEMA)))
        lines = [line.split("|", 1) for line in self._ask(masking_sql.leaks_of(texts)).splitlines()]
        return [f"the schema ({owner}) has a value of {source}, which is masked" for source, owner in lines]

    def settled(self) -> dict[str, int]:
        """Forget what was masked; rows of each table."""
        self._ask(masking_sql.WAKE)
        self._ask(masking_sql.FORGET)
        tables = {column.table: column for column in self._columns}
        return {table: int(self._ask(masking_sql.rows(column))) for table, column in tables.items()}

    @property
    def _masked(self) -> dict[Column, str]:
        return {column: rule for column, rule in self._rules.items() if rule in MASKING}

    def _ask(self, query: str) -> str:
        return self._place.ask(query, self._database)


def _is_searched(column: Column, rule: str | None) -> bool:
    """Whether it arrives as it is, and could hold what is masked elsewhere."""
    return rule == KEEP or (rule is None and column.kind == UUID and not column.generated)


def dump(run: Run, container: str, database: str, path: Path) -> None:
    """Into a file that nobody else may read."""
    tool = f"pg_dump --format=custom --compress=zstd {' '.join(WITHOUT)}"
    script = f'umask 077; exec docker exec "$1" {tool} "$2" > "$3"'
    code, _out, err = run(["sh", "-ec", script, "sh", container, database, str(path)])
    if code:
        told = err.strip().splitlines()[-1:] or [str(code)]
        raise SlipwayError(
            f"{database} cannot be dumped: {told[0]}", "Make room on the backup host (`df -h /opt`)"
        )


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told(copies: list[Copy]) -> list[dict[str, Any]]:
    return [vars(copy) for copy in copies]
