"""What the drill does to the lab: as root on hosts, as an operator in this checkout, by its own servers."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from alert_case import Act, Case
from alert_sinks import Sinks
from site_under_test import CHECKOUT, Machine, Site

# A playbook of a runbook: a backup and its proof, a rolling restart.
PLAYBOOK_SECONDS = 600
# Told by containers: which hosts have them.
_HAVING = {"edges": "edge", "monitoring": "alertmanager", "backup": "backup-repository"}


@dataclass(frozen=True)
class Scene:
    """Which hosts have a case's roles, as it is before its fault; addresses: by host."""

    roles: Mapping[str, Sequence[Machine]]
    addresses: Mapping[str, str]

    def say(self, text: str) -> str:
        """`<role>`, `<role's address>` and `<peers>` as they are here."""
        return re.sub(
            r"<([a-z ]+?)('s address)?>", lambda it: self._one(str(it[1]), address=bool(it[2])), text
        )

    def _one(self, role: str, *, address: bool) -> str:
        names = [machine.name for machine in self.roles[role]]
        if role == "peers":
            return ", ".join(self.addresses[name] for name in names)
        return self.addresses[names[0]] if address else names[0]


class Hands:
    def __init__(self, site: Site, sinks: Sinks) -> None:
        self._site = site
        self._sinks = sinks
        self._stack = str(site.stack["name"])
        self._addresses = {str(name): str(address) for name, address in site.lab["hosts"].items()}

    def scene(self, case: Case) -> Scene:
        return Scene({role: self._with_role(role) for role in roles_of(case)}, self._addresses)

    def do(self, act: Act, scene: Scene) -> None:
        """All hosts of a role do it at once."""
        if act.where == "sinks":
            self._sinks.become(act.command)
        elif act.where == "checkout":
            for command in self._filled(act, scene, None):
                self._here(command)
        else:
            machines = scene.roles[act.where]
            with ThreadPoolExecutor(len(machines)) as pool:
                list(pool.map(lambda machine: self._there(act, scene, machine), machines))

    def ask_prometheus(self, query: str, monitoring: Machine) -> str:
        ask = f"docker exec {self._stack}-prometheus-1 promtool query instant http://127.0.0.1:9090 "
        return monitoring(f"sudo {ask}{shlex.quote(query)}")

    def _there(self, act: Act, scene: Scene, machine: Machine) -> None:
        for command in self._filled(act, scene, machine):
            machine(as_root(command))

    def _filled(self, act: Act, scene: Scene, machine: Machine | None) -> list[str]:
        """The commands that come of it: one for each line that fills it in."""
        commands = [act.command]
        for example, value in act.fill.items():
            here = [scene.say(value)] if isinstance(value, str) else self._lines(value, machine)
            commands = [command.replace(example, it) for command in commands for it in here]
        return commands

    def _lines(self, act: Act, machine: Machine | None) -> list[str]:
        assert machine, "what is done here is filled in with words"
        return machine(as_root(act.command)).split("\n")

    def _here(self, command: str) -> None:
        """In the checkout, as an operator types it, with the lab in the place of production."""
        process = subprocess.Popen(
            ["bash", "-c", re.sub(r"\bproduction\b", self._site.environment, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=CHECKOUT,
            env={**os.environ, "ANSIBLE_INVENTORY": str(self._site.inventory), "ANSIBLE_NOCOLOR": "1"},
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=PLAYBOOK_SECONDS)
        finally:
            # Nothing of it goes on beside what comes next.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.returncode == 0, f"`{command}` ended with {process.returncode}: {said[-2000:]}"

    def _with_role(self, role: str) -> Sequence[Machine]:
        hosts = self._site.machines
        plain: dict[str, Callable[[], Sequence[Machine]]] = {
            "all": lambda: hosts,
            "first": lambda: hosts[:1],
            "last": lambda: hosts[-1:],
            "all but last": lambda: hosts[:-1],
            "edge": lambda: self._having("edge")[-1:],
            "leader": self._leader,
            "replicas": self._replicas,
            # The last one: its exporter is spared where another lane hurts the first host.
            "replica": lambda: self._replicas()[-1:],
            "redis master": self._redis_master,
            "peers": lambda: self._others(self._having("alertmanager")),
        }
        found = plain[role]() if role in plain else self._having(_HAVING[role])
        assert found, f"no host of this lab is {role}"
        return found

    def _having(self, component: str) -> list[Machine]:
        name = shlex.quote(f"^{self._stack}-{component}-1$")
        look = f"sudo docker ps --all --quiet --filter name={name}"
        return [machine for machine in self._site.machines if machine(look)]

    def _leader(self) -> list[Machine]:
        told = self._site.machines[0](
            f"sudo docker exec {self._stack}-postgres-1 patronictl list --format json"
        )
        names = {str(it["Member"]) for it in json.loads(told) if it["Role"] == "Leader"}
        return [machine for machine in self._site.machines if machine.name in names]

    def _replicas(self) -> list[Machine]:
        return self._others(self._leader())

    def _others(self, machines: Sequence[Machine]) -> list[Machine]:
        return [it for it in self._site.machines if it not in machines]

    def _redis_master(self) -> list[Machine]:
        ask = f"sudo docker exec {self._stack}-redis-1 /config/current-master.sh 5"
        address = self._site.machines[0](ask)
        return [machine for machine in self._site.machines if self._addresses[machine.name] == address]


def as_root(command: str) -> str:
    return f"sudo bash -eo pipefail -c {shlex.quote(command)}"


def roles_of(case: Case) -> set[str]:
    """Every role of hosts that a case speaks of; the monitoring is asked in any case."""
    acts = [*case.before, *case.inject, *case.runbook, *case.undo]
    inner = [value for act in acts for value in act.fill.values()]
    acts += [it for it in inner if isinstance(it, Act)]
    texts = [it for it in inner if isinstance(it, str)]
    texts += [value for watched in case.watched for value in watched.labels.values()]
    named = {role for text in texts for role, _ in re.findall(r"<([a-z ]+?)('s address)?>", text)}
    return ({act.where for act in acts} - {"sinks", "checkout"}) | named | {"monitoring"}
