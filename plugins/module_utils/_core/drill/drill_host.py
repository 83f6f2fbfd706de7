"""A fault on one host, which ends by itself: also where whoever caused it is gone by then."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from ..errors import SlipwayError
from ..retry import Patience
from ..run import Run
from .drills import AT_ONCE, FILL, HANG, KILL, PARTITION, STOP, SUSPEND, VANISH

UNIT = "slipway-drill"
TABLE = "slipway_drill"
RULES = Path("/run/slipway-drill.nft")
# Is there once the fault has begun: nobody can look while the host is away.
BEGUN = Path("/run/slipway-drill.begun")
# The answer must be on its way before the host is off the network.
AHEAD = 2.0
# Seconds within which a fault that was ordered must be there.
BEGINNING = 180.0
# No file of a process, nor of those that it starts, is written beyond this: of a segment of WAL, a sixteenth.
# Inside, because only who has their user may tell processes that. Some end meanwhile: that is no failure.
# systemd has a use of its own for dollar and percent signs.
_EACH = 'ls /proc | grep -x "[0-9]*" | xargs -I_ prlimit --pid _ --fsize={1}: || true'
_GROW = "docker exec {0} sh -c '" + _EACH + "'"
# The container's first process has these words on its command line, too; no SIGSTOP from inside reaches it.
# PostgreSQL's own have not. The dot is the space: no quotes.
_PATRONI = "docker exec {0} pkill -{1} -f patroni./config/patroni.yml"
# What the engine does to a container, and what undoes it.
_VERBS = {
    HANG: ("docker pause {0}", "docker unpause {0}"),
    # An interrupted stop goes on: it is waited for, or what is started would end again.
    STOP: ("docker stop {0}", "docker stop {0}; docker start {0}"),
    SUSPEND: (_PATRONI.format("{0}", "STOP"), _PATRONI.format("{0}", "CONT")),
    FILL: (_GROW.format("{0}", 2**20), _GROW.format("{0}", "unlimited")),
}
_POSTMASTER = 'kill -KILL $(head -1 "$PGDATA/postmaster.pid")'


class DrillHost:
    """container: of the component that the drill is about. address: where the other hosts reach this one.

    peers: the addresses of those.
    """

    def __init__(self, run: Run, container: str, address: str, peers: Sequence[str] = ()) -> None:
        self._run = run
        self._container = container
        self._address = address
        self._peers = peers

    def strike(self, fault: str, seconds: int) -> float:
        """Let a fault begin, now or AHEAD; the moment it does, seconds since the epoch."""
        if fault == KILL:
            return self._kill()
        if fault in _VERBS:
            begin, end = (verbs.format(self._container) for verbs in _VERBS[fault])
            return self.let(begin, end, seconds)
        RULES.write_text(self._rules(fault), encoding="utf-8")
        return self.let(f"nft -f {RULES}", f"nft delete table inet {TABLE}", seconds)

    def let(self, begin: str, end: str, seconds: int) -> float:
        """Let what one shell script begins last until another ends it; the moment it begins, AHEAD."""
        BEGUN.unlink(missing_ok=True)
        at = time.time() + AHEAD
        script = f"sleep {AHEAD}; {begin} && touch {BEGUN} && sleep {seconds}"
        # The engine's own: it goes on when the connection ends, and ends the fault however it ends itself.
        heal = f"--property=ExecStopPost=-/bin/sh -c {shlex.quote(end)}"
        argv = ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", heal, "/bin/sh", "-c", script]
        self._do(argv, "Is another drill at work? `systemctl stop slipway-drill` ends it")
        return at

    def heal(self) -> None:
        """End a fault that is still there: what it was for is known."""
        self._run(["systemctl", "stop", UNIT])

    def require_begun(self, fault: str) -> None:
        """Refuse to believe in a fault that was ordered and did not begin."""
        # Some take their time, such as a server that is stopped.
        patience = Patience(BEGINNING, repeat(1.0))
        while fault not in AT_ONCE and not BEGUN.exists() and self._at_work() and patience.again():
            pass
        if fault not in AT_ONCE and not BEGUN.exists():
            raise SlipwayError(
                "the fault never began, so nothing was proven", f"Read `journalctl -u {UNIT}` on this host"
            )
        BEGUN.unlink(missing_ok=True)

    def _at_work(self) -> bool:
        return not self._run(["systemctl", "is-active", "--quiet", UNIT])[0]

    def _kill(self) -> float:
        if self._container.endswith("-postgres-1"):
            argv = ["docker", "exec", self._container, "sh", "-c", _POSTMASTER]
        else:
            pid = self._do(["docker", "inspect", "--format", "{{.State.Pid}}", self._container], "").strip()
            argv = ["kill", "-KILL", pid]
        at = time.time()
        self._do(argv, "See `docker ps` on this host: it must run to be killed")
        return at

    def _rules(self, fault: str) -> str:
        if fault == VANISH:
            name = self._interface()
            return rules(f'iifname "{name}"', f'oifname "{name}"')
        assert fault == PARTITION
        others = ", ".join(sorted(self._peers))
        return rules(f"ip saddr {{ {others} }}", f"ip daddr {{ {others} }}")

    def _interface(self) -> str:
        told = self._do(["ip", "-json", "-4", "address", "show", "to", self._address], "See `ip address`")
        names = [str(entry["ifname"]) for entry in json.loads(told or "[]") if entry.get("ifname")]
        if len(names) != 1:
            raise SlipwayError(
                f"{len(names)} network interfaces have {self._address}",
                "Correct slipway_address in the inventory",
            )
        return names[0]

    def _do(self, argv: list[str], remedy: str) -> str:
        code, out, err = self._run(argv)
        if code:
            raise SlipwayError(f"`{' '.join(argv[:3])}` failed: {(err or out).strip()[-200:]}", remedy)
        return out


def rules(comes: str, goes: str) -> str:
    """nftables: no packet comes or goes that one of these matches.

    Before any other rule sees it, and after all of them.
    """
    return (
        f"table inet {TABLE} {{\n"
        f"  chain in {{ type filter hook prerouting priority -500; {comes} drop; }}\n"
        f"  chain out {{ type filter hook postrouting priority 500; {goes} drop; }}\n"
        "}\n"
    )
