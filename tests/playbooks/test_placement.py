"""Data that would be left behind stop a real run before anything is changed, on the control node, too."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Site

A, B, C = (f"app-{number}.example.com" for number in (1, 2, 3))
NAME = f"placement-{os.getpid()}"
ROOT = Path("/opt") / NAME


@pytest.fixture
def deployed(site: Site) -> Iterator[Site]:
    """Three hosts that are this machine, of which the release that serves knows the first alone."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    site.inventory["environments"]["children"]["live"]["vars"] = {**here, "ansible_become": False}
    site.stack |= {"name": NAME, "components": {"logs": {}}}
    names = ("registry", "etcd", "postgres", "redis", "monitoring", "logs")
    release = ROOT / "releases/abc"
    release.mkdir(parents=True)
    (release / "placement.json").write_text(json.dumps(dict.fromkeys(names, [A])))
    (ROOT / "current").symlink_to("releases/abc")
    yield site
    shutil.rmtree(ROOT)


@pytest.mark.parametrize("playbook", ["deploy", "provision"])
def test_one_host_that_becomes_three_leaves_nothing_behind_by_itself(deployed, playbook):
    done = deployed.run(playbook)
    assert done.status == 2
    assert "4 problems found, no host was touched" in done.output, done.output
    for name in ("registry", "etcd", "monitoring", "logs"):
        assert f"stack/components/{name}/hosts: would" in done.output
    assert f"`hosts: [{A}]` there to leave it where it is, or let it begin anew: -e move=logs" in done.output
    assert not deployed.secrets.exists()
    assert [path.name for path in ROOT.iterdir()] == ["releases", "current"]


def test_the_lines_that_a_refusal_asks_for_are_enough(deployed):
    named = {name: {"hosts": [A]} for name in ("registry", "etcd", "monitoring", "logs")}
    deployed.stack["components"] = named
    done = deployed.run("placement")
    assert done.status == 0, done.output
    assert "WARNING" not in done.output


def test_a_consent_lets_go_what_it_names_and_nothing_else(deployed):
    deployed.stack["components"]["etcd"] = {"hosts": [A]}
    refused = deployed.run("placement", "-e", "move=logs,monitoring")
    assert "1 problem found" in refused.output, refused.output
    assert "stack/components/registry/hosts" in refused.output
    done = deployed.run("placement", "-e", "move=logs,monitoring,registry")
    assert done.status == 0, done.output
    assert f"the logs and traces are on {A} and stay behind" in done.output


def test_a_host_that_is_lost_keeps_nobody_from_deploying(deployed):
    del deployed.inventory["environments"]["children"]["live"]["hosts"][A]
    done = deployed.run("placement", "-e", "move=postgres")
    assert done.status == 0, done.output
    assert f"the logs and traces were on {A}, which the inventory no longer has" in done.output


def test_whoever_makes_all_anew_is_told_and_not_stopped(deployed):
    done = deployed.run("placement", "-e", "placement_refuses=false")
    assert done.status == 0, done.output
    assert f"the metrics and silences are on {A} and stay behind" in done.output
