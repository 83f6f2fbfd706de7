"""A build job, with a small program in Docker's place that keeps its images as files."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_builder import (
    ImageBuilder,
    Item,
    Shell,
    build_command,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_job import (
    ImageJob,
    Order,
    Workshop,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_sources import (
    Source,
    SourceFile,
    pack,
)

ADDRESS = "10.0.0.3:5000"
DOCKER = """#!/bin/sh
cd "$(dirname "$0")"; mkdir -p images
echo "$@" >> calls
name() { echo "$1" | tr / _; }
for last; do :; done
case $1 in
  image) test -e "images/$(name "$last")" ;;
  build) grep -q fail "$last/Dockerfile" && { echo "the cause"; exit 1; }
         grep -q slow "$last/Dockerfile" && sleep 60
         touch "images/$(name "$5")" ;;
  tag|pull|push|rmi) touch "images/$(name "$last")" ;;
  save) echo archive > "$3" ;;
esac
"""


def item(name: str, *, on_base: bool = True) -> Item:
    return Item(name, f"slipway/{name}", "abc", {}, on_base)


class Site:
    """A builder's folder, its engine's program, and one job in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.docker = folder / "docker"
        self.docker.write_text(DOCKER)
        self.docker.chmod(0o755)
        self.workshop = Workshop(folder / "workshop")
        self.claim = self.workshop.open()
        self.workshop.clear()

    def context(self, name: str, recipe: str = "FROM scratch\n") -> None:
        file = SourceFile("Dockerfile", recipe.encode(), False)
        packed = pack(Source(name, f"slipway/{name}", (file,), {}, False))
        self.workshop.unpack(name, base64.b64encode(packed).decode())

    def job(self, *items: Item, seconds: float = 60, **order: Any) -> ImageJob:
        given: dict[str, Any] = {
            "published": frozenset(),
            "publish": True,
            "archive": None,
            "parallel": 2,
            **order,
        }
        builder = ImageBuilder(str(self.docker), Shell(time.time() + seconds), self.workshop.logs, ADDRESS)
        return ImageJob(Order(items, **given), builder, self.workshop)

    def events(self) -> list[Any]:
        return self.workshop.events(0, 0)[0]

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    umask = os.umask(0o022)
    yield Site(tmp_path)
    os.umask(umask)


def test_the_base_comes_first_and_everything_is_published(site):
    for name in ("base", "redis", "nginx"):
        site.context(name)
    site.job(item("redis"), item("base", on_base=False), item("nginx")).work()
    done = [event["image"] for event in site.events() if event["event"] == "done"]
    assert done[0] == "base"
    assert sorted(done) == ["base", "nginx", "redis"]
    assert site.events()[-1]["event"] == "finished"
    pushed = [call for call in site.calls() if call.startswith("push")]
    assert sorted(pushed) == [f"push {ADDRESS}/slipway/{name}:abc" for name in ("base", "nginx", "redis")]


def test_what_the_engine_has_is_only_published(site):
    site.context("redis")
    site.job(item("redis")).work()
    site.job(item("redis")).work()
    assert [event["how"] for event in site.events() if event["event"] == "done"] == ["built", "had"]
    assert len([call for call in site.calls() if call.startswith("build")]) == 1


def test_a_base_that_is_published_is_pulled_and_not_built(site):
    site.context("redis")
    site.job(item("base", on_base=False), item("redis"), published=frozenset({"base"})).work()
    assert site.calls()[1] == f"pull --quiet {ADDRESS}/slipway/base:abc"
    assert f"push {ADDRESS}/slipway/base:abc" not in site.calls()


def test_a_failure_shows_the_last_words_and_stops_what_has_not_begun(site):
    site.context("redis", "FROM scratch\nRUN fail\n")
    site.context("nginx")
    site.job(item("redis"), item("nginx"), parallel=1).work()
    log, failed = site.events()[-2:]
    assert log["lines"][-1] == "the cause"
    assert failed["problem"] == "`docker build` failed for image redis"
    assert "nginx" not in "".join(site.calls())


def test_a_job_ends_when_its_time_is_up(site):
    site.context("redis", "FROM scratch\nRUN slow\n")
    site.job(item("redis"), seconds=1).work()
    assert not (site.folder / "images/slipway_redis:abc").exists(), "it was waited for"
    assert "the time for all images is up" in site.events()[-1]["problem"]


def test_an_image_that_stays_here_is_saved_and_not_pushed(site):
    os.umask(0o077)  # as on a hardened builder; the file is fetched without root's rights
    site.context("registry")
    site.job(item("registry"), publish=False, archive="registry").work()
    archive = site.workshop.archive(item("registry"))
    assert archive.read_text() == "archive\n"
    assert archive.stat().st_mode & 0o777 == 0o644
    assert not [call for call in site.calls() if call.startswith("push")]


def test_unpacked_files_are_new_to_buildkit(site):
    site.context("redis")
    before = time.time() - 60
    assert (site.workshop.context("redis") / "Dockerfile").stat().st_mtime > before


def test_a_context_cannot_write_outside_its_folder(site):
    file = SourceFile("../../escaped", b"", False)
    packed = base64.b64encode(pack(Source("redis", "slipway/redis", (file,), {}, False))).decode()
    with pytest.raises(SlipwayError, match="does not belong in a build folder"):
        site.workshop.unpack("redis", packed)


def test_only_one_job_at_a_time(site):
    assert site.workshop.open() is None
    assert site.workshop.busy()
    os.close(site.claim)
    assert not site.workshop.busy()


def test_news_are_told_once_and_a_half_written_line_later(site):
    site.workshop.tell("building", image="redis")
    with (site.folder / "workshop/events.jsonl").open("a") as stream:
        stream.write('{"event": ')
    assert [event["event"] for event in site.workshop.events(0, 0)[0]] == ["building"]
    assert site.workshop.events(1, 0)[0] == []


def test_proxies_are_named_but_never_told(monkeypatch, tmp_path):
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy:3128")
    command = build_command("docker", item("redis"), tmp_path, "FROM scratch")
    assert command[command.index("https_proxy") - 1] == "--build-arg"
    assert "secret" not in " ".join(command)


def test_the_cas_of_the_machine_are_lent_to_a_build_that_asks(monkeypatch, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    asking = build_command("docker", item("redis"), tmp_path, "RUN --mount=type=secret,id=ca_bundle true")
    assert f"id=ca_bundle,src={bundle}" in asking
    assert "--secret" not in build_command("docker", item("redis"), tmp_path, "RUN true")
