"""Who else gets logs and traces, over OTLP: which wishes cannot work, and what is told to whom sends.

Traces are sent by a collector, logs by each host's `log_export`, one process for each
destination, which reads what `destinations` tells it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ..errors import Problem, SlipwayError
from ..stack.model import Host, Stack
from ..stack.model_integrations import Export
from .alert_faults import secret_faults

LOGS = "stack/components/logs/exports"
TRACES = "stack/components/logs/traces/exports"
# A file for each destination of a host's lines.
FOLDER = "config/host/log-exports"
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([ -~]+?)[ \t]*")
# They say what is sent, which only who sends it knows.
_TAKEN = {"content-type", "content-encoding", "content-length", "transfer-encoding"}


def export_faults(stack: Stack) -> Iterator[Problem]:
    logs = stack.components.logs
    if logs is None:
        return
    for place, exports in ((LOGS, logs.exports), (TRACES, logs.traces.exports if logs.traces else {})):
        for name, export in exports.items():
            yield from _faults(export, f"{place}/{name}", stack)


def _faults(export: Export, path: str, stack: Stack) -> Iterator[Problem]:
    # What the schema refused is blank here.
    port = export.url.split("/")[2].partition(":")[2] if export.url else ""
    if port and not 0 < int(port) < 65536:
        yield Problem(f"{path}/url", f"has port {port}", "Write one from 1 to 65535")
    if export.headers_secret is None:
        return
    yield from secret_faults({"headers_secret": export.headers_secret}, path, stack)
    if urlsplit(export.url).scheme == "http":
        remedy = "Write https, or leave headers_secret out"
        yield Problem(f"{path}/url", "would show the secret to everybody on the way", remedy)


def export_headers(name: str, text: str) -> dict[str, str]:
    """The headers that a secret holds, one a line; of a line that is none, its number alone is told."""
    headers = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            raise SlipwayError(
                f"stack/secrets/{name} is no list of headers: line {number} is not `Name: value`",
                "Write one header a line, for example `Authorization: Bearer …`",
            )
        if match[1].lower() in _TAKEN:
            raise SlipwayError(
                f"stack/secrets/{name} sets {match[1]} in line {number}, which says what is sent",
                "Remove that line",
            )
        headers[match[1]] = match[2]
    return headers


def destinations(stack: Stack, host: Host, environment: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """What a host's programs are told that send its lines to others: path -> text."""
    logs = stack.components.logs
    origin = {"host": host.name, "stack": stack.name, "environment": environment}
    found = {}
    for name, export in (logs.exports if logs else {}).items():
        secret = export.headers_secret
        headers = export_headers(secret, secrets[secret]) if secret else {}
        told: dict[str, object] = {"url": export.url, "headers": headers, "encoding": export.encoding}
        told |= {"audit": export.audit, **origin}
        found[f"{FOLDER}/{name}.json"] = json.dumps(told, indent=1, sort_keys=True) + "\n"
    return found
