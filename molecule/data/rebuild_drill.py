"""Lose every host of an environment, and bring it back on bare ones from backups that are elsewhere.

Brings up a lab of its own (SLIPWAY_LAB, `rebuild`) with one host more than the environment has: that one is
elsewhere, and takes its backups over SFTP. The lab is deployed, backed up and written to by the ledger; then
all its hosts are removed with their disks, as many are made anew, and `playbooks/rebuild.yml` runs, once.
What users felt is measured by the ledger, from the loss to the first write that is taken again, and every
write that was acknowledged is asked for. Exit status 1: over budget, or a write is doubled or altered.
Removes the lab.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.drill import drill_report, ledger_file
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.drills import failures
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger import read
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Objectives
from ledger_under_test import Ledger, keep_report

from lab import CHECKOUT, Lab

EXAMPLE = CHECKOUT / "inventories/lab"
USER, FOLDER = "backups", "/home/backups/wayfare"
# Until what was written last is elsewhere, and the ledger has something to lose.
WRITTEN_BEFORE = 90


def main() -> int:
    arguments = _arguments()
    name = os.environ.setdefault("SLIPWAY_LAB", "rebuild")
    if name == "lab":
        sys.exit("rebuild-drill: error: it removes its lab, and `lab` is yours.")
    os.environ["SLIPWAY_LAB_HOSTS"] = str(arguments.hosts + 1)
    begun = time.monotonic()
    try:
        _do("lab/lab", "up")
        site = Site(Lab.load(name), arguments.hosts)
        # Nothing is left that could be read from: reads come back with the writes.
        budget = Objectives(rto=arguments.rto, rpo=arguments.rpo, read_gap=arguments.rto)
        return drill(site, budget, begun)
    finally:
        if not arguments.keep:
            _do("lab/lab", "down")


def drill(site: Site, budget: Objectives, begun: float) -> int:
    site.take_backups_elsewhere()
    site.play("deploy.yml")
    site.play("playbooks/backup.yml", "-e", "type=full")
    ledger, path = site.ledger()
    ledger.begin()
    time.sleep(WRITTEN_BEFORE)  # the ledger writes meanwhile
    _say(f"{time.monotonic() - begun:.0f} s: losing every host")
    ledger.mark("every host is lost")
    lost = time.monotonic()
    site.lose_all()
    _do("lab/lab", "up")
    # One host has no replica elsewhere and no quorum to wait for: the command is the same.
    site.play("playbooks/rebuild.yml", "-e", "confirm=wayfare", "-e", "repository=2")
    whole = time.monotonic() - lost
    figures = ledger.end()
    found = failures(figures, budget)
    told = drill_report.Told(
        "rebuild", "lab", read(ledger_file.events(path)), figures, round(whole, 1), budget, found
    )
    keep_report(told, path)
    _say(
        *drill_report.lines(told),
        *(f"WRONG: {it}" for it in found),
        f"the report: {path.with_suffix('.html')}",
    )
    return 1 if found else 0


class Site:
    """The environment on the first hosts of a lab, and the last host, which is elsewhere."""

    def __init__(self, lab: Lab, hosts: int) -> None:
        self._lab = lab
        *self._own, self._elsewhere = lab.addresses
        assert len(self._own) == hosts
        self._inventory = CHECKOUT / f".lab/inventory-{lab.name}-site"

    def take_backups_elsewhere(self) -> None:
        """A folder at the last host, reached over SFTP, and the inventory that names it."""
        key = self._lab.folder / "elsewhere"
        if not key.exists():
            _do("ssh-keygen", "-q", "-t", "rsa", "-b", "3072", "-m", "PEM", "-N", "", "-f", str(key))
        public = key.with_suffix(".pub").read_text().strip()
        host = self._lab.hosts[self._elsewhere]
        script = (
            f"id {USER} 2> /dev/null || useradd --create-home {USER}; "
            f"install -d -o {USER} -g {USER} -m 0700 /home/{USER}/.ssh {FOLDER}; "
            f"echo '{public}' > /home/{USER}/.ssh/authorized_keys; chown -R {USER} /home/{USER}/.ssh; "
            "cat /etc/ssh/ssh_host_ed25519_key.pub"
        )
        told = host.check_output(script).strip().splitlines()[-1]
        fingerprint = hashlib.sha256(base64.b64decode(told.split()[1])).hexdigest()
        self._write_inventory(fingerprint)
        self._write_secret(key.read_text())

    def _write_inventory(self, fingerprint: str) -> None:
        declared = yaml.safe_load((EXAMPLE / "group_vars/lab/stack.yml").read_text())
        stack = declared["stack"]
        stack["secrets"]["elsewhere"] = {}
        reach = {
            "host": self._elsewhere,
            "user": USER,
            "private_key": "elsewhere",
            "fingerprint": fingerprint,
        }
        stack["components"]["backup"]["second"] = {"path": FOLDER, "sftp": reach}
        variables = self._inventory / "group_vars/lab"
        variables.mkdir(parents=True, exist_ok=True)
        (variables / "stack.yml").write_text(yaml.safe_dump(declared, sort_keys=False))
        for name in ("lab.yml", "host.yml"):
            (variables / name).write_text((EXAMPLE / "group_vars/lab" / name).read_text())
        hosts: dict[str, Any] = {"children": {"lab": {"hosts": dict.fromkeys(self._own)}}}
        (self._inventory / "hosts.yml").write_text(yaml.safe_dump({"environments": hosts}))

    def _write_secret(self, key: str) -> None:
        """What is kept when all hosts are gone: the checkout, and the secrets file."""
        path = self._lab.folder / "secrets.vault.yml"
        if path.exists():
            return
        path.write_text(yaml.safe_dump({"user": {"elsewhere": key}}))
        _do("ansible-vault", "encrypt", str(path))

    def ledger(self) -> tuple[Ledger, Path]:
        first = self._lab.hosts[self._own[0]]
        authority = self._lab.folder / "ca.crt"
        authority.write_text(first.check_output("cat /opt/wayfare/config/host/tls/ca.crt"))
        # Kept when the lab is gone.
        folder = CHECKOUT / ".lab/rebuilds"
        folder.mkdir(exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-rebuild.jsonl"
        return Ledger(self._lab, authority, path), path

    def lose_all(self) -> None:
        for number, _name in enumerate(self._own, 1):
            container = f"slipway-{self._lab.name}-{number}"
            _do("docker", "rm", "--force", "--volumes", container)
            _do("docker", "volume", "rm", f"{container}-docker")

    def play(self, playbook: str, *more: str) -> None:
        begun = time.monotonic()
        command = ["ansible-playbook", "-i", str(self._inventory), "-l", "lab", playbook, *more]
        _do(*command)
        _say(f"{playbook}: {time.monotonic() - begun:.0f} s")


def _do(*command: str) -> None:
    subprocess.run(command, cwd=CHECKOUT, check=True)


def _say(*lines: str) -> None:
    for line in lines:
        print(f"rebuild-drill: {line}", flush=True)


def _arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=3, help="hosts of the environment (3)")
    parser.add_argument("--rto", type=int, default=900, help="seconds that it may take (900)")
    parser.add_argument("--rpo", type=int, default=300, help="seconds of writes that may be lost (300)")
    parser.add_argument("--keep", action="store_true", help="leave the lab as it is then")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
