"""A host that cannot do its part: named with a remedy, and the others are left alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from site_under_test import Deploy, Machine, Site

USER = "visitor"
PASSWORD = "let-me-in"  # of a user who exists for one test on one machine


@pytest.fixture
def frozen(site: Site) -> Iterator[Machine]:
    """The third machine, whose network answers and which itself does not."""
    machine = site.machines[2]
    subprocess.run(["docker", "pause", machine.container], check=True, capture_output=True)
    yield machine
    subprocess.run(["docker", "unpause", machine.container], check=True, capture_output=True)


@pytest.fixture
def engineless(site: Site) -> Iterator[Machine]:
    """The second machine with its engine stopped; containers live on, as `live-restore` promises."""
    machine = site.machines[1]
    machine("sudo systemctl stop docker.socket docker")
    yield machine
    machine("sudo systemctl start docker.socket docker")


@pytest.fixture
def visitor(site: Site) -> Iterator[Machine]:
    """A user on the second machine who needs a password for sudo."""
    machine = site.machines[1]
    machine(
        f"sudo useradd --create-home {USER} && echo '{USER}:{PASSWORD}' | sudo chpasswd"
        f" && echo '{USER} ALL=(ALL) ALL' | sudo tee /etc/sudoers.d/{USER} >/dev/null"
        f" && sudo cp -r ~/.ssh /home/{USER}/ && sudo chown -R {USER}: /home/{USER}/.ssh"
    )
    yield machine
    machine(f"sudo rm /etc/sudoers.d/{USER} && sudo userdel --force --remove {USER} 2>/dev/null")


def test_an_unreachable_host(site: Site, deploy: Deploy, untouched: None, frozen: Machine) -> None:
    run = deploy()
    assert run.status != 0
    assert f"[{frozen.name}]" in run.problem and "UNREACHABLE" in run.problem, run.problem


def test_a_stopped_engine(site: Site, deploy: Deploy, untouched: None, engineless: Machine) -> None:
    run = deploy()
    assert run.status != 0
    assert engineless.name in run.problem, run.problem
    assert "the Docker engine of this host does not answer" in run.problem, run.problem
    assert "systemctl start docker" in run.problem, run.problem


def test_a_wrong_sudo_password(site: Site, deploy: Deploy, untouched: None, visitor: Machine) -> None:
    only_there = f"{{{{ '{USER}' if inventory_hostname == '{visitor.name}' else 'deploy' }}}}"
    run = deploy({"ansible_user": only_there, "ansible_become_password": "not-this-one"})
    assert run.status != 0
    assert f"[{visitor.name}]" in run.problem and "password" in run.problem.lower(), run.problem
