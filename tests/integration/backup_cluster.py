"""PostgreSQL under Patroni on some hosts, and its repository: what is rendered, run by this engine.

A host is a container that holds an address; its components share that network, as they share a host's ports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
    Settings,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process as run
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import host_names
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from images import newest
from side_by_side import own_subnet
from whole_stack import IMAGES, SECRETS, stack, with_backup

SUBNET = own_subnet(79)
STARTED = ("etcd", "backup-repository", "postgres", "backup-agent")
LIMIT = 120
# How long a leader may be silent: nothing here is about failovers, and a busy machine must not bring them in.
PATIENT = {'"ttl": 12': '"ttl": 90', '"retry_timeout": 5': '"retry_timeout": 30'}
# In memory: nothing of what is tried here is about disks, and this is many times as fast.
VOLUMES = {"postgres": 999, "postgres-socket": 999, "backup-repository": 999, "etcd": 10001}


def in_memory(uid: int, size: str = "1g") -> list[str]:
    """Options of `docker volume create`."""
    return ["--opt=type=tmpfs", "--opt=device=tmpfs", f"--opt=o=uid={uid},gid={uid},mode=0750,size={size}"]


def patient(text: str) -> str:
    for stock, longer in PATIENT.items():
        text = text.replace(stock, longer)
    return text


def docker(*command: str, stdin: str | None = None, check: bool = True) -> str:
    argv = ["docker", *command]
    done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, timeout=LIMIT, check=False)
    assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def declared(members: int, subnet: str = SUBNET, **backup: Any) -> Stack:
    """A stack over `members` hosts with PostgreSQL and one more that keeps the backups."""
    base = with_backup(stack(members + 1), **{"wal_every": 10, **backup})
    hosts = tuple(Host(host.name, f"{subnet}.{10 + index}") for index, host in enumerate(base.hosts, 1))
    names = tuple(host.name for host in hosts)
    parts = base.components
    assert parts.postgres
    postgres = replace(parts.postgres, hosts=names[:members], memory=256 << 20, max_connections=50)
    etcd = replace(parts.etcd, hosts=names[:1])
    return replace(base, hosts=hosts, components=replace(parts, postgres=postgres, etcd=etcd))


@dataclass
class Cluster:
    """The hosts; `folder` holds each one's rendered tree."""

    stack: Stack
    folder: Path
    secrets: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    name: str = f"slipway-test-backups-{os.getpid()}"
    built: tuple[str, ...] = ("etcd", "postgres")
    bootstrap: str = ""
    # One that is there already, where two clusters stand on it.
    network: str = ""
    other_ca: str = ""
    # Of each volume. A restore wants 512 MB beside what it restores.
    size: str = "1g"
    # Others than the newest ones of ours, by name.
    images: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_failure: object) -> None:
        self.remove()

    def container(self, component: str, host: int = 1) -> str:
        return f"{self.name}-h{host}-{component}"

    @property
    def repository(self) -> str:
        return self.container("backup-repository", len(self.stack.hosts))

    def start(self) -> None:
        subnet = self.stack.hosts[0].address.rpartition(".")[0]
        if not self.network:
            docker("network", "create", f"--subnet={subnet}.0/24", self.name)
        self.render()
        for index, host in enumerate(self.stack.hosts, 1):
            place = [
                "--network",
                self.network or self.name,
                "--ip",
                host.address,
                "--name",
                self.container("host", index),
            ]
            place += self.held(index)
            docker("run", "--detach", "--init", *place, newest("postgres"), "sleep", "infinity")
        for component in STARTED:
            for index, _host in enumerate(self.stack.hosts, 1):
                self.run(component, index)
        self.until_led()

    def held(self, host: int) -> list[str]:
        """Make a host's volumes; options of the container that keeps them."""
        options = []
        for volume, uid in VOLUMES.items():
            docker("volume", "create", *in_memory(uid, self.size), self.volume(volume, host))
            # It would be gone whenever no container has it.
            options += ["--volume", f"{self.volume(volume, host)}:/held/{volume}"]
        return options

    def settings(self) -> Settings:
        """What the backup host is told."""
        path = self.folder / f"h{len(self.stack.hosts)}/config/backup-repository/settings.json"
        return Settings.parse(json.loads(path.read_text()))

    def opened(self) -> Repository:
        """The repository, which takes WAL from now on, and has no backup yet."""
        made = Repository(run, self.repository, self.stack.name)
        assert made.ensure(self.settings().members) == "stanza-create"
        return made

    def limits(self, _service: dict[str, Any]) -> list[str]:
        # Its files count as its memory here.
        return ["--memory=2g"]

    def render(self) -> None:
        """Write every host's tree, as a release lays it out; containers see it at once."""
        laid, authority = topology(self.stack), self.certify()
        wanted = {name: newest(name) for name in self.built} | self.images
        images = {name: wanted.get(name, f"none/{name}") for name in [*IMAGES, *self.stack.services]}
        certificates = {"edge": next(iter(self._pairs.values())), **self._pairs}
        more = {"bootstrap": self.bootstrap, "other_ca": self.other_ca}
        material = Material(images, self.secrets, authority, certificates, {}, **more)
        for index, view in enumerate(laid.views.values(), 1):
            for file in render(laid, view, material):
                target = self.folder / f"h{index}" / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                target.write_text(patient(file.content))
                target.chmod(file.mode)
                os.chown(target, file.owner, file.owner)
        for path in (self.folder, *self.folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)

    def certify(self) -> str:
        """The CA's certificate; hosts have theirs from then on."""
        if not hasattr(self, "_ca"):
            now = datetime.now(UTC)
            self._ca = pki.new_ca("test", now)
            pairs = {host.name: pki.issue(self._ca, host_names(host), now) for host in self.stack.hosts}
            self._pairs = {name: (pair.certificate, pair.key) for name, pair in pairs.items()}
        return self._ca.certificate

    def run(self, component: str, host: int) -> None:
        """Start one component of a host as its Compose file has it; nothing where it has none."""
        tree = self.folder / f"h{host}"
        services = yaml.safe_load((tree / "docker-compose.prod.yml").read_text())["services"]
        if component in services:
            name = self.container(component, host)
            options = self._options(services[component], host, tree)
            docker("run", "--detach", "--name", name, *options, *services[component]["command"])

    def _options(self, service: dict[str, Any], host: int, tree: Path) -> list[str]:
        options = ["--init", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        options += [f"--network=container:{self.container('host', host)}", f"--user={service['user']}"]
        options += [*self.limits(service), f"--pids-limit={service['pids_limit']}"]
        options += [f"--shm-size={service['shm_size']}"] if "shm_size" in service else []
        options += [f"--tmpfs={mount}" for mount in service.get("tmpfs", [])]
        options += [f"--env={key}={value}" for key, value in service.get("environment", {}).items()]
        for volume in service["volumes"]:
            source, rest = volume.split(":", 1)
            options.append(f"--volume={self._source(source, host, tree)}:{rest}")
        return [*options, service["image"]]

    def _source(self, source: str, host: int, tree: Path) -> str:
        """What stands for a folder of the stack, for a folder that hosts have anyway, and for a volume."""
        root = f"/opt/{self.stack.name}/"
        if source.startswith(root):
            return f"{tree}/{source.removeprefix(root)}"
        return source if source.startswith("/") else self.volume(source, host)

    def volume(self, name: str, host: int) -> str:
        return f"{self.name}-h{host}-{name}"

    def until_led(self) -> None:
        """Until one member leads and all others stream."""
        members = len(self.stack.components.postgres.hosts) if self.stack.components.postgres else 0
        limit = time.monotonic() + LIMIT
        while True:
            query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
            ask = ["psql", "-U", "postgres", "-XAtqc", query]
            # While it is bootstrapped it is stopped and started again.
            leader = self.container("postgres", self.leader())
            code, out, _err = run(["docker", "exec", leader, *ask])
            if not code and out.strip() == str(members - 1):
                return
            assert time.monotonic() < limit, self.logs()
            time.sleep(0.5)  # between two looks

    def leader(self) -> int:
        """The number of the host that leads; 0: none does."""
        for host in range(1, len(self.stack.hosts) + 1):
            ask = ["docker", "exec", self.container("postgres", host), "psql", "-U", "postgres", "-XAtqc"]
            code, out, _err = run([*ask, "SELECT pg_is_in_recovery()"])
            if not code and out.strip() == "f":
                return host
        return 0

    def sql(self, script: str, database: str = "postgres", host: int = 0) -> str:
        """Standard output of a script on the leader, or on the member of a host."""
        limit = time.monotonic() + LIMIT
        while not (place := host or self.leader()):
            assert time.monotonic() < limit, self.logs()
            time.sleep(0.5)  # between two looks
        container = self.container("postgres", place)
        psql = ["psql", "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]
        return docker("exec", "-i", container, *psql, stdin=script).strip()

    def logs(self) -> str:
        """Last words of every member."""
        members = len(self.stack.components.postgres.hosts) if self.stack.components.postgres else 0
        names = [self.container("postgres", host) for host in range(1, members + 1)]
        return "\n".join(f"{name}:\n{docker('logs', '--tail=40', name, check=False)}" for name in names)

    def archived(self) -> None:
        """Until everything written so far is in the repository."""
        # Not the name of what is switched: on a boundary it is of a segment that nothing would ever fill.
        segment = self.sql("SELECT pg_walfile_name(pg_logical_emit_message(true, 'test', 'written'))")
        self.sql("SELECT pg_switch_wal()")
        limit = time.monotonic() + LIMIT
        while self.sql("SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver") < segment:
            assert time.monotonic() < limit, self.logs()
            time.sleep(0.3)  # between two looks

    def remove(self) -> None:
        """All that is there of it, also where not all was made."""
        listed = docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name=^{self.name}-").split()
        if listed:
            docker("rm", "--force", "--volumes", *sorted(listed, key=lambda name: name.endswith("-host")))
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name=^{self.name}-").split()
        if volumes:
            docker("volume", "rm", "--force", *volumes)
        if docker("network", "ls", "--quiet", "--filter", f"name=^{self.name}$"):
            docker("network", "rm", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
