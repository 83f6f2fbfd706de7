"""Archives on their way to the second place and back, by the host that keeps them."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from ..errors import SlipwayError
from .archive_host import ArchiveHost
from .archive_place import CREDENTIALS, KEY, PLACE, SECOND, SIGNS, Place, shown
from .archive_plan import (
    Snapshot,
    expired,
    explain,
    kept_metrics,
    missing,
    no_repository,
    refilled,
    snapshots,
    together,
    told_before,
)

Say = Callable[[str], object]
# Its own: a first copy may take hours, and archives are taken meanwhile.
_LOCK = "archive-second"
_KEPT = "archive_second.prom"
# All that a Debian host trusts, a company's own CA among them.
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PATIENCE = 10


class Second:
    """The second place, reached by the host that keeps archives. Failures are raised with what they mean."""

    def __init__(self, host: ArchiveHost) -> None:
        self._host = host
        self._own = host.own / SECOND
        self._known = host.root / "state/archive/known_hosts"
        try:
            self.place = Place.from_dict(json.loads((self._own / PLACE).read_text(encoding="utf-8")))
        except OSError as error:
            raise SlipwayError(
                f"this host copies no archives of {host.root.name}: {error.filename} cannot be read",
                "Declare stack/components/backup/second and deploy; the host that keeps the backups copies",
            ) from error

    def reachable(self) -> None:
        """restic would go on trying for a quarter of an hour."""
        try:
            with socket.create_connection((self.place.address, self.place.port), _PATIENCE) as plain:
                if self.place.fingerprint:
                    self._know()
                else:
                    context = ssl.create_default_context()
                    context.wrap_socket(plain, server_hostname=self.place.address).close()
        except OSError as error:
            raise self._failed("cannot be reached", 1, str(error)) from error

    def kept(self, repository: str) -> list[Snapshot]:
        code, out, err = self._ask(repository, "snapshots", "--json")
        if no_repository(code, err):
            return []
        if code:
            raise self._failed(f"{repository} cannot be listed", code, err)
        return snapshots(repository, out)

    def copy(self, repository: str, new: Sequence[Snapshot]) -> list[Snapshot]:
        """Add archives of here to those of there, and list them."""
        there, here = self._way(repository), self._host.way(repository)
        self._carry(f"{repository} cannot be copied", here, there, new)
        found = self.kept(repository)
        self._whole(repository, new, found)
        return found

    def back(self, repository: str, lost: Sequence[Snapshot]) -> None:
        """Add archives of there to those of here."""
        there, here = self._way(repository), self._host.way(repository)
        self._carry(f"{repository} cannot be brought back", there, here, lost)
        self._whole(repository, lost, self._host.kept(repository))

    def unlock(self, repository: str) -> None:
        """Remove locks of the dead, and no others: restic waits for them as for the living."""
        code, _out, err = self._ask(repository, "unlock")
        if code and not no_repository(code, err):
            raise self._failed(f"{repository} cannot be unlocked", code, err)

    def delete(self, repository: str, old: Sequence[str]) -> list[Snapshot]:
        """Delete there, and list what is left."""
        for arguments in (("forget", "--prune", *old), ("check", "--with-cache")):
            code, _out, err = self._ask(repository, *arguments)
            if code:
                raise self._failed(f"{repository}: restic {arguments[0]} failed", code, err)
        # restic calls it a success also where it could delete nothing.
        found = self.kept(repository)
        if any(it.id in old for it in found):
            raise SlipwayError(
                f"the second place: {repository}: what is old could not be deleted",
                "Let the user of stack/components/backup/second delete what is below `path`",
            )
        return found

    def _know(self) -> None:
        """Have the one host key that is declared be the only one that ssh takes."""
        before = self._known.read_text(encoding="utf-8") if self._known.exists() else ""
        if self.place.fingerprint in shown(before, self.place):
            return
        scan = ["ssh-keyscan", f"-T{_PATIENCE}", f"-p{self.place.port}", self.place.address]
        code, out, err = self._host.run(scan)
        keys = shown(out, self.place)
        if not keys:
            raise self._failed("shows no host key", code, err)
        if self.place.fingerprint not in keys:
            seen = f"fingerprints of those it shows: {', '.join(sorted(keys))}"
            raise self._failed("is not known", 1, f"Host key verification failed, {seen}")
        self._known.parent.mkdir(parents=True, exist_ok=True)
        self._known.write_text(f"{keys[self.place.fingerprint]}\n", encoding="utf-8")

    def _carry(
        self, what: str, source: tuple[str, Path], target: tuple[str, Path], which: Sequence[Snapshot]
    ) -> None:
        given = (f"--from-repo={source[0]}", f"--from-password-file={source[1]}")
        code, _out, err = self._restic(target, "cat", "config")
        if no_repository(code, err):
            # Only so is what is alike stored once there, too.
            code, _out, err = self._restic(target, "init", *given, "--copy-chunker-params")
            if code and not self._restic(target, "cat", "config")[0]:
                code = 0  # a host that archives was first
        if not code:
            code, _out, err = self._restic(target, "copy", *given, *(it.id for it in which))
        if code:
            raise self._failed(what, code, err)

    def _whole(self, repository: str, wanted: Sequence[Snapshot], found: Sequence[Snapshot]) -> None:
        """restic calls it a success also where it leaves one out."""
        arrived = {it.origin for it in found}
        if lost := [it.short for it in wanted if it.origin not in arrived]:
            raise SlipwayError(
                f"{repository}: {', '.join(lost)} did not arrive",
                "Run this again; if it stays, look at what restic says",
            )

    def _way(self, repository: str) -> tuple[str, Path]:
        return f"{self.place.url}/{repository}", self._own / f"{repository}.password"

    def _ask(self, repository: str, *arguments: str) -> tuple[int, str, str]:
        return self._restic(self._way(repository), *arguments)

    def _restic(self, where: tuple[str, Path], *arguments: str) -> tuple[int, str, str]:
        """The same options for both ways: restic takes one set of them for what it copies from and to."""
        options = [f"--option={it}" for it in self.place.options]
        if self.place.fingerprint:
            command = ["restic", f"--option=sftp.args={self._ssh()}"]
        else:
            command = ["env", f"AWS_SHARED_CREDENTIALS_FILE={self._own / CREDENTIALS}", "restic", *options]
            command += [f"--cacert={_BUNDLE}"]
        command += [*self._host.trusting(), f"--repo={where[0]}", f"--password-file={where[1]}"]
        return self._host.run([*command, *arguments])

    def _ssh(self) -> str:
        options = {
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "UserKnownHostsFile": str(self._known),
            "ConnectTimeout": str(_PATIENCE),
            # A server that is gone is noticed after a minute.
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
        }
        told = " ".join(f"-o {name}={value}" for name, value in options.items())
        return f"-F /dev/null -i {self._own / KEY} {told}"

    def _failed(self, what: str, code: int, told: str) -> SlipwayError:
        return explain(f"the second place: {what}", code, told, SIGNS)


def copy(host: ArchiveHost, say: Say) -> None:
    """Have the second place hold what is kept here, by the same days; each also if another fails."""
    now, days = datetime.now(UTC), host.settings.keep_days
    with host.only_one(_LOCK), host.telling("copy"):
        second = _both(host)
        with together() as attempt:
            before = host.told(_KEPT)
            told = {name: told_before(name, before) for name in host.settings.keeps}
            for name in told:
                with attempt():
                    second.unlock(name)
                    there = second.kept(name)
                    if new := missing(host.kept(name), there, days, now):
                        there = second.copy(name, new)
                        say(f"{name}: {len(new)} copied to the second place")
                    told[name] = kept_metrics(name, there, now, "_second")
                    if old := expired(there, days, now):
                        left = second.delete(name, old)
                        told[name] = kept_metrics(name, left, now, "_second")
                        say(f"{name}: {len(old)} deleted in the second place")
                host.write(_KEPT, chain.from_iterable(told.values()))


def lost(host: ArchiveHost) -> dict[str, list[Snapshot]]:
    """By repository, what only the second place has."""
    second = _both(host)
    found = {name: _lost(host, second, name) for name in host.settings.keeps}
    return {name: those for name, those in found.items() if those}


def refill(host: ArchiveHost, say: Say) -> None:
    """Fetch it, each repository also if another fails; nothing that is here is replaced."""
    with host.only_one(_LOCK):
        second = _both(host)
        with together() as attempt:
            for name in host.settings.keeps:
                with attempt():
                    if those := _lost(host, second, name):
                        second.back(name, those)
                        say(f"{name}: {len(those)} came back from the second place")


def _lost(host: ArchiveHost, second: Second, name: str) -> list[Snapshot]:
    return missing(second.kept(name), host.kept(name), host.settings.keep_days, datetime.now(UTC))


def _both(host: ArchiveHost) -> Second:
    """The second place, when both it and the first can be reached."""
    second = Second(host)
    host.reachable()
    second.reachable()
    return second


def listed(host: ArchiveHost) -> dict[str, list[Snapshot]]:
    """Every archive that is there, by repository."""
    second = Second(host)
    second.reachable()
    return {name: second.kept(name) for name in host.settings.keeps}


def returned(host: ArchiveHost) -> dict[str, Snapshot]:
    """By repository, the newest that ever came back from there and is still kept."""
    now = datetime.now(UTC)
    found = {name: refilled(host.kept(name), now) for name in host.settings.keeps}
    return {name: those[-1] for name, those in found.items() if those}
