"""Which hosts keep a stack's data, and what a deployment would leave behind on them; decisions, pure.

Each release says on every host who keeps what (`placement.json`): one can tell of another that is lost.
Data are left behind where none of the hosts that a setting names has them. Where one has, the others copy
them or begin beside it, as ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidInputError, Problem
from ..wording import did_you_mean, listed
from .model import Stack
from .topology import placement

# In a release: settings to the hosts that they name.
PLACEMENT = "placement.json"

# Settings below `stack.components`, and the component that has its data where they say.
_COMPONENTS: Mapping[str, str] = {
    "etcd": "etcd",
    "postgres": "postgres",
    "redis": "redis",
    "backup": "backup-repository",
    "logs": "logs",
    "monitoring": "prometheus",
}
_HELD: Mapping[str, str] = {
    "registry": "the images",
    "etcd": "the members it was founded with",
    "postgres": "the databases",
    "redis": "the keys",
    "backup": "the backups, the WAL and the archives",
    "logs": "the logs and traces",
    "monitoring": "the metrics and silences",
}
# Members that copy what another one has.
_COPIED = ("postgres", "redis")
_SERVICES = "services."
_CONSENT = "move"

Placement = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Left:
    """A setting, and the hosts that have its data: `here`, or `gone` from the inventory. None is `wanted`."""

    name: str
    here: tuple[str, ...]
    gone: tuple[str, ...]
    wanted: tuple[str, ...]

    @property
    def path(self) -> str:
        below = self.name.replace(".", "/") if self.name.startswith(_SERVICES) else f"components/{self.name}"
        return f"stack/{below}/hosts"

    @property
    def held(self) -> str:
        return _HELD.get(self.name, "its volumes")


def kept(stack: Stack) -> dict[str, tuple[str, ...]]:
    """Each setting that says where data are kept, and the hosts it names."""
    placed = placement(stack)
    services = stack.services.values()
    found = {
        "registry": stack.components.registry.hosts[:1],
        **{name: placed[component] for name, component in _COMPONENTS.items()},
        **{f"{_SERVICES}{service.name}": service.hosts for service in services if service.volumes},
    }
    return {name: hosts for name, hosts in found.items() if hosts}


def told(stack: Stack) -> str:
    """What a release says of it."""
    return json.dumps(kept(stack), indent=1, sort_keys=True) + "\n"


def left(wanted: Placement, found: Sequence[Placement], hosts: Sequence[str]) -> list[Left]:
    """What would begin anew elsewhere. found: what the hosts' releases say; hosts: of the inventory."""
    moving = []
    for name, names in wanted.items():
        present = tuple(dict.fromkeys(host for one in found for host in one.get(name, ())))
        if names and present and not _stays(name, present, names):
            here = tuple(host for host in present if host in hosts)
            gone = tuple(host for host in present if host not in hosts)
            moving.append(Left(name, here, gone, tuple(names)))
    return moving


def _stays(name: str, present: Sequence[str], wanted: Sequence[str]) -> bool:
    if name == "etcd" and len(present) == 1:
        # A deployment adds no members: what is founded elsewhere would be another cluster.
        return set(present) == set(wanted)
    return bool(set(present) & set(wanted))


def judge(found: Sequence[Left], consent: Sequence[str], known: Sequence[str]) -> list[str]:
    """What is to be said of it. InvalidInputError where data would be left that `consent` does not name.

    known: settings that may be named.
    """
    strange = [name for name in consent if name not in known]
    unknown = [Problem(_CONSENT, f"names {name}", _names(name, known)) for name in strange]
    problems = [*unknown, *(problem for it in found for problem in _refused(it, consent))]
    if problems:
        raise InvalidInputError(problems)
    return remarks(found)


def remarks(found: Sequence[Left]) -> list[str]:
    """What begins anew, for those who do it knowingly."""
    return [f"{it.path}: {_fate(it)}." for it in found]


def _names(name: str, known: Sequence[str]) -> str:
    return f"{did_you_mean(name, known)}Name one or several of {listed(known)}"


def _refused(it: Left, consent: Sequence[str]) -> Iterator[Problem]:
    stay = f"Write `hosts: {_list(it.here)}` there to leave it where it is"
    anew = f"-e {_CONSENT}={it.name}"
    if not it.here:
        # A lost host must not keep the others from being deployed to; databases are another matter.
        if it.name == "postgres" and it.name not in consent:
            back = "playbooks/rebuild.yml brings them back (docs/runbooks/rebuild.md)"
            remedy = f"Put the host back into the inventory. Is it lost, {back}; to begin with none, {anew}"
            yield Problem(it.path, _fate(it), remedy)
    elif it.name == "etcd":
        named = f"would be {listed(it.wanted)} in place of {listed(it.here)}"
        why = "no deployment changes its members"
        yield Problem(it.path, f"{named}, and {why}", f"Write `hosts: {_list(it.here)}` there")
    elif it.name in _COPIED:
        both = f"write `hosts: {_list((*it.here, *it.wanted))}`, deploy, and take {listed(it.here)} out later"
        yield Problem(it.path, _fate(it), f"{stay}; to move it with its data, {both}")
    elif it.name not in consent:
        yield Problem(it.path, _fate(it), f"{stay}, or let it begin anew: {anew}")


def _fate(it: Left) -> str:
    anew = f"would begin empty on {listed(it.wanted)}"
    if it.here:
        return f"{anew}, for {it.held} are on {listed(it.here)} and stay behind"
    return f"{anew}, for {it.held} were on {listed(it.gone)}, which the inventory no longer has"


def _list(hosts: Sequence[str]) -> str:
    return f"[{', '.join(dict.fromkeys(hosts))}]"
