"""What HAProxy says of its servers, as values, and as the text it reads back when it starts; pure."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

# Bits of `srv_admin_state`: an operator's maintenance and drain; not what a weight of 0 comes to.
FORCED = 0x01 | 0x08
# Columns of `show servers state`.
SERVER, OPERATION, ADMINISTRATION, WEIGHT = 3, 5, 6, 7
RUNNING = "2"
# What a server's name ends in where it stands a second time, for users who are kept on its pool.
STICKY = ":sticky"


@dataclass(frozen=True)
class ServerState:
    """One server of one router: its backend, health ("UP", "DOWN", …) and open sessions.

    "DRAIN" is told of a server that was taken out of the traffic and of one whose weight is 0.
    """

    backend: str
    status: str
    sessions: int


@dataclass(frozen=True)
class Order:
    """What one server of one router was told: its weight (0 to 256), and whether to take no new traffic."""

    backend: str
    weight: int
    left_out: bool


def parse_orders(table: str) -> dict[str, Order]:
    """Orders by server name from the answer to `show servers state`."""
    rows = [line.split() for line in table.splitlines()[2:] if line.strip()]
    return {
        row[SERVER]: Order(row[1], int(row[WEIGHT]), bool(int(row[ADMINISTRATION]) & FORCED)) for row in rows
    }


def parse_places(table: str) -> list[tuple[str, str]]:
    """Backend and name of every server, from the answer to `show servers state`."""
    rows = [line.split() for line in table.splitlines()[2:] if line.strip()]
    return [(row[1], row[SERVER]) for row in rows]


def servers_in_service(table: str) -> set[str]:
    """Servers that are up and that nobody has taken out, from the answer to `show servers state`."""
    rows = [line.split() for line in table.splitlines()[2:] if line.strip()]
    return {
        row[SERVER] for row in rows if row[OPERATION] == RUNNING and not int(row[ADMINISTRATION]) & FORCED
    }


def belongs(server: str, host: str) -> bool:
    """Whether a server is one of a host's: `<replica>.<host>`, or the host's own database."""
    return bool(host) and (server == host or server.endswith(f".{host}"))


def healthy_again(table: str, out: str = "") -> str:
    """`show servers state` with every server up and none taken out: only weights shall outlive the router.

    One that starts asks every server anyway; what was true when the table was written may not be now.
    out: the host that is out of service; what its servers were told stays.
    """
    lines = table.strip().splitlines()
    rows = [line.split() for line in lines[2:]]
    for row in rows:
        kept = int(row[ADMINISTRATION]) & FORCED if belongs(row[SERVER], out) else 0
        row[OPERATION], row[ADMINISTRATION] = RUNNING, str(kept)
    return "\n".join([*lines[:2], *(" ".join(row) for row in rows), ""])


def parse_servers(statistics: str) -> dict[str, ServerState]:
    """Servers by name from the answer to `show stat`."""
    rows = [row for row in csv.DictReader(io.StringIO(statistics.lstrip("# "))) if row.get("type") == "2"]
    sessions: dict[str, int] = {}
    for row in rows:
        name = row["svname"].removesuffix(STICKY)
        sessions[name] = sessions.get(name, 0) + int(row["scur"] or 0) + int(row["qcur"] or 0)
    return {
        row["svname"]: ServerState(row["pxname"], row["status"], sessions[row["svname"]])
        for row in rows
        if not row["svname"].endswith(STICKY)
    }
