"""The one place for what all hosts say: where hosts send it, how it is asked, and how an answer reads."""

from __future__ import annotations

import http.client
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import SlipwayError
from ..stack.topology import LOG_PORTS, HostView, Topology
from ..transport import Place, Trust, request
from .log_lines import SEARCHED, since_from

# What a host's `log_shipper` reads; it is rendered with a release, beside the certificate it shows.
SETTINGS = "config/host/logs.json"
# Seconds for an answer; the store itself gives up after thirty.
DEADLINE = 40.0
# Bytes of it: a line is 256 KB at most, and thousands of them are for no human eye.
ANSWER = 64 * 1024 * 1024
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_REPLICA = re.compile(r".+-(?:blue|green)-\d+")
_WORD = re.compile(r"[A-Za-z0-9._:/@-]+")


@dataclass(frozen=True)
class Search:
    """What is looked for. component: also a service or a job; audit: in the store of who did what."""

    component: str = ""
    host: str = ""
    release: str = ""
    request: str = ""
    contains: str = ""
    since: str = ""
    before: str = ""
    lines: int = 50
    audit: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Search:
        return cls(**{key: values[key] for key in cls.__dataclass_fields__ if values.get(key) is not None})

    def check(self) -> None:
        """SlipwayError where something asked for means nothing; before any host is asked."""
        since_from(self.since, "")
        since_from(self.before, "")
        for name, value in (("request", self.request), ("release", self.release), ("host", self.host)):
            if value and not _WORD.fullmatch(value):
                raise SlipwayError(f"{name} is {value!r}", "Write letters, digits and . _ : / @ - only")
        if not any((self.component, self.host, self.release, self.request, self.contains)):
            raise SlipwayError(
                "nothing is looked for",
                "Name a component (C=), a request (ID=), words (HAS=) or a host (HOST=)",
            )


def shipping(topology: Topology, view: HostView) -> str:
    """Where a host sends its lines, and under which name, as JSON; empty where there is no store."""
    members = topology.members("logs-proxy")
    if not members:
        return ""
    told = {
        "name": view.host.name,
        "stack": topology.stack.name,
        "host": members[0].address,
        "port": LOG_PORTS["logs-proxy"],
    }
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def query(search: Search, now: datetime) -> str:
    """In LogsQL: the newest lines."""
    parts = [*_times(search, now), *_names(search)]
    # An id is a word of the line, whoever wrote it and however he calls it.
    parts += [_quoted(search.request)] if search.request else []
    # Words from the middle of others, too: what `grep` would find.
    parts += [f"~{_quoted(re.escape(search.contains))}"] if search.contains else []
    newest = f"sort by (_time desc) limit {max(search.lines, 1)}"
    return f"{' '.join(parts)} | {newest} | fields _time, host, component, _msg, seq"


def find(search: Search, host: str, trust: Trust, warn: Callable[[str], None]) -> list[str]:
    """Lines of all hosts in the order of time, each after its time, host and container."""
    asked = urllib.parse.urlencode({"query": query(search, datetime.now(UTC))})
    path = f"{'/audit' if search.audit else ''}/select/logsql/query?{asked}"
    place = Place(host, LOG_PORTS["logs-proxy"], trust)
    try:
        reply = request(place, path, host, DEADLINE, most=ANSWER)
    except (OSError, EOFError, http.client.HTTPException) as error:
        raise SlipwayError(
            f"the log store on {host} does not answer: {error or type(error).__name__}",
            "Read what each host has kept (STORE=no), and see docs/runbooks/logs.md",
        ) from error
    if reply.status != http.client.OK:
        said = reply.body.decode(errors="replace").strip()[-300:]
        raise SlipwayError(
            f"the log store on {host} answers {reply.status}: {said}",
            "Ask for a shorter time, or read what each host has kept (STORE=no); docs/runbooks/logs.md",
        )
    return told(rows(reply.body, warn))


def rows(body: bytes, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """What an answer holds, one a line; the last of one that is cut at its bound is no whole line."""
    if len(body) >= ANSWER:
        warn(
            f"the answer is larger than {ANSWER >> 20} MB, and the oldest of its lines are left out. "
            "Ask for fewer lines (N=), or for a shorter time (SINCE=, BEFORE=)"
        )
        body = body[: body.rfind(b"\n") + 1]
    return [json.loads(line) for line in body.splitlines() if line.strip()]


def told(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """As `make logs` shows them. What was sent twice, because an answer got lost, is told once."""
    once = {(row.get("host"), row.get("seq") or index): row for index, row in enumerate(rows)}
    return sorted(
        f"{_full(row['_time'])} {row.get('host', '?')} {row.get('component', '?')} {row.get('_msg', '')}"
        for row in once.values()
    )


def _full(moment: str) -> str:
    """With all nine digits, so that the order of texts is the order of time."""
    seconds, _, fraction = moment.rstrip("Z").partition(".")
    return f"{seconds}.{fraction:0<9}Z"


def _times(search: Search, now: datetime) -> Iterator[str]:
    # An id is found at once in all days; for anything else all days would have to be read.
    since = search.since or ("" if search.request else SEARCHED)
    yield f"_time:>={_moment(since, now)}" if since else "*"
    if search.before:
        yield f"_time:<={_moment(search.before, now)}"


def _moment(text: str, now: datetime) -> str:
    if text[-1] in _UNITS:
        return f"{now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])}):%Y-%m-%dT%H:%M:%S.%fZ}"
    # Without a zone it would be that of the store's container.
    return text if re.search(r"(Z|T.*[+-]\d\d:\d\d)$", text) else f"{text}Z"


def _names(search: Search) -> Iterator[str]:
    if search.component:
        own = _quoted(search.component)
        whole = f"component:={own}"
        yield whole if _REPLICA.fullmatch(search.component) else f"({whole} or service:={own} or job:={own})"
    if search.host:
        yield f"host:={_quoted(search.host)}"
    if search.release:
        yield f"release:={_quoted(search.release)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
