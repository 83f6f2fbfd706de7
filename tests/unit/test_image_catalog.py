"""Which images a stack needs, where they come from, and what templates are given for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.image_references import parse
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_catalog import (
    Catalog,
    Folders,
    catalog,
    registry_catalog,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from hypothesis import given
from hypothesis import strategies as st
from whole_stack import stack

SHA = "sha256:" + "0" * 64


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A checkout with one image folder for every component, and one service's build folder."""
    images = tmp_path / "compose/images"
    for image in {component.image for component in COMPONENTS.values()} | {"registry"}:
        (images / image).mkdir(parents=True)
        (images / image / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nLABEL image={image}\n")
    (images / "base").mkdir()
    (images / "base/build.sh").write_text("#!/bin/sh\n")
    (tmp_path / "apps/wayfare").mkdir(parents=True)
    (tmp_path / "apps/wayfare/Dockerfile").write_text("FROM alpine:3\n")
    return Folders(images, tmp_path, {"redis": {"REDIS_VERSION": "5:8.0.*"}})


def built(given: Stack, folder: str) -> Stack:
    services = {name: replace(service, image=None, build=folder) for name, service in given.services.items()}
    return replace(given, services=services)


def of(given: Stack, folders: Folders) -> Catalog:
    return catalog(topology(given), folders)


def test_every_component_of_the_topology_has_an_image(folders):
    given = stack()
    used = {COMPONENTS[name].image for view in topology(given).views.values() for name in view.components}
    assert used | {"base"} == set(of(given, folders).sources)


def test_what_the_stack_does_not_run_is_not_built(folders):
    given = stack()
    without = replace(given, components=replace(given.components, redis=None))
    assert {"redis", "redis-exporter"} & set(of(without, folders).sources) == set()


def test_versions_are_build_arguments(folders):
    redis = of(stack(), folders).sources["redis"]
    assert redis.arguments["REDIS_VERSION"] == "5:8.0.*"


def test_a_folder_shared_by_services_is_built_once(folders):
    known = of(built(stack(), "apps/wayfare"), folders)
    assert [source.repository for source in known.sources.values() if "wayfare" in source.repository] == [
        "wayfare/apps-wayfare"
    ]
    names = known.references({name: f"registry/{name}@{SHA}" for name in known.sources}, {})
    assert {names[service] for service in stack().services} == {f"registry/wayfare/apps/wayfare@{SHA}"}


def test_a_build_folder_may_be_called_like_an_image(folders):
    (folders.checkout / "redis").mkdir()
    (folders.checkout / "redis/Dockerfile").write_text("FROM alpine:3\n")
    sources = of(built(stack(), "redis"), folders).sources
    assert sources["redis"].repository == "slipway/redis"
    assert sources["wayfare/redis"].repository == "wayfare/redis"


def test_an_image_that_the_stack_names_is_not_built(folders):
    given = replace(stack(), images={"redis": "redis:8"})
    known = of(given, folders)
    assert "redis" not in known.sources
    assert "redis:8" in known.upstream
    assert known.references(dict.fromkeys(known.sources, "x"), {})["redis"] == "redis:8"


def test_an_upstream_reference_is_used_pinned_where_it_could_be(folders):
    given = replace(stack(), images={"redis": "redis:8"})
    known = of(given, folders)
    pinned = known.references(dict.fromkeys(known.sources, "x"), {"redis:8": f"redis@{SHA}"})
    assert pinned["redis"] == f"redis@{SHA}"


def test_another_base_changes_every_image_and_is_not_built(folders):
    ours, theirs = of(stack(), folders), of(replace(stack(), images={"base": "company/debian:13"}), folders)
    assert "base" not in theirs.sources
    assert theirs.sources["redis"].arguments["BASE"] == "company/debian:13"
    assert theirs.sources["redis"].tag != ours.sources["redis"].tag


def test_another_epoch_changes_every_image(folders):
    before, after = (of(stack(), replace(folders, epoch=epoch)) for epoch in ("2026-11", "2026-12"))
    changed = [name for name in before.sources if before.sources[name].tag != after.sources[name].tag]
    assert changed == list(before.sources)


def test_a_change_of_the_base_changes_every_image(folders):
    before = of(stack(), folders).sources["nginx"].tag
    (folders.images / "base/build.sh").write_text("#!/bin/sh\necho another\n")
    assert of(stack(), folders).sources["nginx"].tag != before


def test_the_registry_has_a_catalog_of_its_own(folders):
    assert set(registry_catalog(stack(), folders).sources) == {"base", "registry"}
    given = replace(stack(), images={"registry": "registry:2"})
    assert registry_catalog(given, folders).names == {"registry": "registry:2"}
    assert registry_catalog(given, folders).sources == {}


def test_a_service_with_the_name_of_an_image_is_refused(folders):
    given = stack()
    services = {"redis": replace(next(iter(given.services.values())), name="redis")}
    with pytest.raises(SlipwayError, match="services/redis has the name of one of the platform's images"):
        of(replace(given, services=services), folders)


@pytest.mark.parametrize(
    ("written", "registry", "repository", "tag"),
    [
        ("redis", "registry-1.docker.io", "library/redis", "latest"),
        ("grafana/loki:3.1", "registry-1.docker.io", "grafana/loki", "3.1"),
        ("docker.io/grafana/loki:3.1", "registry-1.docker.io", "grafana/loki", "3.1"),
        ("localhost:5000/a:1", "localhost:5000", "a", "1"),
        ("ghcr.io/a/b/c:1", "ghcr.io", "a/b/c", "1"),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(written, registry, repository, tag):
    reference = parse(written)
    assert (reference.registry, reference.repository, reference.tag) == (registry, repository, tag)


@given(
    st.sampled_from(["", "ghcr.io/", "10.0.0.1:5000/", "localhost/"]),
    st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9._-]{0,7}[a-z0-9]){0,2}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True),
)
def test_a_reference_keeps_its_name_when_it_is_pinned(registry, path, tag):
    reference = parse(f"{registry}{path}:{tag}")
    assert reference.pinned(SHA) == f"{registry}{path}@{SHA}"
    assert parse(reference.pinned(SHA)).digest == SHA


def test_what_is_no_reference_is_refused():
    with pytest.raises(SlipwayError, match="is not an image reference"):
        parse("redis:8@latest")
