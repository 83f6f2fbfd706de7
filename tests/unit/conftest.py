"""What several unit tests start from."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from hypothesis import settings

# Time is no property of the code under test: machines that run the tests are busy. And what is tried is the
# same every time, so that a fault is found by whoever makes it.
settings.register_profile("slipway", deadline=None, derandomize=True)
settings.load_profile("slipway")

# What programs beside PostgreSQL are told by their container, and read when they are imported.
os.environ["PGDATA"] = "/var/lib/postgresql/17/main"


@pytest.fixture
def hosts() -> list[Host]:
    return [Host(f"app-{number}.example.com", f"192.0.2.1{number}") for number in (1, 2, 3)]


@pytest.fixture
def definition() -> dict[str, Any]:
    """The smallest stack there is; a fresh one for every test to change."""
    web = {"image": "example.com/web:1.0", "port": 8080, "health_path": "/ready", "route": {"path": "/"}}
    return {"name": "shop", "domain": "shop.example.com", "services": {"web": web}}


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 6, 1, 12, tzinfo=UTC)
