"""Which environment a run is for, and the hosts that belong to it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils._core.errors import InvalidInputError, Problem
from ..module_utils._core.stack.model import Host
from ..module_utils._core.wording import listed, shown

GROUP = "environments"
# Together they say which machine SSH ends up on.
_ENDPOINT = ("ansible_host", "ansible_port", "ansible_ssh_common_args", "ansible_connection")

Members = Mapping[str, Sequence[str]]
HostVariables = Mapping[str, Mapping[str, Any]]
Endpoint = tuple[str, ...]


@dataclass(frozen=True)
class Fleet:
    """The hosts of an environment, and what is wrong with their addresses."""

    hosts: tuple[Host, ...]
    problems: tuple[Problem, ...]


def members(variables: Any) -> Members:
    """The environments of the inventory, with their hosts; `variables`: Ansible's `hostvars`."""
    # Variables name groups without saying which is whose child; only the inventory itself knows.
    groups = variables._inventory.groups
    parent = groups.get(GROUP)
    children = parent.child_groups if parent else []
    return {str(group.name): [str(host.name) for host in group.get_hosts()] for group in children}


def select(run: Sequence[str], environments: Members) -> str:
    """The one environment that every host of a run belongs to; anything else is refused."""
    if not environments:
        remedy = (
            f"Add a group {GROUP} whose children are the environments, as in inventories/production/hosts.yml"
        )
        raise InvalidInputError([Problem("inventory", f"has no group {GROUP} with children", remedy)])
    memberships = {host: [name for name, hosts in environments.items() if host in hosts] for host in run}
    problems = list(_misplaced(memberships))
    if problems:
        raise InvalidInputError(problems)
    chosen = sorted({names[0] for names in memberships.values()})
    if len(chosen) > 1:
        remedy = f"Choose one with -l, for example -l {chosen[-1]}"
        problem = f"this run spans the environments {listed(chosen)}"
        raise InvalidInputError([Problem("inventory", problem, remedy)])
    return chosen[0]


def _misplaced(memberships: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    for host, names in memberships.items():
        if not names:
            remedy = f"Add it to the group of its environment, a child of {GROUP}, or leave it out with -l"
            yield Problem(f"inventory/{host}", "belongs to no environment", remedy)
        elif len(names) > 1:
            remedy = "A host belongs to one environment; remove it from the others"
            yield Problem(f"inventory/{host}", f"belongs to the environments {listed(names)}", remedy)


def refuse_partial(run: Sequence[str], environment: str, environments: Members) -> None:
    """A run that would leave some of the environment's hosts behind is refused."""
    left_out = [host for host in environments[environment] if host not in run]
    if left_out:
        problem = f"the limit leaves out {listed(left_out)}"
        remedy = f"Run it for the whole environment: -l {environment}"
        raise InvalidInputError([Problem(f"inventory/{environment}", problem, remedy)])


def fleet(environment: str, environments: Members, variables: HostVariables) -> Fleet:
    """The environment's hosts with the addresses their peers reach them at."""
    names = environments[environment]
    addresses = {name: _address(name, variables[name]) for name in names}
    faults = [address for address in addresses.values() if isinstance(address, Problem)]
    hosts = tuple(Host(name, "" if isinstance(it, Problem) else it) for name, it in addresses.items())
    return Fleet(hosts, (*faults, *_shared_addresses(hosts)))


def _address(name: str, variables: Mapping[str, Any]) -> str | Problem:
    key = next((key for key in ("slipway_address", "ansible_host") if variables.get(key) is not None), "")
    value = variables[key] if key else name
    path, remedy = (
        f"inventory/{name}",
        "Set slipway_address to its private IPv4 address, for example 10.0.0.11",
    )
    try:
        address = ipaddress.IPv4Address(str(value))
    except ValueError:
        what = f"{key} is {shown(str(value))}, not an IPv4 address" if key else "has no address"
        return Problem(path, what, remedy)
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        return Problem(path, f"{key or 'address'} is {address}, where no peer can reach it", remedy)
    return str(address)


def _shared_addresses(hosts: Sequence[Host]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for host in hosts:
        other = first.setdefault(host.address, host.name)
        if host.address and other != host.name:
            remedy = "Give each machine one name and one address"
            yield Problem(f"inventory/{host.name}", f"has {host.address}, the address of {other}", remedy)


def engine_settings(host: str, settings: object) -> Iterator[Problem]:
    """Settings of a host's engine with which the stack cannot run."""
    if isinstance(settings, Mapping) and settings.get("userland-proxy") is False:
        path = f"inventory/{host}/host_engine_settings/userland-proxy"
        problem = "is false, but containers reach what their own host publishes only through it"
        yield Problem(path, problem, "Leave it out: it is on by default")


def shared_machines(names: Sequence[str], endpoints: Mapping[str, Endpoint | None]) -> Iterator[Problem]:
    """Machines that two environments list under two names: deploying to one would overwrite the other."""
    owners = {endpoint: host for host in names if (endpoint := endpoints[host])}
    for host, endpoint in endpoints.items():
        twin = owners.get(endpoint) if endpoint else None
        if twin and host not in names:
            problem = f"is the machine that another environment lists as {host}"
            remedy = "A host belongs to one environment; remove it from the other"
            yield Problem(f"inventory/{twin}", problem, remedy)


def endpoint(variables: Mapping[str, Any]) -> Endpoint | None:
    """Where a connection to the host ends up, as far as its variables say."""
    if variables.get("ansible_host") is None:
        return None
    return tuple(str(variables.get(key) or "") for key in _ENDPOINT)
