"""A host that keeps archives, and a second place it copies them to: a real SFTP server or a real S3 store."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ansible_collections.slipway.compose.plugins.module_utils._core.archive import archive_second
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_plan import Snapshot
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_second import Second
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Sftp
from archive_cluster import ArchiveCluster
from backup_cluster import docker
from images import newest
from s3_store import Store
from side_by_side import own_subnet
from whole_stack import stack, with_second

NAME = f"archive-second-try-{os.getpid()}"
SUBNET = own_subnet(86)
PLACE = f"{SUBNET}.40"
LIMIT = 60
BUCKET = "shop-archives"
# As a host of Debian 13 has them; the image is of Debian 13, too.
PACKAGES = "openssh-client openssh-server"
SSHD = """
id keeper || useradd --create-home --password '*' keeper
install -d -o keeper -m 0700 ~keeper/.ssh /srv/shop
install -o keeper -m 0600 /place/key.pub ~keeper/.ssh/authorized_keys
mkdir -p /run/sshd
# Who fails on purpose is not to be punished.
exec /usr/sbin/sshd -D -e -f /dev/null -o PerSourcePenalties=no -o HostKey=/place/host \\
  -o HostKey=/place/host-ecdsa -o UsePAM=no -o PidFile=none \\
  -o PasswordAuthentication=no -o Subsystem='sftp internal-sftp' -p 2222
"""


def image() -> str:
    return f"slipway-test/keeper:{newest('archive-repository').rpartition(':')[2]}"


def built() -> str:
    """The image of an SFTP server, and of a host that copies to a place."""
    install = f"apt-get update && apt-get install --yes --no-install-recommends {PACKAGES}"
    recipe = f"FROM {newest('archive-repository')}\nUSER 0\nRUN {install}\n"
    argv = ["docker", "build", "--quiet", "--tag", image(), "-"]
    subprocess.run(argv, input=recipe, text=True, check=True, capture_output=True, timeout=900)
    return image()


class Keeper(ArchiveCluster):
    """Files of h1 and h2, no Redis; h2 keeps, and copies to the place."""

    kind = "sftp"

    def start(self) -> None:
        self.own = self.folder / "place"
        built()
        self._prepare()
        self.lay()
        seen = [f"--volume={path}:{path}" for path in (self.folder, "/var/lib/docker/volumes")]
        docker("run", *self.near, *seen, "--name", self.tools, image(), "sleep", "infinity")
        self._open()
        self.run("archive-repository", 2)
        self._ready()

    @property
    def near(self) -> list[str]:
        return ["--detach", "--init", "--user=0", f"--network={self.name}"]

    @property
    def tools(self) -> str:
        return f"{self.name}-tools"

    @property
    def place(self) -> str:
        return f"{self.name}-place"

    def command(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        """As a host of Debian 13 runs it."""
        if argv[0] == "docker":
            return process(argv, stdin)
        return process(["docker", "exec", "--interactive", self.tools, *argv], stdin)

    def _prepare(self) -> None:
        """Keys of a server that shows two, and of its user."""
        self.own.mkdir()
        for name, kind in (("host", "ed25519"), ("host-ecdsa", "ecdsa"), ("key", "ed25519")):
            command = ["ssh-keygen", "-q", "-N", "", "-t", kind, "-f", str(self.own / name)]
            subprocess.run(command, check=True)
        # Not the one that ssh would choose by itself.
        fingerprint = self.fingerprint("host-ecdsa")
        sftp = Sftp(PLACE, 2222, "keeper", "place_key", fingerprint)
        self.declare(sftp=sftp)
        self.secrets["place_key"] = (self.own / "key").read_text().rstrip("\n")

    def _open(self) -> None:
        inside = [f"--volume={self.own}:/place:ro", "--ip", PLACE, "--name", self.place]
        docker("run", *self.near, *inside, image(), "bash", "-ec", SSHD)

    def fingerprint(self, name: str) -> str:
        key = (self.own / f"{name}.pub").read_text().split()[1]
        return hashlib.sha256(base64.b64decode(key)).hexdigest()

    def declare(self, **place: object) -> None:
        """Another place, seen by the host as soon as it is rendered."""
        parts, backup = self.stack.components, self.stack.components.backup
        assert backup and backup.second
        second = replace(backup.second, **place)
        self.stack = replace(self.stack, components=replace(parts, backup=replace(backup, second=second)))

    def _ready(self) -> None:
        limit = time.monotonic() + LIMIT
        while True:
            try:
                return Second(self.archive(2).host).reachable()
            except SlipwayError:
                assert time.monotonic() < limit, docker("logs", self.place, check=False)
                time.sleep(0.3)  # between two looks

    def take(self) -> None:
        for host in (1, 2):
            self.archive(host).take(lambda _line: None)

    def copy(self) -> list[str]:
        said: list[str] = []
        self.archive(2).copy(said.append)
        return said

    def there(self) -> dict[str, list[Snapshot]]:
        return archive_second.listed(self.archive(2).host)

    def here(self) -> dict[str, list[Snapshot]]:
        return self.archive(2).listed()

    def restic(self, repository: str, *arguments: str) -> str:
        """Standard output of restic on what is there."""
        second = Second(self.archive(2).host)
        code, out, err = second._ask(repository, *arguments)
        assert not code, err
        return out

    def lose(self) -> None:
        """What is kept here is gone, as with its host; an empty repository takes its place."""
        docker("rm", "--force", self.container("archive-repository", 2))
        docker("volume", "rm", self.volume("archive-repository", 2))
        self.run("archive-repository", 2)

    def refill(self) -> list[str]:
        said: list[str] = []
        archive_second.refill(self.archive(2).host, said.append)
        return said

    def files(self, folder: Path) -> dict[str, tuple[int, int, str]]:
        """Mode, owner and digest of everything below."""
        return {
            str(path.relative_to(folder)): (
                path.lstat().st_mode,
                path.lstat().st_uid,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in folder.rglob("*")
        }

    def metrics(self, name: str) -> str:
        return (self.folder / f"h2/state/metrics/{name}.prom").read_text()

    @contextmanager
    def changed(self, **place: object) -> Iterator[None]:
        before = self.stack
        self.declare(**place)
        self.render()
        try:
            yield
        finally:
            self.stack = before
            self.render()


class StoreKeeper(Keeper):
    """The same with an S3 store, whose certificate a company's CA signed."""

    kind = "s3"

    def _prepare(self) -> None:
        self.store = Store(self.place, PLACE, self.own)
        self.secrets |= self.store.secrets
        self.declare(s3=self.store.declared(BUCKET))

    def _open(self) -> None:
        self.store.start(self.name)
        trust = "cat > /usr/local/share/ca-certificates/company.crt; update-ca-certificates"
        docker("exec", "-i", self.tools, "sh", "-c", trust, stdin=self.store.authority)

    def _ready(self) -> None:
        self.store.make(BUCKET)
        super()._ready()


def made(kind: type[Keeper], folder: Path) -> Keeper:
    base = replace(with_second(stack(2)), name=NAME)
    hosts = tuple(Host(host.name, f"{SUBNET}.{10 + index}") for index, host in enumerate(base.hosts, 1))
    parts = base.components
    assert parts.backup and parts.backup.second and parts.backup.archive
    second = replace(parts.backup.second, path="/srv/shop", s3=None, sftp=None)
    backup = replace(parts.backup, second=second, archive=replace(parts.backup.archive, volumes=()))
    declared = replace(base, hosts=hosts, components=replace(parts, redis=None, backup=backup))
    return kind(declared, folder, name=NAME, built=("archive-repository",))
