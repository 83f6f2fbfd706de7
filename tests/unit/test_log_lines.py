"""What is read of whose log, and in which order it is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.log_lines import (
    containers,
    newest,
    read,
    since_from,
)

LISTED = """\
shop-api-blue-1-1 api-blue-1
shop-api-blue-2-1 api-blue-2
shop-api-docs-blue-1-1 api-docs-blue-1
shop-edge-1 edge
shop-edge-log-1 edge-log
stray-container\x20
"""


class Host:
    """Keeps the commands; says the same of every container."""

    def __init__(self, out: str = "", err: str = "", code: int = 0) -> None:
        self.told: list[list[str]] = []
        self._answer = code, out, err

    def __call__(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        self.told.append(list(argv))
        return self._answer


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("api", ["api-blue-1", "api-blue-2"], id="all-replicas-of-a-service"),
        pytest.param("api-blue-2", ["api-blue-2"], id="one-replica"),
        pytest.param("edge", ["edge"], id="a-component"),
        pytest.param("redis", [], id="not-here"),
    ],
)
def test_a_name_means_a_component_or_every_replica_of_a_service(name: str, expected: list[str]) -> None:
    assert sorted(containers(Host(LISTED), "shop", name)) == expected


@pytest.mark.parametrize(("name", "project"), [("edge", "shop"), ("registry", "shop-registry")])
def test_the_registry_has_a_project_of_its_own(name: str, project: str) -> None:
    host = Host(LISTED)
    containers(host, "shop", name)
    assert f"label=com.docker.compose.project={project}" in host.told[0]


def test_both_streams_are_told_in_the_order_of_time() -> None:
    host = Host("2026-11-27T15:00:01.1Z out\n2026-11-27T15:00:03.0Z out\n", "2026-11-27T15:00:02.0Z err\n")
    assert [line.split()[1] for line in read(host, "shop-edge-1", 50, "", "")] == ["out", "err", "out"]
    assert host.told == [["docker", "logs", "--timestamps", "--tail=50", "shop-edge-1"]]


def test_lines_with_some_words_are_looked_for_before_they_are_counted() -> None:
    host = Host("1 a request\n2 another\n3 a request\n4 a request\n")
    assert read(host, "shop-edge-1", 2, "15m", "a request") == ["3 a request", "4 a request"]
    assert host.told[0][3:] == ["--since=15m", "shop-edge-1"]


def test_an_engine_that_does_not_answer_is_told() -> None:
    with pytest.raises(SlipwayError, match="Cannot connect"):
        containers(Host(err="Cannot connect to the Docker daemon", code=1), "shop", "edge")


@pytest.mark.parametrize(
    ("text", "contains", "expected"),
    [
        ("", "", ""),
        ("", "some words", "1h"),
        ("15m", "", "15m"),
        ("2d", "some words", "48h"),
        ("2026-11-27T15:00:00Z", "", "2026-11-27T15:00:00Z"),
    ],
)
def test_a_time_is_an_age_or_a_moment(text: str, contains: str, expected: str) -> None:
    assert since_from(text, contains) == expected


@pytest.mark.parametrize("text", ["yesterday", "15", "--follow", "1h; id"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SlipwayError, match="which is no time"):
        since_from(text, "")


def test_the_newest_lines_are_kept() -> None:
    assert newest(["3 c", "1 a", "2 b"], 2) == ["2 b", "3 c"]
