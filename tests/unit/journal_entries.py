"""Entries of a journal, as `journalctl` tells them."""

from __future__ import annotations

from typing import Any

LOGIN = {
    "SYSLOG_IDENTIFIER": "sudo",
    "SYSLOG_FACILITY": "10",
    "_SYSTEMD_UNIT": "session-3.scope",
    "_PID": "77",
    "PRIORITY": "5",
}


def entry(number: int, message: Any, **fields: Any) -> dict[str, Any]:
    own = {
        "__CURSOR": f"c{number}",
        "__SEQNUM": str(number),
        "__SEQNUM_ID": "5ca1ab1e" + 24 * "0",
        "__REALTIME_TIMESTAMP": str(1_000_000 * number),
    }
    return {**own, "MESSAGE": message, **fields}
