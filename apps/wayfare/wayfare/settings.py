"""What the environment tells a replica, parsed once; everything that is wrong with it is said at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import VERSION
from .errors import InvalidSettingsError
from .misbehaviour import Misbehaviour, parse_misbehaviour

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SHORTEST_SESSION_KEY = 32


@dataclass(frozen=True)
class Identity:
    """Which replica this is."""

    service: str
    pool: str
    replica: str
    host: str
    version: str


@dataclass(frozen=True)
class DatabaseSettings:
    host: str
    port: int
    read_port: int
    name: str
    user: str
    password: str = field(repr=False)
    ca_file: str


@dataclass(frozen=True)
class RedisSettings:
    host: str
    port: int
    password: str = field(repr=False)
    ca_file: str


@dataclass(frozen=True)
class SentrySettings:
    """Where errors are reported, and as what."""

    dsn: str = field(repr=False)
    ca_file: str | None
    release: str | None
    environment: str | None


@dataclass(frozen=True)
class Settings:
    """`drain_delay`: seconds from /ready turning 503 to the listener closing, for routers to notice."""

    identity: Identity
    log_level: str
    drain_delay: float
    misbehaviour: Misbehaviour
    journeys_target: str | None
    database: DatabaseSettings | None
    redis: RedisSettings | None
    session_key: bytes | None = field(repr=False)
    sentry: SentrySettings | None

    @classmethod
    def parse(cls, environ: Mapping[str, str], command: str, needs: Collection[str]) -> Settings:
        reader = _Reader(environ)
        settings = cls(
            identity=_identity(reader, command),
            log_level=reader.choice("LOG_LEVEL", LOG_LEVELS, "INFO"),
            drain_delay=reader.number("WAYFARE_DRAIN_DELAY", 0, 60, 2),
            misbehaviour=_misbehaviour(reader),
            journeys_target=_target(reader),
            database=_database(reader) if "database" in needs else None,
            redis=_redis(reader) if "redis" in needs else None,
            session_key=_session_key(reader) if "session_key" in needs else None,
            sentry=_sentry(reader),
        )
        if reader.problems:
            raise InvalidSettingsError(reader.problems)
        return settings


class _Reader:
    """Reads variables and collects problems instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def optional(self, name: str, default: str) -> str:
        return self._environ.get(name, "").strip() or default

    def required(self, name: str) -> str:
        value = self.optional(name, "")
        if not value:
            self.problems.append(f"{name} is not set")
        return value

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        value = self.optional(name, default).upper()
        if value not in choices:
            self.problems.append(f"{name} is {value!r}: use one of {', '.join(choices)}")
        return value

    def number(self, name: str, least: float, most: float, default: float) -> float:
        value = self.optional(name, str(default))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            self.problems.append(f"{name} is {value!r}: use a number from {least:g} to {most:g}")
        return number

    def port(self, name: str) -> int:
        value = self.required(name)
        if value and not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
            self.problems.append(f"{name} is {value!r}: use a port from 1 to 65535")
            return 0
        return int(value or 0)

    def secret(self, name: str) -> str:
        """Content of the file a variable names, without the trailing newline of hand-made files."""
        path = self.readable(name)
        if not path:
            return ""
        try:
            content = Path(path).read_text(encoding="utf-8").strip("\r\n")
        except UnicodeDecodeError:
            self.problems.append(f"{name} names {path}, which is not text: write the secret as UTF-8")
            return ""
        if not content:
            self.problems.append(f"{name} names {path}, which is empty: write the secret into it")
        return content

    def readable(self, name: str) -> str:
        path = self.required(name)
        if not path:
            return ""
        try:
            with Path(path).open("rb"):
                return path
        except OSError as error:
            self.problems.append(
                f"{name} names {path}, which cannot be read ({error.strerror}): mount it for this user"
            )
            return ""


def _identity(reader: _Reader, command: str) -> Identity:
    return Identity(
        service=reader.optional("SLIPWAY_SERVICE", command),
        pool=reader.optional("SLIPWAY_POOL", "local"),
        replica=reader.optional("SLIPWAY_REPLICA", f"{command}-local-1"),
        host=reader.optional("SLIPWAY_HOST", "localhost"),
        version=reader.optional("WAYFARE_VERSION", VERSION),
    )


def _misbehaviour(reader: _Reader) -> Misbehaviour:
    misbehaviour, problems = parse_misbehaviour(reader.optional("MISBEHAVE", ""))
    reader.problems += [f"MISBEHAVE: {problem}" for problem in problems]
    return misbehaviour


def _target(reader: _Reader) -> str | None:
    target = reader.optional("JOURNEYS_TARGET", "")
    if not target:
        return None
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        reader.problems.append(f"JOURNEYS_TARGET is {target!r}: use host:port, like journeys:9090")
    return target


def _database(reader: _Reader) -> DatabaseSettings:
    return DatabaseSettings(
        host=reader.required("DATABASE_HOST"),
        port=reader.port("DATABASE_PORT"),
        read_port=reader.port("DATABASE_READ_PORT"),
        name=reader.required("DATABASE_NAME"),
        user=reader.required("DATABASE_USER"),
        password=reader.secret("DATABASE_PASSWORD_FILE"),
        ca_file=reader.readable("DATABASE_CA_FILE"),
    )


def _redis(reader: _Reader) -> RedisSettings:
    return RedisSettings(
        host=reader.required("REDIS_HOST"),
        port=reader.port("REDIS_PORT"),
        password=reader.secret("REDIS_PASSWORD_FILE"),
        ca_file=reader.readable("REDIS_CA_FILE"),
    )


def _sentry(reader: _Reader) -> SentrySettings | None:
    """None without a DSN: nothing is reported."""
    hidden = reader.optional("SENTRY_DSN_FILE", "")
    dsn = reader.secret("SENTRY_DSN_FILE") if hidden else reader.optional("SENTRY_DSN", "")
    if not dsn:
        return None
    return SentrySettings(
        dsn=dsn,
        ca_file=reader.readable("SENTRY_CA_FILE") if reader.optional("SENTRY_CA_FILE", "") else None,
        release=reader.optional("SENTRY_RELEASE", "") or None,
        environment=reader.optional("SENTRY_ENVIRONMENT", "") or None,
    )


def _session_key(reader: _Reader) -> bytes:
    key = reader.secret("SESSION_KEY_FILE")
    if key and len(key) < SHORTEST_SESSION_KEY:
        reader.problems.append(
            f"SESSION_KEY_FILE holds {len(key)} characters: use at least {SHORTEST_SESSION_KEY}"
        )
    return key.encode()
