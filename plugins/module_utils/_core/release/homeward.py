"""Send the traffic to replicas that have served before: the quickest part of a way back, and the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..errors import SlipwayError
from ..routing.router import Router
from ..routing.router_state import servers_in_service
from ..stack.strategies import RETURN
from ..stack.topology import Topology
from .fleet import Change


@dataclass(frozen=True)
class Home:
    """One service: by host, the old pool's replicas as HAProxy names them, and the new pool's.

    live: the pool that is live for as long as the way home is open: the old one while a release is under
    way, the new one where it is gone back from later.
    """

    service: str
    live: str
    old: Mapping[str, Sequence[str]]
    new: Mapping[str, Sequence[str]]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Home:
        return cls(str(values["service"]), str(values["live"]), dict(values["old"]), dict(values["new"]))

    def carries(self, up: set[str]) -> bool:
        """Whether the old replicas can have all the traffic: each host that serves at all has all of its own.

        A host of which nothing is up is lost: it can be neither waited for nor counted on. One that is new
        has no old ones to wait for.
        """
        serving = [host for host in self.old if up.intersection([*self.old[host], *self.new[host]])]
        whole = all(up.issuperset(self.old[host]) for host in serving)
        return whole and any(self.old[host] for host in serving)

    @property
    def weights(self) -> dict[str, int]:
        old = {server: 100 for servers in self.old.values() for server in servers}
        return old | {server: 0 for servers in self.new.values() for server in servers}


def homes(topology: Topology, services: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """services: by name the pools `old`, `new`, `live`; `replicas`: how many the old one has on each of its
    hosts, the `veterans` (none named: all).
    """
    found = []
    for name, told in services.items():
        pools: dict[str, dict[str, list[str]]] = {"old": {}, "new": {}}
        for replica in topology.replicas_of(name):
            side = "old" if replica.pool == told["old"] else "new"
            here = pools[side].setdefault(replica.host.name, [])
            veteran = replica.host.name in (told.get("veterans") or [replica.host.name])
            if side == "new" or (veteran and replica.index <= int(told["replicas"])):
                here.append(replica.server)
        found.append({"service": name, "live": told["live"], **pools})
    return found


def returns(changes: Sequence[Change]) -> dict[str, dict[str, Any]]:
    """What `homes` needs to go back to pools that are kept warm; empty unless that is all there is to do.

    Services of one release are not torn apart: where one of them is not warm, all go by the plan.
    """
    if any(it.service.strategy != RETURN for it in changes):
        return {}
    return {
        it.service.name: {"old": it.new, "new": it.old, "live": it.old, "replicas": it.service.replicas}
        for it in changes
    }


def passable(homes: Sequence[Home], live: Callable[[str], str]) -> list[Home]:
    """Those that the traffic can still take. live: service -> its live pool.

    Once another pool was promoted, what is left of the one to go back to is on its way out.
    """
    return [home for home in homes if live(home.service) == home.live]


def send_home(routers: Sequence[Router], homes: Sequence[Home], kept: Callable[[Router], None]) -> list[str]:
    """Tell routers, side by side; a line for each that was told something or could not be told.

    kept: called with each router that was told. What is not done here is done by the moves that follow.
    """
    with ThreadPoolExecutor(max(len(routers), 1)) as pool:
        return [line for lines in pool.map(lambda it: _tell(it, homes, kept), routers) for line in lines]


def _tell(router: Router, homes: Sequence[Home], kept: Callable[[Router], None]) -> list[str]:
    try:
        up = servers_in_service(router.table())
        able = [home for home in homes if home.carries(up)]
        if not able:
            return []
        changed = router.set_weights(
            {server: weight for home in able for server, weight in home.weights.items()}
        )
        kept(router)
    except SlipwayError as error:
        return [error.problem]
    names = ", ".join(home.service for home in able)
    return [f"{router.address.name}: all the traffic of {names} to the old replicas"] if changed else []
