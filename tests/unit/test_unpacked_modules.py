"""A host runs what it has kept, by name; what it has not, or what is made otherwise, goes Ansible's way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible._internal import _ansiballz
from ansible.executor.module_common import modify_module
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar
from ansible_collections.slipway.compose.plugins.plugin_utils import unpacked_modules
from ansible_collections.slipway.compose.plugins.plugin_utils.unpacked_modules import Package, package

assert _ansiballz


@pytest.fixture(scope="module")
def script() -> bytes:
    """What Ansible sends for `ping`, with arguments that a shell or a format would trip over."""
    init_plugin_loader([])
    found = module_loader.find_plugin_with_context("ansible.builtin.ping")
    built = modify_module(
        module_name="ansible.builtin.ping",
        module_path=found.plugin_resolved_path,
        module_args={"data": "{'é\"\n%s}"},
        templar=Templar(None),
        task_vars={"ansible_python_interpreter": sys.executable},
        module_compression="ZIP_DEFLATED",
    )
    return bytes(built.b_module_data)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this host keeps packages."""
    monkeypatch.setattr(unpacked_modules, "_FOLDER", str(tmp_path / "modules"))
    return tmp_path / "modules"


def known(script: bytes) -> Package:
    found = package(script)
    assert found is not None
    return found


def run(script: bytes) -> dict[str, Any]:
    told = subprocess.run([sys.executable, "-"], input=script, capture_output=True, check=False, timeout=60)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def test_a_package_is_kept_and_then_run_by_name(script: bytes, host: Path) -> None:
    it = known(script)
    assert run(it.by_name()) == {unpacked_modules.ABSENT: True}
    told = run(it.to_keep())
    assert told["ping"] == "{'é\"\n%s}"
    assert [path.name for path in host.iterdir()] == [Path(it.folder).name]
    assert run(it.by_name()) == told
    assert len(it.by_name()) < 2000 < len(script)
    assert list(host.rglob("*.pyc")), "it is compiled only once"


def test_a_package_of_another_content_has_another_name(script: bytes, host: Path) -> None:
    other = known(script.replace(b"zip_data='UEs", b"zip_data='AAs"))
    assert other.folder != known(script).folder


def test_where_nothing_can_be_kept_the_module_runs_all_the_same(script: bytes, host: Path) -> None:
    host.write_text("not a folder")
    assert run(known(script).to_keep())["ping"]


def test_only_so_many_are_kept(script: bytes, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked_modules, "_KEPT", 2)
    for name in "abc":
        (host / name).mkdir(parents=True)
    run(known(script).to_keep())
    assert len(list(host.iterdir())) == 2 and Path(known(script).folder).is_dir()


@pytest.mark.parametrize(
    ("here", "there"),
    [
        pytest.param(b"_ansiballz_main(\n", b"_another_main(\n", id="another call"),
        pytest.param(b"\nextensions={}", b"\nextensions={'debugpy': {}}", id="a debugger"),
        pytest.param(b"\nrlimit_nofile=0", b"\nrlimit_nofile=1024", id="a limit"),
        pytest.param(b"\nprofile=", b"\nprofil=", id="another argument"),
    ],
)
def test_what_is_made_otherwise_is_left_to_ansible(script: bytes, here: bytes, there: bytes) -> None:
    assert script.count(here) >= 1
    assert package(script.replace(here, there)) is None


def test_a_module_that_is_no_script_of_ansible_is_left_alone() -> None:
    assert package(b"#!/bin/sh\necho '{}'\n") is None
