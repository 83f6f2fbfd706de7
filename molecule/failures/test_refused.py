"""What is wrong before the first container is touched is refused in `prepare`, on every host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from site_under_test import Deploy, Machine, Run, Site

DIGEST = "sha256:" + "0" * 64
COMMITTING = "TASK [slipway.compose.release : Start or reload"
REPLACING = "TASK [slipway.compose.release : Replace or restart"

pytestmark = pytest.mark.usefixtures("untouched")


def assert_refused(run: Run, *words: str) -> None:
    assert run.status != 0
    assert COMMITTING not in run.output and REPLACING not in run.output
    for word in words:
        assert word in run.output, f"{word!r} is not in: {run.problem}"


@pytest.fixture
def cramped(site: Site) -> Iterator[tuple[Machine, str]]:
    """The third machine's releases on a file system with next to no room."""
    machine, folder = site.machines[2], f"/opt/{site.stack['name']}/releases"
    machine(f"sudo mount -t tmpfs -o size=1m,mode=0755 tmpfs {folder}")
    yield machine, folder
    machine(f"sudo umount {folder}")


def test_a_full_disk_on_one_host_stops_all(site: Site, deploy: Deploy, cramped: tuple[Machine, str]) -> None:
    machine, folder = cramped
    stack = site.stack
    stack["services"]["web"]["environment"] = {"LOG_LEVEL": "DEBUG"}
    run = deploy({"stack": stack})
    assert_refused(run, "fatal:", machine.name, f"{folder} has 1 MiB free, 2 GiB are needed", "Free space")


def test_an_image_that_does_not_exist(site: Site, deploy: Deploy) -> None:
    stack = site.stack
    registry = f"{list(site.lab['hosts'].values())[2]}:5000"
    stack["images"] = {"redis": f"{registry}/redis@{DIGEST}"}
    run = deploy({"stack": stack})
    assert_refused(run, "fatal:", "redis@sha256:0000", "is not in its registry", "Correct the digest")


def test_a_header_that_nginx_refuses(site: Site, deploy: Deploy) -> None:
    """As long as a header's value may be, but too long for a parameter of nginx with its quotes."""
    stack = site.stack
    stack["components"]["edge"]["content_security_policy"] = "default-src ".ljust(4096, "a")
    run = deploy({"stack": stack})
    told = ("refuses the new configuration", "too long parameter", "nothing was changed")
    assert_refused(run, "fatal:", *told)
