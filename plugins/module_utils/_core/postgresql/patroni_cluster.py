"""Patroni's cluster as one host reaches it: asked over its API, told by `patronictl` in the own member."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any

from ..checks import verdicts
from ..checks.health import Probe
from ..checks.probes_network import get
from ..docker import commands
from ..errors import SlipwayError
from ..retry import Patience, delays
from ..run import Run
from .leadership import Cluster, Move, whole
from .leadership_watch import Watch, interruption, two_at_once

_AWAY = (OSError, ValueError, HTTPException)
_REMEDY = "Look at `docker logs` of its container and at docs/runbooks/postgres.md"


def patience(seconds: float) -> Patience:
    return Patience(seconds, delays(0.3, 1.0))


class PatroniCluster:
    """`members`: Patroni's API of each member by inventory name, as targets of probes."""

    def __init__(self, run: Run, stack: str, members: Mapping[str, Mapping[str, Any]]) -> None:
        self._run = run
        self.stack = stack
        self._probes = {name: Probe("cluster", "postgres", "postgres", it) for name, it in members.items()}

    def view(self) -> Cluster:
        """The cluster as the first member that answers sees it: all read the same from etcd."""
        told = []
        for name, probe in self._probes.items():
            base = str(probe.target["url"]).rstrip("/")
            try:
                cluster, settings = (
                    verdicts.parsed(get(probe, f"{base}/{part}").body) for part in ("cluster", "config")
                )
                return Cluster.parse(cluster, settings)
            except (*_AWAY, SlipwayError) as error:
                told.append(f"{name}: {error or type(error).__name__}")
        raise SlipwayError(f"no member of PostgreSQL's answers ({'; '.join(told)})", _REMEDY)

    def move(self, step: Move, patience: Patience, most_lag: int, *, planned: bool) -> list[str]:
        """Move the leadership; wait until the new leader leads and whoever was well before follows it.

        The old leader is waited for after a planned move only: after a failover it may be gone for good.
        """
        before = self.view()
        expected = [it.name for it in before.followers if it.state == "streaming" and it.name != step.to]
        expected += [step.leader] if planned and step.leader else []
        argv = (
            commands.switchover(self.stack, step.leader, step.to)
            if planned
            else commands.fail_over(self.stack, step.to)
        )
        with self._watch() as watch:
            self.tell(argv)
            self.until(lambda now: whole(now, step.to, [], most_lag) or self._no_writes(step.to), patience)
        told = [str(step), f"no member accepted writes for {interruption(watch.samples):g} s"]
        if both := two_at_once(watch.samples):
            raise SlipwayError(
                f"{' and '.join(both)} called themselves primary at once",
                "Stop the one on the lower timeline now: docs/runbooks/postgres.md",
            )
        self.until(lambda now: whole(now, step.to, expected, most_lag), patience)
        return [*told, *[f"{name} streams from it" for name in expected]]

    def reclone(self, name: str, seconds: float) -> list[str]:
        """Delete a member's data, copy the leader's, wait until it streams; the order returns early."""
        leader = self.view().leader
        started = self._started(name)
        self.tell(commands.reinit(self.stack, name))
        begun = time.monotonic()

        def missing(now: Cluster) -> str:
            # Copying a small database takes less time than etcd needs to hear of it: the member is said to
            # stream throughout, and only its server knows that it is a new one.
            if self._started(name) in ("", started):
                return f"{name} has not begun anew"
            return whole(now, leader.name if leader else "", [name], 1 << 62)

        self.until(missing, patience(seconds))
        return [f"{name}: cloned anew, streams after {time.monotonic() - begun:.0f} s"]

    def tell(self, argv: Sequence[str]) -> str:
        """Run `patronictl` in the member on this host; what it says on success."""
        container = f"{self.stack}-postgres-1"
        code, out, err = self._run(["docker", "exec", container, *argv])
        told = (out + err).strip()
        # It ends with 0 as well where a member has refused, and shows the members' states besides.
        if code or "Success" not in told:
            lines = [line for line in told.splitlines() if "ailed" in line or "rror" in line]
            said = lines[-1] if lines else told[-200:] or f"exit status {code}"
            raise SlipwayError(f"`{' '.join(argv[:2])}` failed: {said}", _REMEDY)
        return told

    def until(self, missing: Callable[[Cluster], str], patience: Patience) -> None:
        """Wait until nothing is missing; the failure names what was, and that the order itself was given."""
        while True:
            try:
                lacks = missing(self.view())
            except SlipwayError as error:
                lacks = error.problem
            if not lacks:
                return
            if not patience.again():
                raise SlipwayError(
                    f"the order was given, and the cluster is not whole in time: {lacks}",
                    "Look at `patronictl list`; playbooks/reinit.yml clones anew who does not come back",
                )

    def _started(self, name: str) -> str:
        """When a member's server started; "" where none runs."""
        base = str(self._probes[name].target["url"]).rstrip("/")
        try:
            told = verdicts.parsed(get(self._probes[name], f"{base}/patroni").body)
        except (*_AWAY, SlipwayError):
            return ""
        return str(told.get("postmaster_start_time") or "")

    def _no_writes(self, name: str) -> str:
        return "" if self._is_primary(name) else f"{name} accepts no writes yet"

    def _watch(self) -> Watch:
        return Watch(list(self._probes), self._is_primary)

    def _is_primary(self, name: str) -> bool:
        """Asked as routers ask: 200 only where it runs, holds the leader's key and accepts writes."""
        probe = self._probes[name]
        base = str(probe.target["url"]).rstrip("/")
        try:
            return get(probe, f"{base}/primary").status == 200
        except (*_AWAY, SlipwayError):
            return False
