"""One host's part in the change of sites: its Patroni asked and told inside its own container."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import SlipwayError
from ..retry import Patience, delays
from ..run import Run
from ..stack.postgres_version import Place
from .postgres import NotAnsweringError, Psql
from .sites import upstream

_RUNBOOK = "docs/runbooks/second-site.md"
# Seconds for a last checkpoint and for what the other site has not taken yet.
_STOP = 60
# Positions as numbers. A site that follows has what it has replayed.
_POSITION = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_flush_lsn() END - '0/0',
       coalesce(to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'), ''),
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND slot_name = 'other_site'),
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'other_site' AND active),
       pg_is_in_recovery();
"""
_COMMIT = "SELECT pg_logical_emit_message(true, 'slipway', 'this site serves');"


class SiteMember:
    def __init__(
        self,
        run: Run,
        container: str,
        patience: Callable[[float], Patience] | None = None,
        *,
        place: Place | None = None,
    ) -> None:
        """place: of the stack's version; None: the oldest there is."""
        self._run = run
        self._container = container
        self._psql = Psql(run, container)
        self._place = place or Place()
        self._patience = patience or (lambda seconds: Patience(seconds, delays(0.3, 1.0)))

    def seen(self) -> dict[str, Any]:
        """What `sites.Seen` holds of this host; of the member that leads also how far it is."""
        try:
            own, settings = self._get("patroni"), self._get("config")
        except SlipwayError as error:
            absent = "No such container" in error.problem and self._has_no_data()
            return {"known": False, "absent": absent, "problem": error.problem}
        times: Mapping[str, Any] = settings.get("slipway") or {}
        told: dict[str, Any] = {
            "known": True,
            "follows": bool(settings.get("standby_cluster")),
            "promoted": max(int(times.get(name) or 0) for name in ("promoted", "others")),
            "paused": bool(settings.get("pause")),
            "leads": own.get("role") in ("primary", "standby_leader") and own.get("state") == "running",
        }
        if told["leads"]:
            try:
                position, last, streams, fed, recovers = self._psql.ask(_POSITION).split("|")
            except NotAnsweringError:
                return {**told, "leads": False}
            told |= {"lsn": int(position), "last": last, "streams": streams == "t", "fed": fed == "t"}
            told["primary"] = recovers == "f"
        return told

    def stop(self) -> dict[str, Any]:
        """Stop the primary here so that the other site has every byte; nothing of this one takes its place.

        A clean stop ends only when those who stream have all of it, the last checkpoint too.
        """
        now = self.seen()
        if not now.get("primary"):
            return {"stopped": False}
        begun = time.time()
        self._tell({"pause": True})
        self._until(lambda: "" if self._get("patroni").get("pause") else "Patroni is not paused yet", 30)
        self._psql.send("CHECKPOINT;", 60)
        stopping = time.time()
        code, out, err = self._inside(
            [self._program("pg_ctl"), "stop", "-D", self._place.data, "-m", "fast", "-w", "-t", str(_STOP)]
        )
        if code:
            self._tell({"pause": None})
            raise SlipwayError(
                f"PostgreSQL did not stop within {_STOP} s: {(err or out).strip()}",
                "It goes on serving. Look at `docker logs` of its container",
            )
        return {"stopped": True, "lsn": self._last_checkpoint(), "at": stopping, "begun": begun}

    def resume(self) -> dict[str, Any]:
        """Take a stop back: Patroni starts the primary again where it is."""
        if not self.seen().get("paused"):
            return {"resumed": False}
        self._tell({"pause": None})
        return {"resumed": True}

    def follow(self, members: Sequence[str]) -> dict[str, Any]:
        """Have this site follow the other one. What only this one has is given up."""
        try:
            settings = self._get("config")
        except SlipwayError:
            settings = {}  # a site that was left runs no Patroni; etcd has its settings
        if settings.get("standby_cluster") == upstream(members) and not settings.get("pause"):
            return {"changed": False}
        self._tell({"standby_cluster": upstream(members), "pause": None})
        return {"changed": True}

    def wait_until_streaming(self, seconds: float) -> dict[str, Any]:
        """Until the member that leads this site streams, where it is this host's."""

        def missing() -> str:
            now = self.seen()
            if now.get("known") and not now["leads"] and self._another_leads():
                return ""
            return "" if now.get("streams") else "this site does not stream from the other one yet"

        self._until(missing, seconds)
        return {"streams": bool(self.seen().get("streams"))}

    def wait_for(self, lsn: int, seconds: float) -> dict[str, Any]:
        """Until the member that leads has replayed beyond a position, which is where a record begins."""
        if not self.seen().get("leads"):
            return {"received": False}

        def missing() -> str:
            has = int(self.seen().get("lsn") or 0)
            return "" if has > lsn else f"this site has {has}, the other one had {lsn}"

        self._until(missing, seconds)
        return {"received": True}

    def promote(self, at: int, seconds: float) -> dict[str, Any]:
        """Have this site serve from now on; what is told is since when, and what it had before.

        at: now, or the newest promotion that is known from elsewhere. Later than any that this site knows of,
        whatever a clock says: the later one of two sites serves.
        """
        before = self.seen()
        if not before.get("leads"):
            return {"promoted": False}
        if before["follows"]:
            later = max(at, before["promoted"]) + 1
            self._tell({"standby_cluster": None, "pause": None, "slipway": {"promoted": later}})
        self._until(lambda: "" if self._accepts_writes() else "this site accepts no writes yet", seconds)
        self._psql.ask(_COMMIT)
        return {"promoted": True, "at": time.time(), "last": before["last"], "lsn": before["lsn"]}

    def _accepts_writes(self) -> bool:
        told = self._get("patroni")
        return told.get("role") == "primary" and bool(self.seen().get("primary"))

    def _another_leads(self) -> bool:
        members = self._get("cluster").get("members", ())
        return any(it.get("role") == "standby_leader" and it.get("state") == "streaming" for it in members)

    def _last_checkpoint(self) -> int:
        code, out, err = self._inside([self._program("pg_controldata"), "-D", self._place.data])
        told = dict(line.split(":", 1) for line in out.splitlines() if ":" in line)
        state = told.get("Database cluster state", "").strip()
        if code or state != "shut down":
            raise SlipwayError(
                f"PostgreSQL did not stop cleanly: it is {state or err.strip()!r}", f"See {_RUNBOOK}"
            )
        high, low = told["Latest checkpoint location"].strip().split("/")
        return (int(high, 16) << 32) + int(low, 16)

    def _program(self, name: str) -> str:
        return f"{self._place.programs}/{name}"

    def _has_no_data(self) -> bool:
        """Whether this host holds no databases, either: containers can be gone from a site that serves."""
        volume = f"{self._container.removesuffix('-postgres-1')}_postgres"
        code, _out, err = self._run(["docker", "volume", "inspect", volume])
        return code != 0 and "no such volume" in err.lower()

    def _get(self, path: str) -> dict[str, Any]:
        argv = ["curl", "--silent", "--show-error", "--max-time", "5", "--cacert", "/config/tls/ca.crt"]
        code, out, err = self._inside([*argv, f"https://localhost:8008/{path}"])
        if code:
            raise SlipwayError(
                f"Patroni in {self._container} does not answer: {err.strip()}", f"See {_RUNBOOK}"
            )
        try:
            return dict(json.loads(out))
        except ValueError as error:
            raise SlipwayError(f"Patroni in {self._container} answers no JSON", f"See {_RUNBOOK}") from error

    def _tell(self, settings: Mapping[str, Any]) -> None:
        """Change Patroni's settings in etcd, whether Patroni runs or not; None removes a key."""
        patch = ["curl", "--config", "/config/api.curl", "--request", "PATCH", "--data", "@-"]
        if not self._inside([*patch, "https://localhost:8008/config"], json.dumps(settings))[0]:
            return
        argv = ["patronictl", "edit-config", "--quiet", "--force", "--apply", "-"]
        code, out, err = self._inside(argv, json.dumps(settings))
        if code:
            problem = f"`patronictl edit-config` in {self._container} failed: {(out + err).strip()[-200:]}"
            raise SlipwayError(problem, f"Look whether etcd answers: docs/runbooks/etcd.md; see {_RUNBOOK}")

    def _inside(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        return self._run(["docker", "exec", "--interactive", self._container, *argv], stdin=stdin)

    def _until(self, missing: Callable[[], str], seconds: float) -> None:
        patience = self._patience(seconds)
        while True:
            try:
                lacks = missing()
            except SlipwayError as error:
                lacks = error.problem
            if not lacks:
                return
            if not patience.again():
                raise SlipwayError(f"not within {seconds:g} s: {lacks}", f"See {_RUNBOOK}")
