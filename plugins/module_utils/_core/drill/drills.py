"""Drills: what is done to which host on purpose, for how long, and what may come of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SlipwayError
from ..images.image_catalog import REGISTRY
from ..stack.model import Objectives
from ..stack.topology import Topology
from ..wording import did_you_mean, listed

KILL, VANISH, HANG, PARTITION, DROP = "kill", "vanish", "hang", "partition", "drop"
STOP, FILL, CORRUPT, SUSPEND = "stop", "fill", "corrupt", "suspend"
# Done in a moment: what takes time is how it is made good.
AT_ONCE = (KILL, DROP)
LEADS, LAST = "leads", "last"


@dataclass(frozen=True)
class Drill:
    """title: what happens, for a report. component: whose container, or whose host.

    fault: KILL ends its server at once, as a crash does; HANG freezes its container; STOP stops it
    as an operator does, and starts it again; SUSPEND freezes its Patroni and lets the server run on, with
    nobody to demote it; FILL lets its files grow no more, as a full disk does; VANISH
    takes its host off the network, as a lost one is; PARTITION cuts it off from the other hosts, and from
    nobody else;
    DROP drops a table, which a copy of the second before brings back; CORRUPT lets a file of the newest
    backup be read with damage, which the proof of backups must find.
    victim: LEADS is the host whose member leads, LAST the last of its hosts in the inventory.
    seconds: after which the fault ends by itself; 0: it is over at once.
    spared: whether users are served without the component, so that its only host may be hit, too.
    """

    title: str
    fault: str
    component: str
    victim: str
    seconds: int = 0
    spared: bool = False


DRILLS: Mapping[str, Drill] = {
    "primary_kill": Drill("PostgreSQL's primary is killed", KILL, "postgres", LEADS),
    "primary_stop": Drill("PostgreSQL's primary is stopped for a while", STOP, "postgres", LEADS, 30),
    "primary_hang": Drill("PostgreSQL's primary and its Patroni hang", HANG, "postgres", LEADS, 60),
    "patroni_hang": Drill(
        "the Patroni of PostgreSQL's primary hangs, its server runs on", SUSPEND, "postgres", LEADS, 60
    ),
    "primary_disk_full": Drill("the disk of PostgreSQL's primary is full", FILL, "postgres", LEADS, 60),
    "primary_host_loss": Drill("the host of PostgreSQL's primary is lost", VANISH, "postgres", LEADS, 60),
    "primary_partition": Drill(
        "the host of PostgreSQL's primary is cut off from the other hosts", PARTITION, "postgres", LEADS, 60
    ),
    "table_drop": Drill("a table is dropped", DROP, "postgres", LEADS),
    "redis_master_kill": Drill("Redis's master is killed", KILL, "redis", LEADS),
    "redis_master_host_loss": Drill("the host of Redis's master is lost", VANISH, "redis", LEADS, 60),
    "etcd_member_hang": Drill("a member of etcd hangs", HANG, "etcd", LAST, 45),
    "edge_host_loss": Drill("an edge host is lost", VANISH, "edge", LAST, 45),
    "backup_corruption": Drill(
        "a file of the newest backup is damaged", CORRUPT, "backup-repository", LAST, 900, spared=True
    ),
    "registry_hang": Drill("the registry of images hangs", HANG, REGISTRY, LAST, 30, spared=True),
}


def drill_of(name: str) -> Drill:
    """SlipwayError where there is no such drill."""
    if name not in DRILLS:
        meant = did_you_mean(name, DRILLS)
        raise SlipwayError(f"there is no drill {name!r}", f"{meant}Drills are {listed(DRILLS)}")
    return DRILLS[name]


def container(stack: str, component: str) -> str:
    """The registry is a Compose project of its own, so that no release touches it."""
    project = f"{stack}-{component}" if component == REGISTRY else stack
    return f"{project}-{component}-1"


def hosts(topology: Topology, component: str) -> list[str]:
    """The hosts that have a component, in the order the stack names them."""
    if component == REGISTRY:
        return list(topology.stack.components.registry.hosts)
    return [host.name for host in topology.members(component)]


def candidates(drill: Drill, having: Sequence[str]) -> Sequence[str]:
    """Of the hosts that have the component, those of which one is hit; refused where none would be left."""
    if not having:
        raise SlipwayError(f"no host has {drill.component}", "Choose a drill of what the stack has")
    if drill.fault not in AT_ONCE and not drill.spared and len(having) == 1:
        raise SlipwayError(
            f"{having[0]} alone has {drill.component}: without it there is nothing left to measure",
            "Declare more hosts for it, or choose a drill that kills and does not take away",
        )
    return having[-1:] if drill.victim == LAST else having


def failures(figures: Mapping[str, Any], objectives: Objectives) -> list[str]:
    """What came of a drill that must not, from the ledger's figures; nothing where all was well."""
    (fault,) = figures["faults"]
    found = []
    if not figures["acknowledged"]:
        found.append("no write was acknowledged, so nothing is proven")
    if fault["rto"] is None:
        found.append("writes did not come back")
    elif fault["rto"] > objectives.rto:
        found.append(f"writes came back after {fault['rto']:.1f} s, {objectives.rto} s are allowed (rto)")
    elif figures["interrupted"] > objectives.rto:
        whole = f"{figures['interrupted']:.1f} s"
        found.append(f"writes were interrupted for {whole} in all, {objectives.rto} s are allowed (rto)")
    found += _reads(figures, objectives)
    if figures["lost"] and figures["rpo"] >= objectives.rpo:
        found.append(
            f"{figures['lost']} acknowledged writes of {figures['rpo']:g} s are lost, "
            f"{objectives.rpo} s are allowed (rpo)"
        )
    for what in ("duplicated", "altered"):
        if figures[what]:
            found.append(f"{figures[what]} writes are {what}")
    return found


def _reads(figures: Mapping[str, Any], objectives: Objectives) -> list[str]:
    if not figures["reads"]:
        return ["no read was answered, so nothing is known of reads"]
    if not figures["reads_back"]:
        return ["reads did not come back"]
    if figures["longest_read_gap"] > objectives.read_gap:
        gap = f"{figures['longest_read_gap']:.1f} s"
        return [f"no read was answered for {gap}, {objectives.read_gap} s are allowed (read_gap)"]
    return []
