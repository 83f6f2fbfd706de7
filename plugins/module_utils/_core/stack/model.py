"""What an environment declares, parsed once: the stack as a whole.

Its parts are in `model_service`, `model_rollout`, `model_hooks`, `model_data` and `model_components`.
Values only: `validation.parse_stack` makes them from the user's input and names every fault with its path;
`topology` decides what they mean for each host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model_components import Components
from .model_data import Data
from .model_hooks import Hook
from .model_integrations import Sentry
from .model_rollout import Strategy
from .model_service import Service

BEFORE_TRAFFIC, AFTER_RELEASE = "before_traffic", "after_release"
JOB_TIMES = (BEFORE_TRAFFIC, AFTER_RELEASE)


@dataclass(frozen=True)
class Host:
    """One machine of the environment. `address` is the private IP address its peers reach it at."""

    name: str
    address: str


@dataclass(frozen=True)
class Job:
    """A command that ends, run once a release in a container of its own, made as a service's are."""

    name: str
    service: str
    command: tuple[str, ...]
    when: str
    deadline: int


@dataclass(frozen=True)
class SecretRule:
    """How a user's secret comes to be: `generate` random bytes (hex); None: the user supplies it."""

    name: str
    generate: int | None


@dataclass(frozen=True)
class Objectives:
    """What a fault may cost at most, in seconds.

    rto: until writes are taken again; rpo: of writes lost; read_gap: without an answer to a read.
    """

    rto: int = 30
    rpo: int = 0
    read_gap: int = 10


@dataclass(frozen=True)
class Stack:
    """What an environment runs.

    `images` overrides a component's image reference by name; `strategies` are the user's own;
    `protected_releases` are ids that retention spares.
    """

    name: str
    domain: str
    hosts: tuple[Host, ...]
    services: Mapping[str, Service]
    secrets: Mapping[str, SecretRule]
    components: Components
    images: Mapping[str, str]
    keep_releases: int
    strategies: Mapping[str, Strategy]
    hooks: tuple[Hook, ...] = ()
    protected_releases: tuple[str, ...] = ()
    jobs: Mapping[str, Job] = field(default_factory=dict)
    objectives: Objectives = Objectives()
    sentry: Sentry | None = None
    data: Data = field(default_factory=Data)
