"""Redis and Sentinel on three hosts, and a local router before them: what is rendered, run by this engine."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_redis import Redis
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from backup_cluster import Cluster, docker
from images import newest
from side_by_side import own_subnet
from whole_stack import stack

SUBNET = own_subnet(94)
PORT = 6379
HOSTS = (1, 2, 3)
LIMIT = 120
CLI = ["redis-cli", "--tls", "--cacert", "/config/tls/ca.crt", "-h", "127.0.0.1"]
# One answer; a server that says nothing for so long is taken for one that is gone.
PATIENCE = 5.0


def declared() -> Stack:
    base = stack(len(HOSTS))
    hosts = tuple(Host(host.name, f"{SUBNET}.{10 + index}") for index, host in enumerate(base.hosts, 1))
    return replace(base, hosts=hosts)


class RedisCluster(Cluster):
    """Three members, each with a sentinel; the router of the first host stands apart from them."""

    @classmethod
    def beside(cls, folder: Path, name: str) -> RedisCluster:
        return cls(declared(), folder, name=name, built=("redis", "haproxy"))

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[RedisCluster]:
        made = cls.beside(folder, f"slipway-test-redis-{os.getpid()}")
        try:
            made.start()
            yield made
        finally:
            made.remove()

    @property
    def router(self) -> str:
        return f"{SUBNET}.20"

    def start(self) -> None:
        docker("network", "create", f"--subnet={SUBNET}.0/24", self.name)
        self.render()
        for index, host in enumerate(self.stack.hosts, 1):
            place = ["--network", self.name, "--ip", host.address, "--name", self.container("host", index)]
            docker("run", "--detach", "--init", *place, newest("redis"), "sleep", "infinity")
        for component in ("sentinel", "redis"):
            for host_number in HOSTS:
                self.run(component, host_number)
        self.settled()
        self._route()

    def limits(self, service: dict[str, Any]) -> list[str]:
        return [f"--memory={service['mem_limit']}"]

    def _route(self) -> None:
        tree = self.folder / "h1"
        state = tree / "state/local-router"
        state.mkdir(parents=True)
        service = yaml.safe_load((tree / "docker-compose.prod.yml").read_text())["services"]["local-router"]
        options = [it for it in self._options(service, 1, tree) if not it.startswith("--network=")]
        place = [f"--sysctl={name}={value}" for name, value in service["sysctls"].items()]
        place += ["--network", self.name, "--ip", self.router]
        place += ["--name", self.container("local-router")]
        docker("run", "--detach", *place, *options, *service["command"])
        self.until(lambda: self.takes_writes(self.router, "ready"))

    def address(self, host: int) -> str:
        return self.stack.hosts[host - 1].address

    def password(self, user: str) -> str:
        return self.secrets[{"slipway": "redis_admin", "monitor": "redis_monitor"}.get(user, "redis")]

    @contextmanager
    def conversation(self, address: str, user: str | None = "default", port: int = PORT) -> Iterator[Redis]:
        """With a server, or the master behind the router; None: as nobody."""
        tls = ssl.create_default_context(cafile=str(self.folder / "h1/config/redis/tls/ca.crt"))
        plain = socket.create_connection((address, port), PATIENCE)
        with closing(Redis(tls.wrap_socket(plain, server_hostname="redis"))) as redis:
            if user:
                redis.ask("AUTH", user, self.password(user))
            yield redis

    def inside(self, host: int, *commands: str) -> str:
        """What a member says on its own host, also where nobody else reaches it."""
        lines = [f'AUTH slipway "{self.password("slipway")}"', *commands]
        told = docker(
            "exec", "-i", self.container("redis", host), *CLI, stdin="\n".join(lines) + "\n", check=False
        )
        return told.removeprefix("OK\n").replace("\r", "").strip()

    def sentinel(self, host: int, command: str) -> str:
        """What a host's sentinel answers."""
        lines = [f'AUTH "{self.password("slipway")}"', command]
        argv = ["exec", "-i", self.container("sentinel", host), *CLI, "-p", "26379"]
        return docker(*argv, stdin="\n".join(lines) + "\n").removeprefix("OK\n").strip()

    @contextmanager
    def typing(self, host: int) -> Iterator[Callable[[str], str]]:
        """As the application on a member's own host: types a command, reads its answer, and the next one."""
        argv = ["docker", "exec", "-i", self.container("redis", host), *CLI]
        pipe = subprocess.PIPE
        client = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        assert client.stdin and client.stdout
        send, answers = client.stdin, client.stdout

        def type_(command: str) -> str:
            send.write(f"{command}\n")
            send.flush()
            # It puts an empty line behind an error; the end of its output is an answer, too.
            while (line := answers.readline()) == "\n":
                pass
            return line.strip()

        try:
            assert type_(f'AUTH default "{self.password("default")}"') == "OK"
            yield type_
        finally:
            send.close()
            client.wait(LIMIT)
            answers.close()

    def info(self, host: int) -> dict[str, str]:
        lines = self.inside(host, "INFO replication").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def named(self, host: int) -> str:
        """The master's address, as most sentinels know it."""
        return docker(
            "exec", self.container("redis", host), "/config/current-master.sh", "5", check=False
        ).strip()

    def settled(self) -> int:
        """The host of the one master, once all others follow it and the sentinels name it."""
        found: list[int] = []

        def well() -> bool:
            told = {host: self.info(host) for host in HOSTS}
            found[:] = [host for host in HOSTS if told[host].get("role") == "master"]
            links = [told[host].get("master_link_status") for host in HOSTS if host not in found]
            return (
                links == ["up"] * 2
                and told[found[0]].get("connected_slaves") == "2"
                and {self.named(host) for host in HOSTS} == {self.address(found[0])}
            )

        self.until(well)
        return found[0]

    def until(self, question: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT
        while not question():
            assert time.monotonic() < limit, self.logs()
            time.sleep(0.2)  # between two looks, which each start a process in a container

    def kept(self, host: int, keys: Sequence[str]) -> list[str]:
        """Those of the keys that a host's member has."""
        with self.conversation(self.address(host), "slipway") as asked:
            found = asked.ask_all([("EXISTS", key) for key in keys])
        return [key for key, there in zip(keys, found, strict=True) if there]

    def takes_writes(self, address: str, key: str) -> bool:
        try:
            with self.conversation(address) as redis:
                return bool(redis.ask("SET", key, "x") == "OK")
        except (OSError, SlipwayError):
            return False

    def unplug(self, host: int) -> None:
        docker("network", "disconnect", self.name, self.container("host", host))

    def plug(self, host: int) -> None:
        where = ["--ip", self.address(host), self.name, self.container("host", host)]
        docker("network", "connect", *where)

    def kill(self, *hosts: int) -> None:
        docker("kill", "--signal=KILL", *(self.container("redis", host) for host in hosts))

    def again(self, *hosts: int) -> None:
        """As its engine does, where it restarts what ends."""
        docker("start", *(self.container("redis", host) for host in hosts))

    def logs(self) -> str:
        names = [self.container(part, host) for part in ("redis", "sentinel") for host in HOSTS]
        names.append(self.container("local-router"))
        return "\n".join(f"{name}:\n{docker('logs', '--tail=30', name, check=False)}" for name in names)
