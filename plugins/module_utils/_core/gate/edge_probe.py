"""Questions to single replicas through single edge hosts, and what is wrong with their answers; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..routing.router_address import Address
from ..stack.model_rollout import ServiceProbe

# Tries of one question at one replica through one edge host: one bad answer is an accident, two are not.
TRIES = 3
ACCIDENT = 1
# Bytes of a wrong answer that are told.
EXCERPT = 120


@dataclass(frozen=True)
class Edge:
    """One edge host: where it takes requests, and where its router is asked about itself.

    to_come: it may not take any yet, for the release has yet to start it.
    """

    name: str
    address: str
    port: int
    router: Address
    to_come: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Edge:
        router = Address.from_dict(values["router"])
        to_come = bool(values["to_come"])
        return cls(str(values["name"]), str(values["address"]), int(values["port"]), router, to_come)


@dataclass(frozen=True)
class Probed:
    """A new pool of a service: its route, its replicas as HAProxy names them, and what each is asked."""

    service: str
    pool: str
    grpc: bool
    domain: str
    public_port: int
    route: str
    servers: tuple[str, ...]
    probes: tuple[ServiceProbe, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Probed:
        probes = tuple(ServiceProbe(**probe) for probe in values["probes"])
        return cls(**{**values, "servers": tuple(values["servers"]), "probes": probes})

    @property
    def authority(self) -> str:
        return self.domain if self.public_port == 443 else f"{self.domain}:{self.public_port}"

    def __str__(self) -> str:
        return f"{self.service} ({self.pool})"


@dataclass(frozen=True)
class Question:
    """One probe of one replica through one edge host."""

    edge: Edge
    subject: Probed
    server: str
    probe: ServiceProbe

    @property
    def replica(self) -> str:
        """As requests and answers name it: HAProxy's backend and server."""
        return f"{self.subject.service}/{self.server}"

    @property
    def seconds(self) -> float:
        return self.probe.within / 1000

    @property
    def asked(self) -> str:
        what = "the gRPC health check" if self.subject.grpc else f"GET {self.probe.path}"
        return f"{what} through {self.edge.name}'s edge"

    def answered(self, what: str, expected: str, said: bytes = b"") -> str:
        """What came of it, in words."""
        excerpt = " ".join(said[:EXCERPT].decode(errors="replace").split())
        replica = f"replica {self.server}" + (f"; it said {excerpt}" if excerpt else "")
        return f"{self.subject} answered {what} to {self.asked}, expected {expected} ({replica})"

    def silent(self, why: str) -> str:
        return f"{self.subject} did not answer {self.asked}: {why} (replica {self.server})"


def questions(edge: Edge, subjects: Sequence[Probed], known: Sequence[str]) -> Iterator[Question]:
    """Everything to be asked through one edge host, of the servers that its router knows."""
    for subject in subjects:
        there = [server for server in subject.servers if server in known]
        for probe, server in product(subject.probes, there):
            yield Question(edge, subject, server, probe)


def judge(question: Question, status: int, body: bytes) -> str:
    """What is wrong with a replica's answer over HTTP; empty where nothing is."""
    probe = question.probe
    right = 200 <= status < 400 if probe.status is None else status == probe.status
    if not right:
        expected = "2xx or 3xx" if probe.status is None else str(probe.status)
        return question.answered(str(status), expected, body)
    if probe.contains is not None and probe.contains.encode() not in body:
        return question.answered(str(status), f'"{probe.contains}" in it', body)
    return ""


@dataclass(frozen=True)
class Try:
    """One question asked once. fault: what was wrong; foreign: why it could reach no replica; or neither."""

    seconds: float
    fault: str = ""
    foreign: str = ""


def summary(subject: Probed, asked: Mapping[Question, Sequence[Try]]) -> str:
    """What probing a pool came to, in one line for the plan's record."""
    own = {question: tries for question, tries in asked.items() if question.subject == subject}
    replicas = {question.server for question in own}
    edges = sorted({question.edge.name for question in own})
    times = [one.seconds for tries in own.values() for one in tries]
    if not times:
        return f"{subject}: not probed"
    return (
        f"{subject}: {len(times)} probes of {len(replicas)} replicas through {', '.join(edges)}, "
        f"slowest {max(times) * 1000:.0f} ms"
    )
