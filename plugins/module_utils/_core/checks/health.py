"""Probes and what they found, as values; how findings become a verdict and a table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import Problem
from ..wording import did_you_mean, listed, type_of

OK, WARN, FAIL = "ok", "warn", "fail"

_CLIENT = ("ca", "certificate", "key")
_TARGETS: Mapping[str, tuple[str, ...]] = {
    "http": ("url", "address"),
    "https": ("url", "address", *_CLIENT),
    "tcp": ("host", "port"),
    "tls": ("host", "port", "server_name", *_CLIENT),
    "grpc": ("host", "port", "service"),
    "container": ("container",),
    "postgres": ("url", *_CLIENT),
    "redis": ("host", "port", "password_file", *_CLIENT),
    "disk": ("path",),
    "memory": (),
}
_EXPECTATIONS: Mapping[str, tuple[str, ...]] = {
    "http": ("status", "contains"),
    "https": ("status", "contains"),
    "tls": ("days", "names"),
    "container": ("digest", "restarts", "settled"),
    "postgres": ("role", "lag"),
    "redis": ("role",),
    "disk": ("free", "warn"),
    "memory": ("free", "warn"),
}
KINDS = tuple(_TARGETS)
_OPTIONAL = frozenset({"address", "server_name", "service", "password_file", *_CLIENT})
_NUMBERS = frozenset({"port", "days", "restarts", "settled", "lag", "free", "warn"})
_LISTS = frozenset({"status", "names"})


@dataclass(frozen=True)
class Probe:
    """One question to ask, as data: made on the control node, asked on a host.

    timeout: seconds for one try. retries: further tries after a failed one, the first after `backoff`
    seconds and each later one after twice as long. deadline: seconds for all of them together.
    """

    name: str
    component: str
    kind: str
    target: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 2.0
    retries: int = 0
    backoff: float = 0.25
    deadline: float = 10.0

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Probe:
        """The probe that `to_dict` described; `problems` must have found nothing."""
        known = {item.name for item in dataclasses.fields(cls)}
        return cls(**{key: part for key, part in value.items() if key in known and part is not None})

    @property
    def where(self) -> str:
        """The place asked, for whoever has to look there."""
        target = self.target
        if "url" in target:
            address = target.get("address")
            return f"{target['url']} at {address}" if address else str(target["url"])
        if "host" in target:
            return f"{target['host']}:{target['port']}"
        return str(target.get("container") or target.get("path") or "this host")


@dataclass(frozen=True)
class Finding:
    """What one try came to: ok, warn or fail, in words, and what to do about it."""

    status: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A probe's final finding, as it is returned to Ansible."""

    component: str
    name: str
    status: str
    detail: str
    milliseconds: int
    where: str
    remedy: str

    @classmethod
    def of(cls, probe: Probe, finding: Finding, seconds: float) -> Check:
        return cls(
            probe.component,
            probe.name,
            finding.status,
            finding.detail,
            math.ceil(seconds * 1000),
            probe.where,
            "" if finding.status == OK else finding.remedy,
        )

    def __str__(self) -> str:
        return f"{self.component} {self.name} ({self.where}): {self.detail}. {self.remedy}."


def problems(probes: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Everything wrong with probes that a user wrote."""
    found: list[Problem] = []
    for position, probe in enumerate(probes):
        path = f"probes/{probe.get('name') or position}"
        kind = str(probe.get("kind"))
        if kind not in _TARGETS:
            hint = did_you_mean(kind, _TARGETS)
            found.append(Problem(f"{path}/kind", f"is {kind}", f"{hint}Use one of {listed(_TARGETS)}"))
            continue
        found += _part(f"{path}/target", probe.get("target") or {}, _TARGETS[kind], _OPTIONAL)
        found += _part(f"{path}/expect", probe.get("expect") or {}, _EXPECTATIONS.get(kind, ()), None)
    return found


def verdict(checks: Iterable[Check]) -> bool:
    """Healthy means that nothing failed; a warning is still health."""
    return all(check.status != FAIL for check in checks)


def unhealthy(checks: Iterable[Check]) -> list[str]:
    """One line per failed check: what, where, remedy."""
    return [str(check) for check in checks if check.status == FAIL]


def table(checks: Sequence[Check], host: str = "") -> list[str]:
    """One line per check, aligned, the failed ones first."""
    rank = {FAIL: 0, WARN: 1, OK: 2}
    rows: list[tuple[str, ...]] = [("STATUS", "COMPONENT", "CHECK", "MS", "DETAIL")]
    for check in sorted(checks, key=lambda check: rank[check.status]):
        detail = check.detail.replace("\n", " ")
        rows.append((check.status, check.component, check.name, str(check.milliseconds), detail))
    if host:
        rows = [("HOST" if row is rows[0] else host, *row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _part(path: str, part: Any, known: tuple[str, ...], optional: frozenset[str] | None) -> list[Problem]:
    if not isinstance(part, Mapping):
        return [Problem(path, f"is {type_of(part)}", f"Write a table of {listed(known)}")]
    found = []
    for key in sorted(set(part) - set(known)):
        found.append(
            Problem(f"{path}/{key}", "is unknown", f"{did_you_mean(key, known)}Known are {listed(known)}")
        )
    for key in known if optional is not None else ():
        if part.get(key) is None and key not in (optional or ()):
            found.append(Problem(f"{path}/{key}", "is missing", "Add it"))
    for key in known:
        found += _typed(f"{path}/{key}", key, part.get(key))
    return found


def _typed(path: str, key: str, value: Any) -> list[Problem]:
    if value is None:
        return []
    expected: tuple[type, ...] = (str,)
    words = "text"
    if key in _NUMBERS:
        expected, words = (int, float), "a number"
    elif key in _LISTS:
        expected, words = (list, tuple), "a list"
    if isinstance(value, expected) and not isinstance(value, bool):
        return []
    return [Problem(path, f"is {type_of(value)}", f"Write {words}")]
