"""End a primary whose Patroni has stopped working, before another member may take its place.

Patroni renews the leader's key, and demotes its server when it cannot. A Patroni that hangs does neither: its
key expires, another member is promoted, and until it wakes up two servers take themselves for the primary. A
watchdog of the host ends that, where there is one; this program does so everywhere, for the one case of a
Patroni that hangs alone. It runs beside Patroni in the same container, asks it whether its rounds go on, and
otherwise stops the server at once and kills Patroni, so that the engine starts both anew. What hangs with it
(the container, the host) it cannot end, and writes nothing either.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

SETTINGS = Path("/config/dynamic.json")
DATA = Path(os.environ["PGDATA"])
# 503 where the last round is longer ago than the leader's key lives.
URL = "https://localhost:8008/liveness"
STOP = ["pg_ctl", "stop", "-D", str(DATA), "-m", "immediate", "-w", "-t", "5"]
EVERY = 2.0
PATIENCE = 1.5
AGAIN = 0.5
# One that was merely late after a pause of the whole machine answers the next time.
ATTEMPTS = 3


@dataclass
class Silence:
    """How long Patroni has not said that it works; times in seconds of one clock.

    limit: after which it is given up. One that has never worked is waiting for etcd, and runs no server.
    """

    limit: float
    since: float | None = None
    failed: int = 0

    def over(self, works: bool, now: float) -> bool:
        """Whether it has lasted too long, after one more answer or none."""
        if works:
            self.since, self.failed = now, 0
        else:
            self.failed += 1
        return self.since is not None and self.failed >= ATTEMPTS and now - self.since >= self.limit


def limit(settings: Path = SETTINGS) -> float:
    """The key lives `ttl` s from its last renewal, a round ago at most; 2 s more are for stopping."""
    told = json.loads(settings.read_text(encoding="utf-8"))
    return float(told["ttl"] - told["loop_wait"] - 2)


def works(context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(URL, timeout=PATIENCE, context=context):
            return True
    except OSError:
        return False


def serves() -> bool:
    """Whether the server here takes writes. A Patroni that ends is silent, too; its server is `stopping`."""
    try:
        told = (DATA / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return told[-1].strip() == "ready" and not (DATA / "standby.signal").exists()


def fence(silence: Silence) -> None:
    print(
        f"fence: Patroni has not worked for {silence.limit:g} s: its server is stopped, both start anew",
        flush=True,
    )
    subprocess.run(STOP, check=False)
    # Patroni: the shell that began this program has become it. One that hangs takes no other signal.
    os.kill(os.getppid(), signal.SIGKILL)


def main() -> int:
    context = ssl.create_default_context(cafile="/config/tls/ca.crt")
    silence = Silence(limit())
    while True:
        working = works(context)
        if silence.over(working, time.monotonic()) and serves():
            fence(silence)
            return 1
        # Each look is a TLS handshake; one that failed is repeated sooner.
        time.sleep(EVERY if working else AGAIN)


if __name__ == "__main__":
    sys.exit(main())
