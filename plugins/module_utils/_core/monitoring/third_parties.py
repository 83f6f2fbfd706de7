"""What a stack needs of others: which wishes cannot work, and what the hosts that ask are told.

The program of the hosts that asks, `third_party_watch`, reads what `listing` writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ..errors import Problem
from ..stack.model import Stack
from ..stack.model_components import ThirdParty
from .alert_faults import secret_faults

PATH = "stack/components/monitoring/outside"
FOLDER = "config/host/third-parties"
_TOO_MANY = 429


def third_party_faults(stack: Stack) -> Iterator[Problem]:
    for name, party in stack.components.monitoring.outside.items():
        path = f"{PATH}/{name}"
        yield from _url(party, path)
        yield from _times(party, path)
        if party.expect == _TOO_MANY:
            remedy = "Expect the status of an answer to a request that is not one too many"
            yield Problem(f"{path}/expect", "is 429, which says that a limit is reached", remedy)
        if party.authorization_secret:
            yield from secret_faults({"authorization_secret": party.authorization_secret}, path, stack)


def _url(party: ThirdParty, path: str) -> Iterator[Problem]:
    # What the schema refused is blank here.
    parts = urlsplit(party.url)
    port = party.url.split("/")[2].partition(":")[2] if party.url else ""
    if port and not 0 < int(port) < 65536:
        yield Problem(f"{path}/url", f"has port {port}", "Write one from 1 to 65535")
    if party.authorization_secret and parts.scheme == "http":
        remedy = "Write https, or leave authorization_secret out"
        yield Problem(f"{path}/url", "would show the secret to everybody on the way", remedy)


def _times(party: ThirdParty, path: str) -> Iterator[Problem]:
    if not (party.within and party.slow and party.every):
        return
    if party.slow >= party.within:
        problem = f"is {party.slow} ms, and after {party.within} ms an answer counts as none"
        yield Problem(f"{path}/slow", problem, f"Write less than {path}/within")
    if party.within > party.every * 1000:
        problem = f"is {party.within} ms, longer than the {party.every} s until it is asked again"
        yield Problem(f"{path}/within", problem, f"Write {party.every}s or less, or a longer every")


def listing(parties: Mapping[str, ThirdParty]) -> str:
    """For the program that asks; of secrets the name alone, which is that of a file beside it."""
    told = {
        name: {
            "url": it.url,
            "method": it.method,
            "expect": it.expect,
            "every": it.every,
            "within": it.within,
            "slow": it.slow,
            "few": it.few,
            "authorization": it.authorization_secret,
        }
        for name, it in parties.items()
    }
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def secret_names(parties: Mapping[str, ThirdParty]) -> list[str]:
    return sorted({it.authorization_secret for it in parties.values() if it.authorization_secret})
