"""Counts what is lost while the log store and its shippers are restarted, and times searches among many.

Lines are written by a container on one host, at a rate; meanwhile the store is restarted, killed, and the
shipper restarted. Every line has an id of its own. Nothing can be deleted from the store: what this leaves
there goes after its retention. Use a lab.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("log_benchmark_host.py").read_text(encoding="utf-8")
# As long as nothing new has come, all has come that will.
PATIENCE = 30


def on(shell: str, *words: str, stdin: str = "") -> str:
    """What a command says on a host."""
    argv = [*shlex.split(shell), shlex.join(words)] if " ssh " in shell else [*shlex.split(shell), *words]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def host(shell: str, *words: str) -> dict[str, Any]:
    return dict(json.loads(on(shell, "python3", "-", *words, stdin=PROGRAM)))


def say(text: str) -> None:
    print(text, flush=True)


def losses(given: argparse.Namespace, run: str) -> bool:
    """Whether every line that was written is in the store."""
    total = given.rate * given.seconds
    image = (
        given.image
        or on(
            given.writer, "docker", "inspect", "--format", "{{.Image}}", f"{given.stack}-node-exporter-1"
        ).strip()
    )
    argv = ["python3", "-", "write", given.stack, run, str(given.rate), str(total), image]
    command = (
        [*shlex.split(given.writer), shlex.join(argv)]
        if " ssh " in given.writer
        else [*shlex.split(given.writer), *argv]
    )
    say(f"writing {total} lines, {given.rate} a second")
    writer = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdin
    writer.stdin.write(PROGRAM)
    writer.stdin.close()
    writer.stdin = None
    store = f"{given.stack}-logs-1"
    for share, what, shell, words in (
        (0.2, "the store is restarted", given.store, ["docker", "restart", store]),
        (
            0.4,
            "the store is stopped for 20 s",
            given.store,
            ["sh", "-c", f"docker stop {store} && sleep 20 && docker start {store}"],
        ),
        (
            0.6,
            "the store is killed",
            given.store,
            ["sh", "-c", f"docker kill {store} && docker start {store}"],
        ),
        (0.75, "the shipper is restarted", given.writer, ["systemctl", "restart", "slipway-log-shipper"]),
        (
            0.9,
            "the shipper is killed",
            given.writer,
            ["systemctl", "kill", "--signal=KILL", "slipway-log-shipper"],
        ),
    ):
        due = share * given.seconds
        time.sleep(max(due - (time.monotonic() - given.begun), 0))
        say(f"after {due:.0f} s {what}")
        on(shell, *words)
    out, err = writer.communicate()
    if writer.returncode:
        raise SystemExit(f"the writer failed: {err}")
    wrote = json.loads(out)
    say(f"written in {wrote['took']:.1f} s; the longest write took {wrote['longest'] * 1000:.1f} ms")
    found, since = {"lines": -1, "different": -1}, time.monotonic()
    while found["different"] < total and time.monotonic() - since < PATIENCE:
        now = host(given.writer, "count", given.stack, run)
        if now != found:
            found, since = now, time.monotonic()
        time.sleep(1)  # counting costs the store something, too
    lost, twice = total - found["different"], found["lines"] - found["different"]
    say(f"lines written {total}, found {found['different']}, lost {lost}, stored twice {twice}")
    return lost == 0


def searches(given: argparse.Namespace, run: str) -> bool:
    """Whether each search among so many lines took less than a second."""
    say(f"giving the store {given.lines} lines")
    host(given.store, "fill", given.stack, f"f{run}", str(given.lines))
    # What the store has taken can be found a second or two later.
    time.sleep(3)
    told = host(given.store, "search", given.stack, f"f{run}", str(given.lines), str(given.searches))
    took = sorted(told["milliseconds"])
    say(f"searches by id among {told['lines']} lines, in ms: median {took[len(took) // 2]}, worst {took[-1]}")
    return bool(took[-1] < 1000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/benchmark-logs", description=__doc__)
    parser.add_argument("--stack", default="wayfare")
    parser.add_argument("--rate", type=int, default=2000, help="lines a second")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--lines", type=int, default=1_000_000, help="to search among; 0 searches nothing")
    parser.add_argument("--searches", type=int, default=20)
    lab = f"{CHECKOUT}/lab/lab ssh"
    parser.add_argument(
        "--writer", default=f"{lab} 1 sudo", help="what runs a command on the host that writes"
    )
    parser.add_argument("--store", default=f"{lab} 3 sudo", help="the same of the host with the store")
    parser.add_argument("--image", default="", help="that writes; it needs perl. Default: node-exporter's")
    given = parser.parse_args()
    given.begun = time.monotonic()
    run = f"b{secrets.token_hex(4)}"
    kept = losses(given, run) if given.seconds else True
    fast = searches(given, run) if given.lines else True
    return 0 if kept and fast else 1


if __name__ == "__main__":
    sys.exit(main())
