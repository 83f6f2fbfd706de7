"""Slipway, plain `docker compose up -d` and Swarm side by side: the same app, hosts and load, one by one.

On a running lab with the reference stack: `web`, one replica on each host, goes from one release to another
and back again, under a steady load of GET and POST. Told are the time to finish, failed requests, and how
long after the command the release that went was still seen. Everything that was put on the hosts is removed
at the end, also after Ctrl-C; the stack is as in the inventory again.

SLIPWAY_LAB names the lab (lab). The table is printed; it and a JSON file are left in .lab/<lab>/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import extra_hosts
from comparison_hosts import WEB, Host, starts, tidy
from comparison_report import document, markdown
from contender import Change, Way
from edge import Edge
from page_load import PageLoad
from reckoning import ComparisonError, Move, Row, Starts, reckon
from site_under_test import Site, site_under_test
from slipway_lab import state
from undisturbed import end_as_by_ctrl_c, undisturbed
from with_compose import compose
from with_slipway import slipway
from with_swarm import name_of_nodes, swarm

CONTENDERS = ("slipway", "compose", "swarm")
HIGHEST_LOAD = 3.0
HIGHEST_RATE = 100
# Seconds of load before the command, and after everything is ready.
LEAD, TAIL = 2.0, 3.0
# Between two moves: nginx has forgotten by then whom it took for dead (fail_timeout).
CALM = 10.0


def main() -> int:
    arguments = parse(sys.argv[1:])
    load = os.getloadavg()[0]
    if load >= HIGHEST_LOAD and not arguments.any_load:
        return _error(f"the load average is {load:.1f}. Wait until it is below {HIGHEST_LOAD:.0f}.")
    name = state.lab_name()
    lab = state.load(name)
    if lab is None:
        return _error(f"the lab {name} is not up. Run `make up`.")
    hosts = [Host(lab, host) for host in lab.hosts]
    end_as_by_ctrl_c()
    begun = datetime.now(UTC)
    try:
        floors, rows, left_out = compare(hosts, arguments)
    except ComparisonError as error:
        return _error(str(error))
    except KeyboardInterrupt as interruption:
        print(f"compare: interrupted ({interruption}); all is as it was", file=sys.stderr)
        return 130
    conditions = {
        "when": begun.isoformat(timespec="seconds"),
        "hosts": len(hosts),
        "replicas_on_each_host": 1,
        "requests_a_second": arguments.rate,
        "pause": arguments.pause,
        "start_to_ready_alone": floors.alone,
        "start_to_ready_on_all_hosts_at_once": floors.together,
        "load_average": {"begin": load, "end": os.getloadavg()[0]},
    }
    table = markdown(rows, left_out)
    result = json.dumps(document(rows, left_out, conditions), indent=2) + "\n"
    (lab.folder / "comparison.md").write_text(table, encoding="utf-8")
    (lab.folder / "comparison.json").write_text(result, encoding="utf-8")
    print(f"\n{table}\n{lab.folder}/comparison.json has all of it")
    return 1 if left_out else 0


def compare(hosts: Sequence[Host], arguments: argparse.Namespace) -> tuple[Starts, list[Row], dict[str, str]]:
    """Measured starts, a row for each move, and why a contender could not be tried."""
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    try:
        clear(hosts)
        say("measuring how long a replica needs to start")
        floors = starts(hosts, hosts[0].image(WEB))
        say(f"start to ready: {floors.alone:.1f} s alone, {floors.together:.1f} s on all hosts at once")
        for name in arguments.only:
            say(f"{name}: preparing")
            try:
                with contender(name, hosts, arguments) as ways:
                    for way in ways:
                        rows += moves(way, floors, arguments.rate)
                say(f"{name}: removed")
            except ComparisonError as error:
                say(f"{name}: not measured: {error}")
                left_out[name] = str(error)
    finally:
        with undisturbed():
            clear(hosts)
    return floors, rows, left_out


def clear(hosts: Sequence[Host]) -> None:
    """Whatever a run has put somewhere and has not taken away itself, killed runs included."""
    tidy(hosts)
    extra_hosts.remove(name_of_nodes(hosts))


def contender(
    name: str, hosts: Sequence[Host], arguments: argparse.Namespace
) -> AbstractContextManager[list[Way]]:
    if name == "compose":
        return compose(hosts)
    if name == "swarm":
        return swarm(hosts)
    site, folder = site_under_test(), Path(tempfile.mkdtemp(prefix="slipway-compare-"))
    return slipway(site, edge_of(site, hosts[0], folder), folder, arguments.pause, arguments.as_shipped)


def edge_of(site: Site, first: Host, folder: Path) -> Edge:
    authority = folder / "ca.crt"
    authority.write_text(first(f"sudo cat /opt/{site.stack['name']}/config/host/tls/ca.crt"))
    return Edge(site.stack["domain"], first.lab.https_port, first.lab.http_port, authority)


def moves(way: Way, floors: Starts, rate: float) -> Iterator[Row]:
    for change in way.changes:
        say(f"{way.name}: {change.what}")
        row = measured(way, change, change.floor.seconds(floors), rate)
        told = f"{row.seconds:.1f} s, {row.failed} of {row.sent} failed"
        say(f"{way.name}: {change.what}: {told}, last answer of {change.old} after {row.last_old:.1f} s")
        yield row
        time.sleep(CALM)


def measured(way: Way, change: Change, floor: float, rate: float) -> Row:
    with PageLoad(way.connect, rate) as load:
        time.sleep(LEAD)
        begun = time.monotonic()
        change.command()
        ended = time.monotonic()
        way.settle(change.new)
        settled = time.monotonic()
        time.sleep(TAIL)
    move = Move(way.name, change.what, change.old, change.new, begun, ended, settled)
    return reckon(move, load.answers, floor)


def parse(given: Sequence[str]) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        type=_contenders,
        default=list(CONTENDERS),
        metavar="NAME[,NAME]",
        help=f"contenders to measure, in this order ({','.join(CONTENDERS)})",
    )
    parser.add_argument("--rate", type=_rate, default=80, help="requests a second, at most 100 (80)")
    parser.add_argument("--pause", type=float, default=8, help="seconds of each pause of blue-green (8)")
    parser.add_argument(
        "--as-shipped",
        action="store_true",
        help="Slipway's strategies with the pauses and watch windows that they come with (15 minutes longer)",
    )
    parser.add_argument(
        "--any-load", action="store_true", help="measure on a busy machine; not for publishing"
    )
    return parser.parse_args(given)


def say(words: str) -> None:
    print(f"compare: {datetime.now(UTC):%H:%M:%S} {words}", flush=True)


def _contenders(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := sorted(set(chosen) - set(CONTENDERS)):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(CONTENDERS)}")
    return chosen


def _rate(text: str) -> float:
    if not 0 < float(text) <= HIGHEST_RATE:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {HIGHEST_RATE}")
    return float(text)


def _error(words: str) -> int:
    print(f"compare: error: {words}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
