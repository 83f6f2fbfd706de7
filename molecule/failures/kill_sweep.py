"""Kill deployments (SIGKILL) at one task boundary after the other, and see one more run repair each.

First one deployment runs to its end and tells where the hosts are not as they were one task before: to die at
two boundaries between which no host was written to is the same death. For each of those: deploy a changed
release of the running lab, kill ansible-playbook when that task begins, and deploy the same release again.
That run must succeed, and leave one release on all hosts and one whole pool. A light load on the edge runs
all the time; a failed request fails the sweep.

A full sweep takes an hour or more: `--minutes` ends it after the boundary at work, `--from` goes on there.
SLIPWAY_LAB names the lab (lab), which is left with the stack of the inventory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from load import Load
from site_under_test import Site, site_under_test
from sweep import boundaries, changed, kill, repaired


def main() -> int:
    arguments = _arguments()
    site = site_under_test()
    # Kept: what a run that went wrong has said must be there to be read.
    folder = Path(tempfile.mkdtemp(prefix="kill-sweep-"))
    print(f"kill-sweep: {arguments.strategy} of {arguments.service}, logs in {folder}", flush=True)
    authority = site.machines[0](f"sudo cat /opt/{site.stack['name']}/config/host/tls/ca.crt")
    with Load(site.stack["domain"], int(site.lab["https_port"]), authority) as load:
        swept, left = sweep(site, arguments, folder, load)
        home = site.deploy(folder / "home.log")
        assert home.status == 0, home.problem
    print(
        f"kill-sweep: {swept} boundaries{f', {left} left' if left else ''}, "
        f"{load.answered} requests answered, {len(load.failures)} failed",
        *load.failures[:10],
        sep="\n",
    )
    return 1 if load.failures else 0


def sweep(site: Site, arguments: argparse.Namespace, folder: Path, load: Load) -> tuple[int, int]:
    """Kill at one boundary after the other; how many, and how many the time was too short for."""
    begun = time.monotonic()
    found = boundaries(site, folder / "boundaries.log", changed(site, arguments.service, arguments.strategy))
    print(f"kill-sweep: a deployment has {len(found)} boundaries", flush=True)
    wanted = [number for number in found if arguments.first <= number <= arguments.last][:: arguments.every]
    for done, number in enumerate(wanted):
        if time.monotonic() - begun > 60 * arguments.minutes:
            print(f"kill-sweep: time is over; go on with --from {number}", flush=True)
            return done, len(wanted) - done
        release = changed(site, arguments.service, arguments.strategy)
        killed = kill(site, folder / f"{number}-killed.log", release, str(number))
        assert killed.task, f"it ended with {killed.status} before task {number}; see {killed.log}"
        run = repaired(site, folder / f"{number}-repaired.log", release, arguments.service)
        told = f"repaired in {run.seconds:.0f} s, {len(load.failures)} of {load.answered} requests failed"
        print(f"{number:4d}  before {killed.task!r}: {told}", flush=True)
    return len(wanted), 0


def _arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--strategy", default="rolling", help="strategy of the release (rolling)")
    parser.add_argument("--service", default="web", help="service whose replicas are all new (web)")
    parser.add_argument("--from", dest="first", type=int, default=1, help="first task to kill at (1)")
    parser.add_argument("--to", dest="last", type=int, default=1000, help="last task to kill at")
    parser.add_argument("--every", type=int, default=1, help="of so many boundaries one (1)")
    parser.add_argument("--minutes", type=float, default=240, help="begin no other boundary after this (240)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
