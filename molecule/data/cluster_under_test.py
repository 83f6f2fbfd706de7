"""PostgreSQL's cluster as the lab's hosts tell it, read apart from the code under test."""

from __future__ import annotations

import json

from waiting import eventually

from lab import Lab


class Members:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.stack = lab.stack["name"]

    def list(self) -> list[dict]:
        """As `patronictl list` tells them, on the first host."""
        told = self.inside(next(iter(self._lab.hosts)), "patronictl list --format json")
        return list(json.loads(told))

    @property
    def leader(self) -> str:
        def leaders() -> list[str]:
            return [str(it["Member"]) for it in self.list() if it["Role"] == "Leader"]

        (found,) = eventually(leaders, lambda names: len(names) == 1, seconds=60)
        return found

    @property
    def replicas(self) -> list[str]:
        return sorted(it["Member"] for it in self.list() if it["Role"] != "Leader")

    def until_whole(self, seconds: float = 300) -> None:
        def states() -> list[str]:
            try:
                return sorted(it["State"] for it in self.list())
            except (AssertionError, RuntimeError, ValueError) as error:
                return [str(error)]  # it cannot be asked while it changes

        expected = ["running"] + ["streaming"] * (len(self._lab.hosts) - 1)
        assert eventually(states, lambda found: found == expected, seconds=seconds) == expected

    def inside(self, host: str, command: str) -> str:
        return self._lab.in_container(host, "postgres", command)

    def sql(self, host: str, statement: str) -> str:
        return self.inside(host, f'psql --no-psqlrc -At -c "{statement}"')

    def pending(self) -> list[str]:
        return sorted(it["Member"] for it in self.list() if it.get("Pending restart"))
