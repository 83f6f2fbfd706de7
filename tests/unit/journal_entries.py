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
CONTAINER = {
    "CONTAINER_NAME": "shop-api-blue-1-1",
    "COM_DOCKER_COMPOSE_SERVICE": "api-blue-1",
    "COM_DOCKER_COMPOSE_PROJECT_CONFIG_FILES": "/opt/shop/releases/99ac20d3e760/docker-compose.prod.yml",
    "SLIPWAY_SERVICE": "api",
    "SLIPWAY_POOL": "blue",
    "SLIPWAY_REPLICA": "api-blue-1",
    "PRIORITY": "6",
    # The driver's own process, which is not whoever speaks: as journald says, and as nobody can claim.
    "_SYSTEMD_UNIT": "docker.service",
    "SYSLOG_FACILITY": "10",
}


def entry(number: int, message: Any, **fields: Any) -> dict[str, Any]:
    own = {
        "__CURSOR": f"c{number}",
        "__SEQNUM": str(number),
        "__SEQNUM_ID": "5ca1ab1e" + 24 * "0",
        "__REALTIME_TIMESTAMP": str(1_000_000 * number),
    }
    return {**own, "MESSAGE": message, **fields}
