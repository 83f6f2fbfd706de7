"""What an image is built from, and the name it gets from that."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_sources import (
    Ignored,
    Source,
    pack,
    read_folder,
    read_source,
)

BASE = "slipway/base:0123456789ab"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY start.sh /\n")
    (tmp_path / "start.sh").write_text("#!/bin/sh\n")
    return tmp_path


def source(folder: Path, base: str = BASE, **arguments: str) -> Source:
    return read_source("web", "shop/web", folder, arguments, base)


def test_the_same_folder_has_the_same_name_everywhere(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    # A stricter umask on another control node.
    (copy / "start.sh").chmod(0o600)
    assert source(copy).local == source(folder).local
    assert pack(source(copy)) == pack(source(folder))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: (folder / "start.sh").write_text("#!/bin/bash\n"), id="content"),
        pytest.param(lambda folder: (folder / "start.sh").chmod(0o755), id="executable"),
        pytest.param(lambda folder: (folder / "start.sh").rename(folder / "run.sh"), id="path"),
        pytest.param(lambda folder: (folder / "new").touch(), id="another-file"),
    ],
)
def test_another_folder_has_another_name(folder, change):
    before = source(folder).tag
    change(folder)
    assert source(folder).tag != before


def test_arguments_and_the_base_are_part_of_the_name(folder):
    names = {source(folder).tag, source(folder, VERSION="1").tag, source(folder, base="debian:13").tag}
    assert len(names) == 3


def test_an_image_on_another_base_does_not_depend_on_ours(folder):
    (folder / "Dockerfile").write_text("FROM alpine:3\n")
    assert not source(folder).on_base
    assert source(folder).tag == source(folder, base="debian:13").tag


def test_the_base_is_given_as_an_argument(folder):
    assert source(folder, VERSION="1").arguments == {"VERSION": "1", "BASE": BASE}
    assert source(folder).on_base


def test_what_tools_leave_behind_changes_nothing(folder):
    before = source(folder).tag
    for leftover in ("app/__pycache__/a.pyc", ".git/HEAD", ".pytest_cache/x", "app/b.pyc"):
        (folder / leftover).parent.mkdir(parents=True, exist_ok=True)
        (folder / leftover).touch()
    assert source(folder).tag == before


def test_a_dockerfile_that_is_ignored_is_still_the_recipe(folder):
    (folder / ".dockerignore").write_text("*\n!start.sh\n")
    assert [file.path for file in read_folder(folder)] == ["Dockerfile", "start.sh"]


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        pytest.param(["docs"], "docs/a/b.md", True, id="a-folder-and-all-below"),
        pytest.param(["docs"], "src/docs/a.md", False, id="only-from-the-top"),
        pytest.param(["**/docs"], "src/docs/a.md", True, id="anywhere"),
        pytest.param(["*.md"], "README.md", True, id="a-star-in-one-name"),
        pytest.param(["*.md"], "src/README.md", False, id="a-star-stays-in-its-folder"),
        pytest.param(["*", "!src"], "src/a.py", False, id="taken-in-again"),
        pytest.param(["!src", "*"], "src/a.py", True, id="the-last-line-decides"),
        pytest.param(["# docs", ""], "docs", False, id="comments-say-nothing"),
        pytest.param(["/a?c/[xy]"], "abc/x", True, id="one-letter-and-sets"),
        pytest.param(["a.c"], "abc", False, id="a-dot-is-a-dot"),
    ],
)
def test_dockerignore_is_read_as_docker_reads_it(lines, path, ignored):
    assert Ignored(lines).covers(path) is ignored


def test_a_packed_folder_holds_its_files_with_plain_modes(folder):
    (folder / "start.sh").chmod(0o777)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(pack(source(folder))))) as archive:
        assert {member.name: member.mode for member in archive} == {"Dockerfile": 0o644, "start.sh": 0o755}


def test_a_folder_without_a_recipe_is_refused(tmp_path):
    with pytest.raises(SlipwayError, match=r"holds no Dockerfile\. Add one"):
        source(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SlipwayError, match=r"nowhere does not exist\. Correct the path"):
        source(tmp_path / "nowhere")


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "key"
    secret.touch()
    (folder / "key").symlink_to(secret)
    with pytest.raises(SlipwayError, match="link out of its build folder"):
        source(folder)
