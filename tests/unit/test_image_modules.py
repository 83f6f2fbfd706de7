"""The modules `registry` and `images` as Ansible runs them, on a host without an engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_job import Workshop
from ansible_collections.slipway.compose.plugins.module_utils._core.images.registry_host import Identity
from ansible_collections.slipway.compose.plugins.modules import images, registry
from ansible_collections.slipway.compose.plugins.plugin_utils.pki import issue, new_ca
from ansible_collections.slipway.compose.plugins.plugin_utils.registry_files import registry_project
from whole_stack import stack

Answer = dict[str, Any]
Run = Callable[[ModuleType, dict[str, Any]], Answer]

COMPOSE = Path(__file__).parents[2] / "compose"
CA = new_ca("test", datetime.now(UTC))
HOST = issue(CA, ["h3.test"], datetime.now(UTC))
ACCESS = {
    "address": "127.0.0.1:1",
    "ca": CA.certificate,
    "certificate": HOST.certificate,
    "key": HOST.key,
    "_ansible_check_mode": True,
}
REDIS = {"name": "redis", "repository": "slipway/redis", "tag": "abc", "arguments": {}, "on_base": False}


@pytest.fixture
def system_log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Ansible writes to the log of the machine that a module runs on."""
    lines: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, message, log_args=None: lines.append(message))
    return lines


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], system_log: list[str]) -> Run:
    monkeypatch.setenv("PATH", "/nowhere")

    def started(module: ModuleType, arguments: dict[str, Any]) -> Answer:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        answer: Answer = json.loads(capsys.readouterr().out)
        return answer

    return started


def served(folder: Path) -> dict[str, Any]:
    project = registry_project(
        stack(), Identity(CA.certificate, HOST.certificate, HOST.key), "slipway/registry:abc", True, COMPOSE
    )
    options = {"name": project.name, "image": project.image, "built": True, "digest": project.digest}
    files = json.dumps([file.to_dict() for file in project.files])
    return {**ACCESS, "project": {**options, "folder": str(folder)}, "files": files}


def test_check_mode_tells_what_the_registry_needs_and_writes_nothing(run, tmp_path):
    answer = run(registry, served(tmp_path))
    assert answer["changed"]
    assert answer["steps"][-1] == "start wayfare-registry (no engine yet)"
    assert f"write {tmp_path}/config/config.yml" in answer["steps"]
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_neither_in_the_answer_nor_in_the_hosts_log(run, system_log, tmp_path):
    told = json.dumps(run(registry, served(tmp_path))) + "".join(system_log)
    assert "Invoked with" in told
    assert [line for line in HOST.key.splitlines() if line in told] == []


def test_check_mode_without_a_registry_would_build_everything(run, tmp_path):
    answer = run(images, {**ACCESS, "images": [REDIS], "folder": str(tmp_path)})
    assert (answer["missing"], answer["building"]) == (["redis"], ["redis"])


def test_following_tells_events_and_that_nothing_goes_on(run, tmp_path):
    workshop = Workshop(tmp_path)
    claim = workshop.open()
    assert claim is not None
    os.close(claim)
    workshop.tell("building", image="redis")
    answer = run(images, {**ACCESS, "stage": "follow", "folder": str(tmp_path)})
    assert (answer["events"], answer["going_on"]) == ([{"event": "building", "image": "redis"}], False)


def test_an_unknown_stage_is_refused(run):
    assert "value of stage must be one of" in run(images, {**ACCESS, "stage": "bild"})["msg"]
