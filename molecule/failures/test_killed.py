"""A deployment killed at random moments leaves nothing that the next run does not repair."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from load import Load
from site_under_test import Deploy, Site

SEED = int(os.environ.get("SLIPWAY_SEED") or random.SystemRandom().randrange(10**6))
STARTING = b"TASK [slipway.compose.release : Start replicas: web"
MOVING = b"TASK [slipway.compose.release : Move traffic: web"
RETIRING = b"TASK [slipway.compose.release : Retire replicas: web"
START_SECONDS = 600
# A killed run's module may outlive it on a host for a moment; who comes next is told so, and to run again.
TRIES = 12
AT_WORK = b"a module of it is still at work there"

# Where the clock of each kill starts, and within how many seconds it strikes: in the middle of what changes
# what runs. `scripts/kill-sweep` has the boundaries between tasks, all of them.
KILLS = [(STARTING, 8.0), (MOVING, 2.0), (RETIRING, 4.0)]


def release(site: Site, number: int) -> dict[str, Any]:
    """A release that renews every replica of `web` and reloads the edge, another for every number."""
    stack = site.stack
    stack["services"]["web"]["environment"] = {"LOG_LEVEL": "DEBUG", "KILLED": f"{SEED}-{number}"}
    policy = f"default-src 'self'; report-uri /killed/{SEED}-{number}"
    stack["components"]["edge"]["content_security_policy"] = policy
    return {"stack": stack}


def kill(site: Site, log: Path, variables: dict[str, Any], marker: bytes, delay: float) -> None:
    """Start a deployment, wait for the marker in what it says, then for the delay, and kill all of it."""
    for _try in range(TRIES):
        if killed(site, log, variables, marker, delay):
            return
        time.sleep(5)  # what a killed run has left at work ends by itself
    raise AssertionError(f"a killed run is at work still: {log.read_text()[-3000:]}")


def killed(site: Site, log: Path, variables: dict[str, Any], marker: bytes, delay: float) -> bool:
    """One attempt; False where it could not begin yet."""
    limit = time.monotonic() + START_SECONDS
    with site.deploying(log, variables) as process:
        while marker not in log.read_bytes():
            assert time.monotonic() < limit, f"no {marker!r} in {START_SECONDS} s"
            if process.poll() is not None:
                assert AT_WORK in log.read_bytes(), f"it ended before the kill: {log.read_text()[-3000:]}"
                return False
            time.sleep(0.2)  # between two looks
        time.sleep(delay)
        assert process.poll() is None, f"it ended within {delay:.1f} s: nothing was killed"
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return True


def test_the_next_run_repairs_what_a_kill_left(
    site: Site, deploy: Deploy, load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    for number, (marker, within) in enumerate(KILLS):
        delay = dice.uniform(0, within)
        with capsys.disabled():
            print(f"\nkill {number} of SLIPWAY_SEED={SEED}: {delay:.1f} s after {marker.decode()}")
        kill(site, tmp_path / f"kill-{number}.log", release(site, number), marker, delay)

    repaired = deploy(release(site, len(KILLS) - 1))
    for _try in range(TRIES):
        if AT_WORK.decode() not in repaired.output:
            break
        time.sleep(5)  # what a killed run has left at work ends by itself
        repaired = deploy(release(site, len(KILLS) - 1))
    assert repaired.status == 0, repaired.problem
    again = deploy(release(site, len(KILLS) - 1))
    assert not any(again.changed.values()), again.changed
    back = deploy()
    assert back.status == 0, back.problem

    with capsys.disabled():
        print(f"{load.answered} requests answered, {len(load.failures)} failed {load.failures[:3]}")
    assert load.answered > 100
    assert not load.failures
