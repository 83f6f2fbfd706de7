"""The conversation with a builder, played by a script of answers."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_catalog import Catalog
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_sources import (
    Source,
    SourceFile,
)
from ansible_collections.slipway.compose.plugins.plugin_utils.image_publishing import Destination, Publishing

ADDRESS = "10.0.0.3:5000"
SHA = "sha256:" + "0" * 64


def source(name: str, *, on_base: bool = True) -> Source:
    return Source(name, f"slipway/{name}", (SourceFile("Dockerfile", name.encode(), False),), {}, on_base)


SOURCES = {"base": source("base", on_base=False), "redis": source("redis"), "nginx": source("nginx")}
CATALOG = Catalog(SOURCES, frozenset({"shop:1"}), {"redis": "redis", "nginx": "nginx", "web": "shop:1"})
BUILT = [{"event": "done", "image": "redis", "how": "built", "done": 1, "total": 1, "seconds": 3}]
FINISHED = [{"event": "finished", "seconds": 3}]


def compared(missing: Sequence[str] = (), building: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    present = {name: SHA for name in SOURCES if name not in missing}
    nothing: dict[str, Any] = {"packages": [], "resolved": {}, "remarks": [], "archive": "", "changed": False}
    return {**nothing, "present": present, "missing": list(missing), "building": list(building), **more}


def news(*events: Mapping[str, Any], going_on: bool = False) -> dict[str, Any]:
    return {"events": list(events), "going_on": going_on}


class Builder:
    """Answers in turn, and remembers what it was asked, what was installed and what was said."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.said: list[str] = []
        self.installed: list[str] = []

    def ask(self, stage: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((stage, options))
        return self.answers.pop(0)

    def install(self, packages: Sequence[str]) -> None:
        self.installed += packages

    def publishing(self) -> Publishing:
        return Publishing(self.ask, self.install, self.said.append, CATALOG, Destination(ADDRESS))

    @property
    def stages(self) -> list[str]:
        return [stage for stage, _options in self.asked]


def test_one_question_is_all_when_nothing_is_missing():
    builder = Builder(compared())
    published = builder.publishing().publish(0, 60)
    assert builder.stages == ["compare"]
    assert not published.changed
    assert published.images == {
        "nginx": f"{ADDRESS}/slipway/nginx@{SHA}",
        "redis": f"{ADDRESS}/slipway/redis@{SHA}",
        "web": "shop:1",
    }


def test_only_the_folders_that_are_missing_are_sent():
    builder = Builder(
        compared(["redis"], ["redis"]), {"started": True}, news(*BUILT, *FINISHED), compared(changed=False)
    )
    published = builder.publishing().publish(0, 60)
    options = dict(builder.asked[1][1])
    assert [image["name"] for image in options["images"]] == ["base", "redis"]
    assert options["published"] == ["base", "nginx"]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(options["contexts"].pop("redis")))) as archive:
        assert archive.getnames() == ["Dockerfile"]
    assert options["contexts"] == {}
    assert builder.said == ["images: built redis (1/1), 3 s"]
    assert published.changed
    assert published.steps == ("build redis", "publish redis")


def test_what_the_engine_holds_needs_no_base():
    builder = Builder(compared(["redis"]), {"started": True}, news(*BUILT, *FINISHED), compared())
    builder.publishing().publish(0, 60)
    options = builder.asked[1][1]
    assert [image["name"] for image in options["images"]] == ["redis"]
    assert options["contexts"] == {}


def test_events_are_told_once_over_many_questions():
    builder = Builder(
        compared(["redis"], ["redis"]),
        {"started": True},
        news({"event": "building", "image": "redis"}, going_on=True),
        news(going_on=True),
        news(*BUILT, *FINISHED),
        compared(),
    )
    builder.publishing().publish(0, 60)
    assert builder.said == ["images: building redis", "images: built redis (1/1), 3 s"]
    assert [options["seen"] for stage, options in builder.asked if stage == "follow"] == [0, 1, 1]


def test_a_failed_build_shows_its_log_and_fails():
    log = {"event": "log", "image": "redis", "lines": ["E: no such package"]}
    failed = {"event": "failed", "problem": "`docker build` failed", "remedy": "Correct the cause"}
    builder = Builder(compared(["redis"], ["redis"]), {"started": True}, news(log, failed))
    with pytest.raises(SlipwayError, match=r"`docker build` failed\. Correct the cause"):
        builder.publishing().publish(0, 60)
    assert builder.said == ["images: redis: E: no such package"]


def test_a_job_that_vanishes_is_a_failure():
    builder = Builder(compared(["redis"], ["redis"]), {"started": True}, news())
    with pytest.raises(SlipwayError, match="ended without a result"):
        builder.publishing().publish(0, 60)


def test_another_runs_job_is_followed_and_then_ours_starts():
    failed = {"event": "failed", "problem": "theirs", "remedy": "theirs"}
    builder = Builder(
        compared(["redis"], ["redis"]),
        {"started": False},
        news(failed),
        compared(["redis"], ["redis"]),
        {"started": True},
        news(*BUILT, *FINISHED),
        compared(),
    )
    assert builder.publishing().publish(0, 60).changed
    assert builder.said[0] == "images: another run is building on this machine; following it first"


def test_a_registry_that_loses_images_is_a_failure():
    builder = Builder(
        *[compared(["redis"]), {"started": True}, news(*FINISHED)] * 4,
        compared(["redis"]),
    )
    with pytest.raises(SlipwayError, match="yet the registry lacks redis"):
        builder.publishing().publish(0, 60)


def test_tools_are_installed_only_when_they_are_needed():
    builder = Builder(
        compared(["redis"], ["redis"], packages=["docker-buildx"]),
        {"started": True},
        news(*BUILT, *FINISHED),
        compared(),
    )
    builder.publishing().publish(0, 60)
    assert builder.installed == ["docker-buildx"]


def test_check_mode_tells_and_asks_only():
    builder = Builder(compared(["redis", "nginx"], ["redis"]))
    published = builder.publishing().preview()
    assert published.steps == ("build redis", "publish redis", "publish nginx")
    assert published.images["redis"] == f"{ADDRESS}/slipway/redis:{SOURCES['redis'].tag}"
    assert builder.stages == ["compare"]


def test_what_could_not_be_pinned_is_a_warning():
    published = Builder(compared(remarks=["shop:1: away"])).publishing().publish(0, 60)
    assert published.warnings == ("shop:1: away",)
    pinned = Builder(compared(resolved={"shop:1": f"shop@{SHA}"})).publishing().publish(0, 60)
    assert pinned.images["web"] == f"shop@{SHA}"
