"""Rules of `stack/components/console`: what cannot be reached, or would let nobody in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ..errors import Problem
from ..monitoring.alert_faults import secret_faults
from ..stack.model import Stack

PATH = "stack/components/console"


def console_faults(stack: Stack) -> Iterator[Problem]:
    console = stack.components.console
    if console is None:
        return
    for service in stack.services.values():
        if service.route and service.route.domain == console.domain and console.domain:
            problem = f"is {console.domain}, where service {service.name} is"
            yield Problem(f"{PATH}/domain", problem, "Name another domain, or write console: false")
    for index, network in enumerate(console.networks):
        if network and not _is_network(network):
            remedy = "Write an address, or the first address of a network with its length, as in 10.0.0.0/8"
            yield Problem(f"{PATH}/networks/{index}", f"{network} is not a network", remedy)
    for name, secret in console.users.items():
        yield from secret_faults({name: secret}, f"{PATH}/users", stack)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
