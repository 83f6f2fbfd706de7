"""A third party as tests declare it and as the program that asks it reads it."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.third_party_watch import Party

FOLDER = "config/host/third-parties"
URL = "https://api.example.com/health"


def party(**changes: Any) -> Any:
    usual = {"url": URL, "method": "GET", "expect": 200, "every": 60, "within": 10000, "slow": 2000}
    return Party(**{**usual, "few": None, "authorization": None, **changes})
