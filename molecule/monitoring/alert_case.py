"""What a drill of alerts does: a fault, the alerts that must be told of it, and what their runbooks say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# A rule's own time is waited for, and some minutes: scrape, evaluation, the group's wait, a busy machine.
SOON = 240
# Of a drill's host: what a fault leaves for whoever ends it.
NOTE = "/run/alert-drill"


@dataclass(frozen=True)
class Act:
    """One command. where: a role of hosts (alert_hands), each of which runs it as root; "checkout": here,
    with the lab in the place of `production`; "sinks": what this machine's servers become.

    fill: what stands in the runbook as an example -> what it is here, or the act whose answer's lines say so:
    the command is run once for each.
    quote: what the runbook says, where that is no command.
    """

    where: str
    command: str
    fill: Mapping[str, str | Act] = field(default_factory=dict)
    quote: str = ""

    @property
    def words(self) -> str:
        return self.quote or self.command


@dataclass(frozen=True)
class Watched:
    """An alert that a fault must lead to. labels: what tells it from others of its name; `<role>` is a host.

    section: of the runbook that the alert's `runbook_url` names, where what is done stands.
    """

    alert: str
    section: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One fault. told, resolved: seconds within which messages must come, from the fault, and from the first
    command of the runbook. before: what must be so already; no part of what is measured.

    unheard: nobody can be told of it before it is over: the missing sign of life tells.
    shortened: what the drill does not wait for, and how it goes without, for the table.
    """

    name: str
    fault: str
    watched: tuple[Watched, ...]
    inject: tuple[Act, ...]
    runbook: tuple[Act, ...]
    undo: tuple[Act, ...]
    told: int = SOON
    resolved: int = SOON
    unheard: bool = False
    shortened: str = ""
    before: tuple[Act, ...] = ()
