"""Compose is asked once about a file, and again when the file or Compose is another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.compose_answers import (
    KEPT,
    ComposeAnswers,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError


class Compose:
    """Counts the times it was started."""

    def __init__(self) -> None:
        self.started = 0
        self.refuses = False

    def __call__(self, argv, stdin=None):
        if "config" not in argv:
            return 0, "", ""
        self.started += 1
        if self.refuses:
            return 1, "", "no such field"
        return 0, "web abc\n" if "--hash" in argv else "nginx@sha256:1\n", ""


class Site:
    def __init__(self, folder: Path) -> None:
        self.compose = Compose()
        self.plugin, self.file, self._kept = (
            folder / "docker-compose",
            folder / "file.yml",
            folder / "kept.json",
        )
        self.plugin.write_text("one")
        self.file.write_text("services: {}\n")

    def engine(self, *, kept: bool = True) -> Engine:
        """As another module call has it."""
        return Engine(self.compose, "shop", ComposeAnswers(self._kept, kept=kept, plugins=[self.plugin]))

    def ask(self, **how: bool) -> int:
        """How often Compose has been started when both questions were answered."""
        engine = self.engine(**how)
        assert engine.service_hashes(str(self.file)) == {"web": "abc"}
        assert engine.missing_images(str(self.file)) == []
        return self.compose.started

    def damage(self, text: str) -> None:
        self._kept.write_text(text)

    def size(self) -> int:
        return self._kept.read_text().count("\n") - 2 if self._kept.exists() else 0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_same_file_is_asked_about_once(site: Site) -> None:
    assert [site.ask(), site.ask()] == [2, 2]


def test_another_file_is_asked_about(site: Site) -> None:
    site.ask()
    site.file.write_text("services: {web: {}}\n")
    assert [site.ask(), site.ask()] == [4, 4]


def test_another_compose_is_asked(site: Site) -> None:
    site.ask()
    os.utime(site.plugin, (1, 1))
    assert site.ask() == 4


def test_a_dry_run_uses_what_is_known_and_leaves_nothing_behind(site: Site) -> None:
    assert [site.ask(kept=False), site.ask(kept=False), site.size()] == [2, 4, 0]
    assert [site.ask(), site.ask(kept=False)] == [6, 6]


def test_a_compose_that_is_not_found_is_asked_each_time(site: Site) -> None:
    site.plugin.unlink()
    assert [site.ask(), site.ask()] == [2, 4]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": "answer"}'])
def test_what_is_no_memory_is_made_anew(site: Site, text: str) -> None:
    site.damage(text)
    assert [site.ask(), site.ask()] == [2, 2]


def test_a_refusal_is_not_remembered(site: Site) -> None:
    site.compose.refuses = True
    with pytest.raises(SlipwayError, match="refuses .*no such field"):
        site.engine().service_hashes(str(site.file))
    site.compose.refuses = False
    assert site.ask() == 3


def test_the_oldest_answers_are_forgotten(site: Site) -> None:
    for number in range(KEPT):
        site.file.write_text(f"# {number}\n")
        site.ask()
    assert site.size() == KEPT
