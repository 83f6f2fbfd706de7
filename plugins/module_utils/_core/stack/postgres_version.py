"""Where each major version of PostgreSQL has its programs and its databases, in every container of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OLDEST, NEWEST = 17, 18
HOME = "/var/lib/postgresql"
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Place:
    """Of one version. Two of them are in one image, and in one volume, while a cluster is upgraded."""

    version: int = OLDEST

    @property
    def folder(self) -> str:
        return f"{HOME}/{self.version}"

    @property
    def data(self) -> str:
        return f"{self.folder}/main"

    @property
    def programs(self) -> str:
        return f"/usr/lib/postgresql/{self.version}/bin"

    @property
    def environment(self) -> Mapping[str, str]:
        """What programs of a container go by that are no templates."""
        return {"PGDATA": self.data, "PATH": f"{self.programs}:{_SYSTEM}"}
