"""A host that dies while a release comes out takes the release back, not the site down."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fleet_under_test import Fleet
from steady_load import Load

# Where the new replicas have a share of the traffic, on every host.
JUDGING = b"TASK [slipway.compose.release : Judge api"
PATIENCE = 240


@contextmanager
def frozen(container: str) -> Iterator[None]:
    """A machine whose network answers and which itself does not."""
    subprocess.run(["docker", "pause", container], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", container], check=True, capture_output=True)


def asked(load: Load) -> int:
    return sum(load.counts[kind] for kind in ("page", "search", "echo"))


def test_the_others_go_back_to_the_old_release(fleet: Fleet, load: Load) -> None:
    assert fleet.deploy(fleet.stack("api", {})).status == 0
    live, here = fleet.assert_one_pool("api"), fleet.current()
    lost = fleet.site.machines[1]
    log = fleet.log()
    stack = fleet.stack("api", {"RELEASE_UNDER_TEST": "lost-host"}, strategy="quick_canary")
    with fleet.site.deploying(log, {"stack": stack}) as process:
        limit = time.monotonic() + PATIENCE
        while JUDGING not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < limit, log.read_text()[-3000:]
            time.sleep(0.1)
        with frozen(lost.container):
            status = process.wait(timeout=PATIENCE)
            told = " ".join(log.read_text().split())
            assert status != 0
            assert "ROLLED BACK" in told, told[-3000:]
            before, sent = load.failed, asked(load)
            time.sleep(10)
            # What was in flight to the lost host runs into the client's own deadline (15 s) meanwhile.
            assert load.failed - before <= 0.01 * (asked(load) - sent), (
                "the site is not well without the lost host"
            )
    running = fleet.running("api")
    others = {host: pools for host, pools in running.items() if host != lost.name}
    assert all(pools == {live: 2} for pools in others.values()), running

    home = fleet.deploy(fleet.stack("api", {}))
    assert home.status == 0, home.problem
    assert (fleet.assert_one_pool("api"), fleet.current()) == (live, here)
