"""Lose the site that serves as by fire, and have the second one serve; then bring the first one back.

Brings up two labs of one host each (`scripts/two-sites`), deploys both, and lets the ledger write to clients'
addresses of both sites. The first site's host is killed with all its processes while writes are under way,
and `playbooks/site_failover.yml -e lost=true` runs, once. What users felt is measured by the ledger, from the
loss to the first write that the second site takes. Then the first site's host is started as it was left: it
must see by itself that it was left, and follow when `playbooks/site_failback.yml -e only_follow=true` says.
The ledger writes on all the while, and in the end asks the second site for every acknowledged write: what the
first had not sent is lost, and so would be what it took after its return. Exit status 1: over budget, or a
write doubled or altered. Removes both labs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.slipway.compose.plugins.module_utils._core.drill import drill_report, ledger_file
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.drills import failures
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger import read
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Objectives
from ledger_under_test import Ledger, keep_report

from lab import CHECKOUT, Lab

INVENTORY = CHECKOUT / ".lab/inventory-sites"
FIRST, SECOND = "site_a", "site_b"
HOST = "slipway-site-a-1"
LEFT = "the other site was promoted after this one"
# Until the ledger has something to lose.
WRITTEN_BEFORE = 30
# A standby cluster copies the databases first; a host that was killed starts its engine and all containers.
PATIENCE = 300


def main() -> int:
    arguments = _arguments()
    try:
        _do("scripts/two-sites", "up")
        budget = Objectives(rto=arguments.rto, rpo=arguments.rpo, read_gap=arguments.rto)
        return drill(budget)
    finally:
        if not arguments.keep:
            _do("scripts/two-sites", "down")


def drill(budget: Objectives) -> int:
    first, second = Lab.load("site-a"), Lab.load("site-b")
    for playbook in ("playbooks/secrets.yml", "deploy.yml"):
        for site in (FIRST, SECOND):
            play(playbook, site)
    until("the second site follows", lambda: follows(second))
    ledger, path = writer(first, second)
    try:
        return lose(first, ledger, path, budget)
    finally:
        ledger.stop()


def lose(first: Lab, ledger: Ledger, path: Path, budget: Objectives) -> int:
    ledger.begin()
    time.sleep(WRITTEN_BEFORE)  # the ledger writes meanwhile
    ledger.mark("the first site is lost")
    lost = time.monotonic()
    _do("docker", "kill", HOST)
    play("playbooks/site_failover.yml", SECOND, "-e", f"confirm={SECOND}", "-e", "lost=true")
    ledger.mark("the first site comes back")
    _do("docker", "start", HOST)
    until("the first site sees that it was left", lambda: LEFT in logs(first))
    play("playbooks/site_failback.yml", FIRST, "-e", f"confirm={FIRST}", "-e", "only_follow=true")
    until("the first site follows", lambda: follows(first))
    whole = time.monotonic() - lost
    # The ledger's clients knew both sites all the time: what the first had taken would not be at the second.
    figures = ledger.end()
    found = failures(figures, budget)
    events = read(ledger_file.events(path))
    told = drill_report.Told("site_loss", "lab", events, figures, round(whole, 1), budget, found)
    keep_report(told, path)
    _say(
        *drill_report.lines(told),
        *(f"WRONG: {it}" for it in found),
        f"the report: {path.with_suffix('.html')}",
    )
    return 1 if found else 0


def follows(lab: Lab) -> bool:
    told = asked(lab, "patronictl list --format json")
    return any(
        it["Role"] == "Standby Leader" and it["State"] == "streaming" for it in json.loads(told or "[]")
    )


def asked(lab: Lab, command: str) -> str:
    (host,) = lab.hosts.values()
    return str(host.run(f"docker exec wayfare-postgres-1 {command}").stdout)


def logs(lab: Lab) -> str:
    (host,) = lab.hosts.values()
    try:
        return str(host.run("docker logs wayfare-postgres-1 2>&1").stdout)
    except RuntimeError:
        return ""  # its SSH is not there yet


def writer(first: Lab, second: Lab) -> tuple[Ledger, Path]:
    """A ledger whose client knows the edges of both sites, as by a name with two addresses."""
    folder = CHECKOUT / ".lab/site-drills"
    folder.mkdir(exist_ok=True)
    authorities = folder / "ca.crt"
    certificates = [
        host.check_output("cat /opt/wayfare/config/host/tls/ca.crt")
        for lab in (first, second)
        for host in lab.hosts.values()
    ]
    authorities.write_text("\n".join(certificates))
    path = folder / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-site_loss.jsonl"
    return Ledger(first, authorities, path, second), path


def until(what: str, seen: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not seen():
        if time.monotonic() > limit:
            sys.exit(f"site-drill: error: after {PATIENCE} s it is not so that {what}.")
        time.sleep(2)  # between two looks


def play(playbook: str, site: str, *more: str) -> None:
    begun = time.monotonic()
    _do("ansible-playbook", "-i", str(INVENTORY), "-l", site, playbook, *more)
    _say(f"{playbook} of {site}: {time.monotonic() - begun:.0f} s")


def _do(*command: str) -> None:
    subprocess.run(command, cwd=CHECKOUT, check=True)


def _say(*lines: str) -> None:
    for line in lines:
        print(f"site-drill: {line}", flush=True)


def _arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rto", type=int, default=1800, help="seconds until the second site serves (1800)")
    parser.add_argument("--rpo", type=int, default=10, help="seconds of writes that may be lost (10)")
    parser.add_argument("--keep", action="store_true", help="leave both labs as they are then")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
