"""The moment before migrations run, marked in the WAL so that a restore finds it by name."""

from __future__ import annotations

from ..migration import migration_sql
from ..postgresql.postgres import Psql


class RestorePoint:
    """The restore point, which is set when it is known that something will run."""

    def __init__(self, database: Psql, name: str) -> None:
        self._database = database
        self._name = name
        self.point: dict[str, str] = {}

    def set(self) -> None:
        if self._name:
            self.point = {
                "name": self._name,
                "lsn": self._database.ask(migration_sql.restore_point(self._name)),
            }

    @property
    def told(self) -> str:
        return ". Restore point {name} stands at {lsn}".format(**self.point) if self.point else ""
