"""Tell others how services fare: ask Prometheus which alerts fire, post what has changed until it is told.

Runs on the first monitoring host as the service `slipway-availability`. What the release that serves lists is
read anew each round: a deployment or a rollback needs no restart. Needs nothing but Python.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .. import webhooks
from . import availability as decide
from .availability import Account, Listener, Seen

SECONDS = 15.0
FOLDER = "config/host/availability"
_QUERY = 'ALERTS{alertstate="firing"}'
_MOST = 8 * 1024 * 1024
_HELP = {
    "slipway_availability_state": "0 up, 1 degraded, 2 down.",
    "slipway_availability_untold": "Services of whose state a listener has yet to be told.",
    "slipway_availability_asked": "1 when Prometheus said last time which alerts fire.",
}


@dataclass(frozen=True)
class Listed:
    """As the release lists it. where: stack and environment."""

    prometheus: str
    where: Mapping[str, str]
    services: tuple[str, ...]
    edges: int
    listeners: tuple[Listener, ...]


def listed(folder: Path) -> Listed | None:
    """None where no release is there yet, or it lists nobody."""
    try:
        given: dict[str, Any] = json.loads((folder / "list.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None

    def secret(name: str | None) -> str:
        return (folder / "secrets" / name).read_text(encoding="utf-8").strip() if name else ""

    listeners = []
    for hook in given["hooks"]:
        url = hook["url"] or secret(hook["url_secret"])
        known = sha256(f"{url} {hook['format']}".encode()).hexdigest()[:12]
        listeners.append(
            Listener(known, tuple(hook["on"]), url, hook["format"], secret(hook["signing_secret"]))
        )
    return Listed(
        given["prometheus"], given["where"], tuple(given["services"]), given["edges"], tuple(listeners)
    )


def firing(prometheus: str) -> list[dict[str, str]]:
    """Labels of the alerts that fire; ValueError where rules are not evaluated."""
    query = urllib.parse.urlencode({"query": _QUERY})
    # Of the private network: no proxy is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{prometheus}/api/v1/query?{query}", timeout=webhooks.DEADLINE) as answer:
        told = json.loads(answer.read(_MOST))
    labels = [dict(one["metric"]) for one in told["data"]["result"]]
    if not any(it.get("alertname") == decide.ALIVE for it in labels):
        raise ValueError("Prometheus evaluates no rules")
    return labels


class Work:
    """Goes on where the last start of the program ended."""

    def __init__(self, current: Path, state: Path) -> None:
        self._folder, self._state = current / FOLDER, state / "availability.json"
        self._metrics = state / "metrics/availability.prom"
        self._said: dict[str, str] = {}
        self.services: dict[str, Seen] = {}
        self.accounts: dict[str, Account] = {}
        try:
            self.services, self.accounts = decide.recalled(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # There is none yet, or it was cut off: whoever was told that something is down is told again.
            self.services, self.accounts = {}, {}

    def turn(self, now: float) -> None:
        """One round."""
        if not (wanted := listed(self._folder)):
            return
        asked, waiting = self._look(wanted, now), {}
        self.accounts = {it.identity: self.accounts.get(it.identity) or Account() for it in wanted.listeners}
        for listener in wanted.listeners:
            waiting[listener] = self._tell(listener, wanted, now) if self.services else 0
        _write(self._state, decide.remembered(self.services, self.accounts), 0o600)
        _write(self._metrics, _text(self.services, waiting, asked), 0o644)

    def _look(self, wanted: Listed, now: float) -> bool:
        try:
            found = decide.fares(firing(wanted.prometheus), wanted.services, wanted.edges)
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            self._say("Prometheus", f"nobody is told how services fare: {error}")
            return False
        self._say("Prometheus", "")
        before = self.services
        self.services = {
            name: decide.seen(before.get(name) or Seen(since=now), state, alerts, now)
            for name, (state, alerts) in found.items()
        }
        return True

    def _tell(self, listener: Listener, wanted: Listed, now: float) -> int:
        """How many services the listener has yet to be told of, afterwards."""
        account, host = self.accounts[listener.identity], webhooks.host(listener.url)
        changes = list(decide.untold(account, listener, self.services))
        if now < account.due:
            return len(changes)
        for done, (name, before) in enumerate(changes):
            one = self.services[name]
            problem = self._send(listener, wanted, name, before)
            self._say(listener.identity, f"{host}: not told: {problem}" if problem else "")
            if problem:
                account.failed(now)
                return len(changes) - done
            account.worked(name, one.state)
            print(f"{host}: told that {name} is {one.state}", file=sys.stderr, flush=True)
        return 0

    def _send(self, listener: Listener, wanted: Listed, name: str, before: str) -> str:
        one, deadline = self.services[name], webhooks.DEADLINE
        body = decide.payload(wanted.where, name, one, before)
        if listener.format == "slack":
            body = {"text": webhooks.escaped(str(body["text"]))}
        identity = decide.identity(wanted.where, name, one)
        message = webhooks.Message(json.dumps(body).encode(), identity, listener.secret)
        # Made anew each time: the host's bundle of CAs may have been changed.
        context = ssl.create_default_context()
        failure = webhooks.within(lambda: webhooks.post(listener.url, message, context, deadline), deadline)
        return webhooks.reason(failure, deadline) if failure else ""

    def _say(self, of: str, line: str) -> None:
        """To the journal, when it is news."""
        if line and self._said.get(of) != line:
            print(line, file=sys.stderr, flush=True)
        self._said[of] = line


def _text(services: Mapping[str, Seen], waiting: Mapping[Listener, int], asked: bool) -> str:
    """In Prometheus's text format."""
    numbers = {decide.UP: 0, decide.DEGRADED: 1, decide.DOWN: 2}
    hooks: dict[str, int] = {}
    for listener, count in waiting.items():
        host = webhooks.host(listener.url)
        hooks[host] = hooks.get(host, 0) + count
    samples = {
        "slipway_availability_state": [
            (f'{{service="{name}"}}', numbers[it.state]) for name, it in services.items()
        ],
        "slipway_availability_untold": [(f'{{receiver="{name}"}}', count) for name, count in hooks.items()],
        "slipway_availability_asked": [("", int(asked))],
    }
    lines = []
    for metric, values in samples.items():
        lines += [f"# HELP {metric} {_HELP[metric]}\n# TYPE {metric} gauge\n"] if values else []
        lines += [f"{metric}{labels} {value}\n" for labels, value in values]
    return "".join(lines)


def _write(file: Path, content: str, mode: int) -> None:
    """By rename: a reader never sees half of it."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(content, encoding="utf-8")
    fresh.chmod(mode)
    fresh.rename(file)


def main(arguments: list[str]) -> None:
    """arguments: the folder of the stack."""
    root = Path(arguments[0])
    work = Work(root / "current", root / "state")
    while True:
        work.turn(time.time())
        time.sleep(SECONDS)  # between two looks
