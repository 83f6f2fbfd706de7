"""Two sites of one stack: which of them serves, and what stands against the other's turn. Decisions only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InvalidInputError, Problem, SlipwayError
from ..stack.model import Stack
from ..stack.topology import PORTS

# The replication slot that a site which serves keeps for the other.
SLOT = "other_site"
# Ends an alert's expression that means nothing at a site which follows: it serves nobody, takes no backups
# and deletes nothing.
UNLESS_IT_FOLLOWS = "unless on () max(patroni_standby_leader) == 1"
_RUNBOOK = "docs/runbooks/second-site.md"


def upstream(members: Sequence[str]) -> dict[str, Any]:
    """Patroni's `standby_cluster`: whom a site follows. Of several, the one that accepts writes."""
    return {
        "host": ",".join(members),
        "port": PORTS["postgres"],
        "primary_slot_name": SLOT,
        "create_replica_methods": ["basebackup"],
    }


def patroni_of(members: Sequence[str]) -> list[str]:
    return [f"https://{member}:{PORTS['patroni']}" for member in members]


def at_rest(stack: Stack) -> Stack:
    """What a site runs while the other one serves: the platform; no services, jobs and migrations."""
    services = {
        name: replace(service, replicas=0, migrations=None, sticky=False)
        for name, service in stack.services.items()
    }
    return replace(stack, services=services, jobs={})


@dataclass(frozen=True)
class Seen:
    """What one host tells of its site.

    known: whether its Patroni answers. absent: there is no PostgreSQL on it (yet), and no data of one. leads:
    its member is the primary, or the leader of those that follow. fed: the other site streams from this one's
    primary. promoted: the newest promotion of either site that this one knows of, in seconds since 1970.
    """

    host: str
    known: bool = False
    absent: bool = False
    follows: bool = False
    leads: bool = False
    primary: bool = False
    streams: bool = False
    fed: bool = False
    promoted: int = 0

    @classmethod
    def parse(cls, host: str, told: Mapping[str, Any]) -> Seen:
        flags = {
            name: bool(told.get(name))
            for name, field in cls.__dataclass_fields__.items()
            if field.type == "bool"
        }
        return cls(host, promoted=int(told.get("promoted") or 0), **flags)


def rests(seen: Sequence[Seen], *, follow: bool) -> bool:
    """Whether a site is at rest: as its databases say or, before there are any, as its stack begins."""
    known = [one for one in seen if one.known]
    if known:
        return known[0].follows
    if all(one.absent for one in seen):
        return follow
    raise SlipwayError(
        "no member of PostgreSQL's tells whether this site serves or follows the other one",
        f"Bring one back first: {_RUNBOOK}#no-member-tells",
    )


def may_take_over(
    own: Sequence[Seen], other: Sequence[Seen], name: str, *, planned: bool, lost: bool
) -> None:
    """Raise with every reason against promoting the site `own` in place of `name`."""
    leader = next((one for one in own if one.leads), None)
    primaries = [one for one in other if one.primary]
    found: list[tuple[str, str]] = []
    if planned and lost:
        found.append(("planned and lost exclude each other", "Give one: -e planned=true or -e lost=true"))
    if not leader:
        found.append(
            ("this site has no leader to promote", "Look at `patronictl list`: docs/runbooks/postgres.md")
        )
    elif not leader.follows:
        found.append(("this site serves already", "Nothing was changed"))
    elif planned and not leader.streams:
        found.append((f"{leader.host} does not stream from {name}", f"Wait until it does, or see {_RUNBOOK}"))
    if planned and not primaries:
        remedy = "If it is gone: -e lost=true, which may lose its last transactions"
        found.append((f"no primary of {name} answers, so nothing can be handed over", remedy))
    if planned and primaries and not primaries[0].fed:
        found.append((f"nobody takes WAL from {primaries[0].host}", f"See {_RUNBOOK}"))
    if not planned and not lost:
        found.append(_undecided(primaries, name))
    if found:
        raise InvalidInputError([Problem("second site", problem, remedy) for problem, remedy in found])


def _undecided(primaries: Sequence[Seen], name: str) -> tuple[str, str]:
    if primaries:
        return (
            f"{primaries[0].host} leads {name} and answers",
            "To move over without losing anything: -e planned=true. If it must be without it: -e lost=true",
        )
    return (
        f"{name} does not answer; that it serves nobody is not known",
        "When you have made sure that it is lost, or cut off from its users: -e lost=true",
    )
