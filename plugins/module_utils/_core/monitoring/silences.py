"""Silences for the time of planned work: what they match, and Alertmanager's API v2 to begin and end them.

A silence says who asked for it, why, and when it ends by itself: a run that is killed must not leave the
environment mute.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import SlipwayError
from ..transport import Place, connection

DEADLINE = 5.0
LONGEST = timedelta(hours=12)
_MOST = 4 * 1024 * 1024
# Planned work is no reason to be blind to these.
NEVER = ("EnvironmentDown", "SiteDown", "PostgresNoLeader", "PostgresTwoLeaders", "SiteAnswers", "Watchdog")


@dataclass(frozen=True)
class Silence:
    """What is not told meanwhile. `matchers`: (label, pattern, whether it must fit); `ends`: UTC."""

    matchers: tuple[tuple[str, str, bool], ...]
    owner: str
    comment: str
    ends: datetime

    def body(self, now: datetime) -> dict[str, Any]:
        """As Alertmanager wants it."""
        return {
            "matchers": [
                {"name": label, "value": pattern, "isRegex": True, "isEqual": fits}
                for label, pattern, fits in self.matchers
            ],
            "createdBy": self.owner,
            "comment": self.comment,
            "startsAt": _moment(now),
            "endsAt": _moment(self.ends),
        }


def of_host(host: str, owner: str, comment: str, seconds: int, now: datetime) -> Silence:
    """All that is said of one host, but not that the whole site is ill."""
    escaped = host.replace("\\", "\\\\").replace(".", "\\.")
    return _silence([("host", escaped, True)], owner, comment, seconds, now)


def of_everything(owner: str, comment: str, seconds: int, now: datetime) -> Silence:
    """All that is said of the environment, but what no planned work explains."""
    # Alertmanager refuses a silence that would fit an alert without labels.
    return _silence([("alertname", ".+", True)], owner, comment, seconds, now)


def of_services(services: Sequence[str], owner: str, comment: str, seconds: int, now: datetime) -> Silence:
    """Warnings of services that move. What is critical is told even then: it would be the release's fault."""
    if not services:
        raise SlipwayError("no service is named", "Name the services that move, or none to silence nothing")
    chosen = [("service", "|".join(sorted(services)), True), ("severity", "warning", True)]
    return _silence(chosen, owner, comment, seconds, now)


def _silence(
    chosen: Sequence[tuple[str, str, bool]], owner: str, comment: str, seconds: int, now: datetime
) -> Silence:
    if not owner or not comment.strip():
        raise SlipwayError("a silence says neither who wants it nor why", "Give owner and comment")
    if not 0 < seconds <= LONGEST.total_seconds():
        hours = LONGEST.total_seconds() / 3600
        raise SlipwayError(
            f"a silence of {seconds} s is out of range", f"Write 1 s to {hours:g} h; begin another after it"
        )
    return Silence(
        (*chosen, ("alertname", "|".join(NEVER), False)), owner, comment, now + timedelta(seconds=seconds)
    )


def same(silence: Silence, listed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ids of live silences with the same comment and matchers: whoever comes later may end them."""
    wanted = silence.body(silence.ends)
    return [
        str(one["id"])
        for one in listed
        if one["status"]["state"] in ("active", "pending")
        and one["comment"] == wanted["comment"]
        and _key(one["matchers"]) == _key(wanted["matchers"])
    ]


def _key(matchers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, bool, bool]]:
    return sorted((it["name"], it["value"], it["isRegex"], it.get("isEqual", True)) for it in matchers)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Alertmanager:
    """One Alertmanager, without TLS, at an address of the environment's private network."""

    def __init__(self, host: str, port: int, deadline: float = DEADLINE) -> None:
        self.name = f"Alertmanager ({host}:{port})"
        self._place = Place(host, port)
        self._deadline = deadline

    def begin(self, silence: Silence, now: datetime) -> str:
        """Its id."""
        answer = self._ask("POST", "/api/v2/silences", json.dumps(silence.body(now)))
        return str(answer["silenceID"])

    def end(self, identity: str) -> None:
        self._ask("DELETE", f"/api/v2/silence/{identity}")

    def silences(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/api/v2/silences")
        return found

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        try:
            with connection(self._place, self._deadline) as stream:
                client = http.client.HTTPConnection(self._place.host, self._place.port)
                client.sock = stream
                headers = {"Content-Type": "application/json", "Connection": "close"}
                client.request(method, path, body, headers)
                response = client.getresponse()
                status, text = response.status, response.read(_MOST)
        except (OSError, http.client.HTTPException) as error:
            raise SlipwayError(
                f"{self.name} does not answer: {error or type(error).__name__}",
                "Start it (deploy again); docs/runbooks/alerts.md says where to look",
            ) from error
        if status != 200:
            said = text[:200].decode(errors="replace").strip()
            raise SlipwayError(f"{self.name} answers {status}: {said}", "Look at docs/runbooks/alerts.md")
        return json.loads(text) if text.strip() else {}


def bring(alertmanagers: Sequence[Alertmanager], silence: Silence, present: bool, now: datetime) -> list[str]:
    """Begin or end a silence at every Alertmanager; what was done, a line each."""
    done = []
    for one in alertmanagers:
        known = same(silence, one.silences())
        if present and not known:
            done.append(f"{one.name}: silence {one.begin(silence, now)} until {_moment(silence.ends)}")
        for identity in () if present else known:
            one.end(identity)
            done.append(f"{one.name}: silence {identity} ended")
    return done
