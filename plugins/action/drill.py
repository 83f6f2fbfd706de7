"""Keep a ledger on the control node while a drill is at work, and judge what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..module_utils._core.drill import drill_report, ledger_file, ledger_report, ledger_wayfare
from ..module_utils._core.drill.drill_host import AHEAD
from ..module_utils._core.drill.drills import (
    AT_ONCE,
    CORRUPT,
    DROP,
    LEADS,
    Drill,
    candidates,
    container,
    drill_of,
    failures,
    hosts,
)
from ..module_utils._core.drill.ledger import INTERRUPTED, Row, prove, read
from ..module_utils._core.drill.ledger_client import Client, NeverSentError, Site
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.release import handover
from ..module_utils._core.retry import Patience, delays
from ..plugin_utils.stack_action import Result, StackAction, material
from ..plugin_utils.this_run import this_run

LEDGER = Path(__file__).resolve().parents[2] / "scripts" / "ledger"
# Writes before the fault and after it: without them no interruption has two ends.
AROUND = 5.0
# Writes in flight are brought to their end first.
ENDING = 180.0
BEGINNING = 30.0
ASKING = 60.0
# Between two looks at whether the ledger has begun, or ended.
LOOK = 0.3


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        drill = drill_of(str(arguments["drill"]))
        if drill.fault in (DROP, CORRUPT) and not self.declared.stack.components.backup:
            raise SlipwayError(
                f"the stack {self.declared.stack.name} has no backups, and this drill is about them",
                "Declare stack/components/backup and deploy: docs/runbooks/backups.md",
            )
        victims = candidates(drill, hosts(self.topology, drill.component))
        if arguments["state"] in ("struck", "recovered", "healed", "over"):
            return self._strike(drill, victims, arguments, task_vars)
        if arguments["state"] == "told":
            told = {key: arguments[key] for key in ("state", "drill", "result")}
            return self.module({**told, "stack": self.declared.stack.name}, task_vars)
        self._folder = Path(arguments["folder"])
        if self._task.check_mode:
            return {"changed": False, "steps": [], "failures": []}
        if arguments["state"] == "begun":
            return self._begin(int(arguments["seconds"]), task_vars)
        return self._end(drill, arguments, task_vars)

    def _begin(self, seconds: int, task_vars: Mapping[str, Any]) -> Result:
        """seconds: after which the ledger ends by itself."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(".ca.pem").write_text(material(self.declared, {}).ca, encoding="utf-8")
        words = [sys.executable, str(LEDGER), "write", str(self._file(".jsonl")), *self._site(task_vars)]
        words += ["--seconds", str(seconds)]
        with self._file(".log").open("wb") as log:
            # Its own session: what interrupts the run must not end the ledger unwritten.
            process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        self._file(".pid").write_text(str(process.pid), encoding="utf-8")
        limit = time.monotonic() + BEGINNING
        while not self._acknowledged():
            if process.poll() is not None or time.monotonic() > limit:
                self._stop()
                said = self._file(".log").read_text(encoding="utf-8").strip()[-400:]
                raise SlipwayError(
                    f"the ledger has not begun: {said}",
                    "It writes through the edge from this machine: `make health`, and docs/drills.md",
                )
            time.sleep(LOOK)
        time.sleep(AROUND)
        return {"changed": False, "steps": [f"the ledger is {self._file('.jsonl')}"]}

    def _strike(self, drill: Drill, victims: Any, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        name = self.view.host.name
        if name not in victims:
            return {"skipped": True, "skip_reason": "the drill is not about this host"}
        stack = self.declared.stack.name
        leads = None
        if drill.victim == LEADS:
            leads = handover.own_leader(self.topology, self.view, drill.component)
        asked = time.time()
        result = self.module(
            {
                "state": arguments["state"],
                "drill": arguments["drill"],
                # What is done in a moment is not waited for: `seconds` is then the ledger's alone.
                "seconds": 0 if drill.fault in AT_ONCE else arguments.get("seconds") or drill.seconds,
                "copy": arguments.get("copy"),
                "content": arguments.get("content"),
                "fault": drill.fault,
                "container": container(stack, drill.component),
                "address": self.view.host.address,
                "peers": [host.address for host in self.declared.stack.hosts if host.name != name],
                "leads": leads,
                "stack": stack,
                "run": self.lock_holder(),
            },
            task_vars,
        )
        if result.get("struck") and not self._task.check_mode:
            self._folder = Path(arguments["folder"])
            # The ledger is kept by this machine's clock. The host's is believed as far as the two agree.
            ahead = 0.0 if drill.fault in AT_ONCE else AHEAD
            result["at"] = min(max(float(result["at"]), asked + ahead), time.time() + ahead)
            ledger_file.mark(self._file(".jsonl"), f"{drill.title} ({name})", result["at"])
        return result

    def _end(self, drill: Drill, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        time.sleep(AROUND)
        written = _runs(int(self._file(".pid").read_text(encoding="utf-8")))
        self._stop()
        ledger = read(ledger_file.events(self._file(".jsonl")))
        if not ledger.marks:
            raise SlipwayError("nothing was done to any host", "See what the run says above")
        url, places, authority = self._place(task_vars)
        client = Client(Site.parse(url, places, authority), 5.0)
        client.cookie = ledger.session
        proof = prove(ledger, _rows(client))
        client.close()
        figures = ledger_report.report(ledger, proof, INTERRUPTED)
        found = failures(figures, self.declared.stack.objectives)
        if not written:
            found.append("the ledger ended before the drill did: what came later was not measured")
        whole = None
        if well := float(arguments["whole"]):
            # What is asked of health may be well before a write that waits is tried again.
            whole = round(max(well - ledger.marks[0][0], figures["faults"][0]["rto"] or 0.0), 1)
        else:
            found.append("not everything was well again in time")
        told = drill_report.Told(
            str(arguments["drill"]),
            self.declared.environment,
            ledger,
            figures,
            whole,
            self.declared.stack.objectives,
            found,
        )
        self._file(".json").write_text(json.dumps(told.to_dict(), indent=1) + "\n", encoding="utf-8")
        self._file(".md").write_text(drill_report.markdown(told), encoding="utf-8")
        self._file(".html").write_text(drill_report.page(told), encoding="utf-8")
        for ending in (".ca.pem", ".log", ".pid"):
            self._file(ending).unlink(missing_ok=True)
        return {
            "changed": False,
            "steps": drill_report.lines(told),
            "failures": found,
            "report": str(self._file("")),
            "result": {
                "ended": time.time(),
                "ok": not found,
                "rto": told.fault["rto"],
                "rpo": figures["rpo"],
                "well": whole,
            },
        }

    def _site(self, task_vars: Mapping[str, Any]) -> list[str]:
        url, places, authority = self._place(task_vars)
        words = ["--url", url, *(word for place in places for word in ("--connect", place))]
        return [*words, "--ca", authority]

    def _place(self, task_vars: Mapping[str, Any]) -> tuple[str, list[str], str]:
        """The site's URL, the edge's hosts as the control node reaches them, and whom it trusts."""
        edge = self.declared.stack.components.edge
        known = task_vars["hostvars"]
        places = [f"{known[name].get('ansible_host', name)}:{edge.https_port}" for name in edge.hosts]
        return (
            f"https://{self.declared.stack.domain}:{edge.public_https_port}",
            places,
            str(self._file(".ca.pem")),
        )

    def _file(self, ending: str) -> Path:
        return self._folder / f"{this_run().record}-{self._task.args['drill']}{ending}"

    def _acknowledged(self) -> bool:
        path = self._file(".jsonl")
        return path.exists() and '"acknowledged"' in path.read_text(encoding="utf-8")

    def _stop(self) -> None:
        pid = int(self._file(".pid").read_text(encoding="utf-8"))
        limit = time.monotonic() + ENDING
        signalled = signal.SIGTERM
        while _runs(pid):
            os.kill(pid, signalled)
            signalled = signal.SIGTERM if time.monotonic() < limit else signal.SIGKILL
            time.sleep(LOOK)


def _runs(pid: int) -> bool:
    """Whether the ledger is at work; a child of a worker that is gone is nobody's zombie for long."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return str(LEDGER).encode() in words


def _rows(client: Client) -> list[Row]:
    """A site that has just been hurt may turn the first question away."""
    patience = Patience(ASKING, delays(1.0, 5.0))
    while True:
        try:
            return list(ledger_wayfare.rows(client))
        except (NeverSentError, OSError, HTTPException, SlipwayError) as error:
            if not patience.again():
                raise SlipwayError(
                    f"the application cannot be asked which writes are there: {error}",
                    "Bring it back, then `scripts/ledger prove` with this drill's ledger: docs/drills.md",
                ) from error
