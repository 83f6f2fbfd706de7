"""One host's way to its stack's archives: restic here, restic where they are kept, the engine, Redis."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..errors import SlipwayError
from ..only_one import only_one
from ..run import Run, process
from .archive_plan import Settings, Snapshot, explain, last_metrics, no_repository, snapshots
from .archive_redis import Redis

SETTINGS = Path("config/host/archive/settings.json")
CACHE = "/var/cache/slipway-archive"
KEPT = "/var/lib/archive"
LOCK = "--retry-lock=10m"


class AtWorkError(SlipwayError):
    """Another one holds the lock; it passes by itself."""


class ArchiveHost:
    """root: the stack's folder, /opt/<stack>. Every failure is raised with what it means."""

    def __init__(self, root: Path, run: Run = process) -> None:
        self.root = root
        self.own = root / SETTINGS.parent
        self._tls = root / "config/host/tls"
        self._metrics = root / "state/metrics"
        self.run = run
        try:
            text = (root / SETTINGS).read_text(encoding="utf-8")
        except OSError as error:
            raise SlipwayError(
                f"this host archives nothing of {root.name}: {error.filename} cannot be read",
                "Deploy a stack with components/backup/archive first",
            ) from error
        self.settings = Settings.from_dict(json.loads(text))

    def redis(self, address: str) -> Redis:
        password = (self.own / "redis_admin").read_text(encoding="utf-8")
        return Redis.at(address, self.settings.redis_port, self._tls / "ca.crt", password)

    def reachable(self) -> None:
        """restic would go on trying for a quarter of an hour."""
        address, _, port = self.settings.repository.rpartition(":")
        try:
            context = ssl.create_default_context(cafile=str(self._tls / "ca.crt"))
            context.load_cert_chain(self._tls / "tls.pem")
            with (
                socket.create_connection((address, int(port)), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=address) as stream,
            ):
                stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                stream.recv(1)
        except OSError as error:
            raise explain("the archive cannot be reached", 1, str(error)) from error

    def ask(self, repository: str, *arguments: str) -> tuple[int, str, str]:
        where, key = self.way(repository)
        command = ["restic", f"--repo={where}", f"--password-file={key}", *self.trusting()]
        return self.run([*command, *arguments])

    def way(self, repository: str) -> tuple[str, Path]:
        """Where restic finds a repository over the network, and the file with its password."""
        return f"rest:https://{self.settings.repository}/{repository}/", self.own / f"{repository}.password"

    def trusting(self) -> list[str]:
        """restic's options on that way."""
        own = [f"--cacert={self._tls}/ca.crt", f"--tls-client-cert={self._tls}/tls.pem"]
        return [LOCK, f"--cache-dir={CACHE}", *own]

    def restic(self, what: str, repository: str, *arguments: str) -> str:
        code, out, err = self.ask(repository, *arguments)
        if code:
            raise explain(what, code, err)
        return out

    def kept(self, repository: str) -> list[Snapshot]:
        code, out, err = self._inside(repository, "snapshots", "--json")
        if no_repository(code, err):
            return []
        if code:
            raise explain(f"{repository} cannot be listed", code, err)
        return snapshots(repository, out)

    def unlock(self, repository: str) -> None:
        """Remove locks of the dead, and no others: restic waits for them as for the living."""
        code, _out, err = self._inside(repository, "unlock")
        if code and not no_repository(code, err):
            raise explain(f"{repository} cannot be unlocked", code, err)

    def locally(self, repository: str, *arguments: str) -> None:
        code, _out, err = self._inside(repository, *arguments)
        if code:
            raise explain(f"{repository}: restic {arguments[0]} failed", code, err)

    def _inside(self, repository: str, *arguments: str) -> tuple[int, str, str]:
        """Where the files are, as their owner; the container, which the net reaches, keeps no password."""
        password = (self.own / f"{repository}.password").read_text(encoding="utf-8")
        inside = ["docker", "exec", "--interactive", self.container("archive-repository")]
        restic = ["restic", f"--repo={KEPT}/{repository}", "--no-cache", LOCK, *arguments]
        return self.run([*inside, *restic], stdin=f"{password}\n")

    def volume(self, name: str) -> Path:
        inspect = ["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", self.volume_name(name)]
        return Path(self.checked(f"the volume {name} cannot be found", *inspect).strip())

    def volume_name(self, name: str) -> str:
        return f"{self.settings.stack}_{name}"

    def container(self, component: str) -> str:
        return f"{self.settings.stack}-{component}-1"

    def checked(self, what: str, *argv: str) -> str:
        code, out, err = self.run(argv)
        if code:
            raise explain(what, code, err)
        return out

    def only_one(self, lock: str = "archive") -> AbstractContextManager[None]:
        """All work on this host's archives, or another kind of it."""
        at_work = AtWorkError(
            "another one works on the archive of this host",
            "Wait until it has ended: `systemctl list-units 'slipway-archive*'`",
        )
        return only_one(self.root / f"state/{lock}.lock", at_work)

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Tell the monitoring how it went."""
        begun, ok = time.monotonic(), False
        try:
            yield
            ok = True
        finally:
            metrics = last_metrics(what, ok, time.time(), time.monotonic() - begun)
            self.write(f"archive_{what}.prom", [self._address, *metrics])

    def tried(self, what: str) -> bool:
        """Whether it ever was, with the archives where they are kept now."""
        return self._address in self.told(f"archive_{what}.prom")

    @property
    def _address(self) -> str:
        """A comment among what the monitoring is told."""
        return f"# Archives are kept at {self.settings.repository}"

    def told(self, name: str) -> list[str]:
        """What was written last."""
        path = self._metrics / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def write(self, name: str, lines: Iterable[str]) -> None:
        """A reader never finds half of a file."""
        target = self._metrics / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{name}.{os.getpid()}")
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(target)
