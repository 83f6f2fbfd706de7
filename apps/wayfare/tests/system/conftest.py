from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from wayfare_engine import build
from wayfare_stack import Stack


@pytest.fixture(scope="session")
def wayfare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Built and started once; each test leaves it as it found it."""
    build()
    stack = Stack(f"wayfare-test-{os.getpid()}", tmp_path_factory.mktemp("wayfare"))
    try:
        stack.start()
        yield stack
    finally:
        stack.remove()
