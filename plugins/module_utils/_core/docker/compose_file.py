"""A release's Compose file among its files: its name, and what can be read from its text alone; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..pool_names import POOLS
from ..tree import File

COMPOSE_FILE = "docker-compose.prod.yml"
IMAGE = re.compile(r"^    image: (\S+)$", re.MULTILINE)


def images_named(files: Sequence[File]) -> set[str]:
    return set(IMAGE.findall(_text(files)))


def replicas_defined(service: str, files: Sequence[File]) -> int:
    """Replicas of a service in a release: both pools have as many."""
    return len(re.findall(rf"^  {re.escape(service)}-{POOLS[0]}-\d+:$", _text(files), re.MULTILINE))


def _text(files: Sequence[File]) -> str:
    return next((file.content for file in files if file.path == COMPOSE_FILE), "")
