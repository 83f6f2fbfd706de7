"""What every contender brings: a way to its users, and commands that bring a release out and take it back."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass

from page_load import Connect
from reckoning import Floor

OLD, NEW = "release-a", "release-b"
# A client waits as long as a person might.
CLIENT_SECONDS = 15.0


@dataclass(frozen=True)
class Change:
    """From one release to another; `command` returns when the contender's own command does."""

    what: str
    old: str
    new: str
    command: Callable[[], None]
    floor: Floor


@dataclass(frozen=True)
class Way:
    """`settle` returns when every replica of a version is ready."""

    name: str
    connect: Connect
    settle: Callable[[str], None]
    changes: tuple[Change, ...]


def release(command: Callable[[], None], floor: Floor) -> Change:
    return Change("release", OLD, NEW, command, floor)


def rollback(command: Callable[[], None], floor: Floor) -> Change:
    return Change("rollback", NEW, OLD, command, floor)


def plain(address: str, port: int) -> Connect:
    return lambda: http.client.HTTPConnection(address, port, timeout=CLIENT_SECONDS)
