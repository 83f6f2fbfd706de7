"""Time a backup beside pg_basebackup and tar, and a restore beside cp, all of the same files in turns.

A member of PostgreSQL under Patroni, etcd and a repository, as they are rendered for two hosts, run on this
engine with volumes on its disk, production's limits and pgBackRest's own settings. Each run takes every
measurement once. Each is begun after a `sync` and ended by one, so that what was written is on the disk. What
it reads was read once just before, so that each finds it in the page cache, and how much of it was there is
told. Nothing is evicted: the cache is the machine's, and others live on it.

All of it is removed at the end, also after Ctrl-C; what a killed run left is removed by the next. Needs root,
the images that `make up` builds, about ten times --size of disk, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.only_one import only_one
from backup_benchmark_cluster import NAME, say, started
from backup_benchmark_measurements import Benchmark
from backup_benchmark_table import report
from backup_cluster import docker
from undisturbed import end_as_by_ctrl_c

AT_WORK = SlipwayError("another one is at work on this machine", "Wait until it has ended")
HIGHEST_LOAD = 3.0
# Of everything a run has on the disk at once, in sizes of the data, beside one for each run's backup.
COPIES = 6


def main() -> int:
    arguments = _arguments()
    load = os.getloadavg()[0]
    if reason := _refusal(arguments, load):
        return _error(reason)
    end_as_by_ctrl_c()
    try:
        with only_one(Path(tempfile.gettempdir()) / f"{NAME}.lock", AT_WORK), started() as cluster:
            benchmark = Benchmark(cluster, arguments.wal)
            benchmark.prepare(arguments.size)
            for number in range(1, arguments.runs + 1):
                say(f"run {number} of {arguments.runs}, load average {os.getloadavg()[0]:.1f}")
                benchmark.run()
    except (AssertionError, SlipwayError, pytest.fail.Exception) as error:
        return _error(str(error))
    except KeyboardInterrupt as interruption:
        print(f"benchmark-backups: interrupted ({interruption}); everything is removed", file=sys.stderr)
        return 130
    report(benchmark, load)
    return 0


def _refusal(arguments: argparse.Namespace, load: float) -> str:
    if os.geteuid():
        return "it writes files that belong to others. Run it as root."
    if load >= HIGHEST_LOAD and not arguments.any_load:
        return f"the load average is {load:.1f}. Wait until it is below {HIGHEST_LOAD:.0f}, or --any-load."
    free = shutil.disk_usage(docker("info", "--format", "{{.DockerRootDir}}").strip()).free >> 20
    needed = (COPIES + arguments.runs) * (arguments.size + arguments.wal)
    if free < needed:
        return (
            f"it needs about {needed} MB of the engine's disk, {free} MB are free. Choose a smaller --size."
        )
    return ""


def _error(reason: str) -> int:
    print(f"benchmark-backups: error: {reason}", file=sys.stderr)
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="scripts/benchmark-backups",
    )
    parser.add_argument("--size", type=int, default=1024, help="MB of rows in the database (1024)")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--wal", type=int, default=64, help="MB of rows after each backup, to replay (64)")
    parser.add_argument(
        "--any-load", action="store_true", help="measure on a busy machine; not for publishing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
