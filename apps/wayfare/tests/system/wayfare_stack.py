"""A whole Wayfare on one engine: PgBouncer, PostgreSQL, Redis, and the commands for real."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

from wayfare_engine import APPLICATION, BACKING, IMAGE, docker, until

PASSWORD = "wayfare-test-password"  # of a database that lives for a minute
PORTS = {"web": 8080, "api": 8080, "updates": 8080, "journeys": 9091}
MEMORY = {"web": "128m", "api": "256m", "updates": "128m", "journeys": "128m"}
HARDENED = [
    "--user=10001:10001",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--init",
]


class Response:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Stack:
    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._numbers = itertools.count(1)
        self._tls, self._secrets = folder / "tls", folder / "secrets"

    def start(self) -> None:
        docker("network", "create", self.name)
        self._write_secrets()
        self.start_backing("postgres")
        self.start_backing("redis")
        self.migrate("up")
        for command in ("journeys", "updates", "api", "web"):
            self.run(command)
        for command in MEMORY:
            self.until_ready(command)

    def remove(self) -> None:
        containers = docker("ps", "-aq", f"--filter=label=wayfare-test={self.name}").split()
        if containers:
            docker("rm", "-f", "-v", *containers)
        docker("network", "rm", self.name)

    def run(self, command: str, *arguments: str, alias: str = "", **environment: str) -> str:
        """Start a replica; `alias` is its name on the network, the command's own unless told."""
        alias = alias or command
        settings = self._environment(command) | environment
        self._container(
            alias,
            *HARDENED,
            f"--memory={MEMORY.get(command, '128m')}",
            "--cpus=0.5",
            f"--volume={self._secrets}:/run/secrets:ro",
            *([f"--publish=127.0.0.1::{PORTS[command]}"] if command in PORTS else []),
            *[f"--env={name}={value}" for name, value in settings.items()],
            *arguments,
            IMAGE,
            command,
        )
        return alias

    @contextmanager
    def replica(self, command: str, *arguments: str, **environment: str) -> Iterator[str]:
        """One more replica, for one test."""
        alias = f"{command}.extra{next(self._numbers)}"
        try:
            yield self.run(command, *arguments, alias=alias, **environment)
        finally:
            docker("rm", "--force", "--volumes", self.container(alias))

    @contextmanager
    def without(self, alias: str, *, away: str = "stop", back: str = "start") -> Iterator[None]:
        """Stop a container for a while; `pause` makes it hang instead."""
        docker(away, self.container(alias))
        try:
            yield
        finally:
            docker(back, self.container(alias))

    def start_backing(self, name: str) -> None:
        self._container(name, f"--volume={self._tls}:/tls:ro", BACKING, f"/backing/{name}.sh")
        if name == "postgres":
            until(lambda: self._try_sql("SELECT 1") == "1", 60, "PostgreSQL")

    def migrate(self, direction: str) -> None:
        files = sorted((APPLICATION / "migrations").glob(f"*.{direction}.sql"), reverse=direction == "down")
        for path in files:
            self.sql(path.read_text(encoding="utf-8"))

    def sql(self, statement: str) -> str:
        psql = [
            "psql",
            "-qAtX",
            "-1",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            "6000",
            "-U",
            "wayfare",
            "wayfare",
        ]
        return docker("exec", "-i", self.container("postgres"), *psql, stdin=statement)

    def container(self, alias: str) -> str:
        return f"{self.name}-{alias}"

    def address(self, alias: str) -> tuple[str, int]:
        port = PORTS[alias.partition(".")[0]]
        host, _, published = (
            docker("port", self.container(alias), f"{port}/tcp").splitlines()[0].rpartition(":")
        )
        return host, int(published)

    def ask(
        self, alias: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        host, port = self.address(alias)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(f"http://{host}:{port}{path}", data, kind | dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=70) as response:
                return Response(response.status, response.headers, response.read())
        except HTTPError as error:
            return Response(error.code, error.headers, error.read())

    def ready(self, alias: str) -> bool:
        if alias.partition(".")[0] == "journeys":
            return self.answers(alias, "/metrics") and self.metric(alias, "wayfare_ready") == 1
        return self.answers(alias, "/ready")

    def answers(self, alias: str, path: str) -> bool:
        try:
            return self.ask(alias, path).status == 200
        except OSError:
            return False

    def until_ready(self, alias: str, seconds: float = 60) -> None:
        try:
            until(lambda: self.ready(alias), seconds, f"{alias} to be ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; its log ends {self.logs(alias)[-2000:]}") from error

    def metric(self, alias: str, name: str) -> float:
        for line in self.ask(alias, "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def logs(self, alias: str) -> str:
        done = subprocess.run(
            ["docker", "logs", self.container(alias)], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def exit_code(self, alias: str, seconds: float = 30) -> int:
        state = ["inspect", "--format={{.State.Status}} {{.State.ExitCode}}", self.container(alias)]
        until(lambda: docker(*state).startswith("exited"), seconds, f"{alias} to end")
        return int(docker(*state).split()[1])

    def grpc(self, script: str) -> str:
        """Run Python with the image's own gRPC library, on the network, after `grpc_prelude.py`."""
        prelude = (Path(__file__).parent / "grpc_prelude.py").read_text(encoding="utf-8")
        where = [f"--network={self.name}", "--entrypoint=python3"]
        return docker("run", "--rm", "-i", *where, IMAGE, "-", stdin=prelude + script)

    def _container(self, alias: str, *arguments: str) -> None:
        names = [f"--name={self.container(alias)}", f"--network={self.name}", f"--network-alias={alias}"]
        docker("run", "--detach", f"--label=wayfare-test={self.name}", *names, *arguments)

    def _try_sql(self, statement: str) -> str:
        try:
            return self.sql(statement)
        except AssertionError:
            return ""

    def _write_secrets(self) -> None:
        self._tls.mkdir()
        self._secrets.mkdir()
        docker("run", "--rm", f"--volume={self._tls}:/tls", BACKING, "/backing/certificates.sh")
        secrets = {
            "ca.crt": (self._tls / "ca.crt").read_text(encoding="utf-8"),
            "database_password": PASSWORD,
            "redis_password": PASSWORD,
            "session_key": "0123456789abcdef" * 4,
        }
        for name, value in secrets.items():
            (self._secrets / name).write_text(value, encoding="utf-8")
            os.chown(self._secrets / name, 10001, 10001)
            (self._secrets / name).chmod(0o400)

    def _environment(self, command: str) -> dict[str, str]:
        """What compose/services/replica.yml.j2 gives a replica."""
        return {
            "SLIPWAY_SERVICE": command,
            "SLIPWAY_POOL": "blue",
            "SLIPWAY_REPLICA": f"{command}-blue-1",
            "SLIPWAY_HOST": "test.slipway.test",
            "DATABASE_HOST": "postgres",
            "DATABASE_PORT": "5432",
            "DATABASE_READ_PORT": "5433",
            "DATABASE_NAME": "wayfare",
            "DATABASE_USER": "wayfare",
            "DATABASE_PASSWORD_FILE": "/run/secrets/database_password",
            "DATABASE_CA_FILE": "/run/secrets/ca.crt",
            "REDIS_HOST": "redis",
            "REDIS_PORT": "6379",
            "REDIS_PASSWORD_FILE": "/run/secrets/redis_password",
            "REDIS_CA_FILE": "/run/secrets/ca.crt",
            "SESSION_KEY_FILE": "/run/secrets/session_key",
            "JOURNEYS_TARGET": "journeys:9090",
        }
