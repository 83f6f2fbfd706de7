"""One PostgreSQL member, reached with psql inside its container; SQL travels on standard input only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import SlipwayError
from ..retry import Patience
from ..run import Run
from . import sql

LEADER = "leader"
FOLLOWER = "follower"
UNDECIDED = "undecided"

SUPERUSER = "postgres"
QUICK = 30
_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)(ms|s|min|h|d)|0")
_KILLED = (124, 137, 143)
# A query of the wrong kind of member is answered too, so the first question is who leads.
_LEADERSHIP = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'leader'
            WHEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 'follower'
            ELSE 'undecided' END;
"""
# Errors with their SQLSTATE, and no backend that outlives its client.
_PREFACE = r"""\set VERBOSITY verbose
SET client_encoding = 'UTF8';
SET client_min_messages = error;
SET client_connection_check_interval = '1s';
"""
_ERROR = re.compile(
    r"^(?:psql:[^\n]*?)?(?:ERROR|FATAL|PANIC):  ([0-9A-Z]{5}): (.*?)(?=^LOCATION:|\Z)", re.M | re.S
)
_FATAL = re.compile(r"FATAL:  (.*)")
_NO_RULE = re.compile(r"no pg_hba\.conf entry|Peer authentication failed")
_CROWDED = re.compile(r"too many clients|too many connections|remaining connection slots")
_NO_LOGIN = re.compile(
    r'role ".*" (?:is not permitted to log in|does not exist)|permission denied for database'
)
_NOT_YET = re.compile(
    r"starting up|shutting down|in recovery mode|not yet accepting|terminating connection"
    r"|server closed the connection|Connection refused|No such file or directory|is not running|is restarting"
)


def seconds(setting: str, duration: str) -> float:
    """A PostgreSQL duration in seconds; a bare number is refused, for PostgreSQL takes it as milliseconds."""
    match = _DURATION.fullmatch(duration)
    if not match:
        raise SlipwayError(
            f"{setting} is {duration!r}", "Write a number with its unit: 500ms, 5s, 30min, 2h; 0 for no limit"
        )
    return int(match.group(1) or 0) * _UNITS.get(match.group(2), 0)


class NotAnsweringError(SlipwayError):
    """PostgreSQL cannot be asked now; it may be in a moment."""


class NotAdmittedError(NotAnsweringError):
    """The member lets nobody in under that name: it has no rule for it (yet), or no connection left."""


class AbsentError(SlipwayError):
    """The container does not exist (yet)."""


@dataclass(frozen=True)
class Answer:
    """What psql said: exit status, standard output, and the server's error, if any, with its SQLSTATE."""

    code: int
    out: str
    error: str
    state: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Psql:
    """Sends scripts to one database of the member in a container, as one of its roles."""

    def __init__(self, run: Run, container: str, database: str = "postgres", user: str = SUPERUSER) -> None:
        self._run = run
        self.container = container
        self.database = database
        self._user = user

    def on(self, database: str) -> Psql:
        return Psql(self._run, self.container, database, self._user)

    def as_user(self, name: str) -> Psql:
        """Logged in as a role, which nothing that it runs can leave again, as it could a `SET ROLE`."""
        return Psql(self._run, self.container, self.database, name)

    def send(self, script: str, seconds: int = QUICK) -> Answer:
        """Run a script in one session; a failed statement is in the answer, an unreachable server is raised.

        seconds: after which the client is killed (0: never), so that a frozen container hangs no release.
        """
        code, out, err = self._run(self._argv(seconds), stdin=_PREFACE + script)
        found = _ERROR.search(err)
        if found and code == 3:
            return Answer(code, out, found.group(2).strip(), found.group(1))
        if code in (1, 2, 125, 126, 127) and not (code == 2 and out):
            self._unreachable(err.strip() or f"exit status {code}")
        if code in _KILLED and not out:
            raise NotAnsweringError(
                f"{self.container} did not answer within {seconds} s",
                f"Check `docker ps` and `docker logs {self.container}` on this host",
            )
        return Answer(code, out, err.strip(), "")

    def ask(self, query: str) -> str:
        """The output of a query that is not expected to fail.

        It is asked as a superuser, in databases whose owners could put an operator of their own before the
        catalog's: nothing is looked for but there.
        """
        answer = self.send(
            f"SET search_path = pg_catalog, pg_temp;\nSET statement_timeout = '{QUICK - 5}s';\n{query}"
        )
        if not answer.ok:
            raise SlipwayError(
                f"{self.container}, database {self.database}: "
                f"{answer.error or f'psql ended with {answer.code}'}",
                f"Check `docker logs {self.container}` on this host",
            )
        return answer.out.strip()

    def _argv(self, seconds: int) -> list[str]:
        limit = ["timeout", "--kill-after=5", str(seconds)] if seconds else []
        client = ["docker", "exec", "-i", "-u", "postgres", self.container]
        quiet = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--no-password", "-q", "-At"]
        return [*limit, *client, *quiet, "-U", self._user, "-d", self.database]

    def _unreachable(self, told: str) -> None:
        fatal = _FATAL.search(told)
        reason = fatal.group(1) if fatal else told.splitlines()[-1]
        if "No such container" in told:
            raise AbsentError(
                f"there is no container {self.container}", "Deploy this host first, or correct `container`"
            )
        if _NO_RULE.search(reason):
            raise NotAdmittedError(
                f"PostgreSQL in {self.container} does not let {self._user} in: {reason}",
                "Deploy this version: the member's rules are of an earlier one, which lets no owner in. "
                f"If it was deployed, `docker kill --signal HUP {self.container}` has Patroni write it again",
            )
        if _CROWDED.search(reason):
            raise NotAdmittedError(
                f"PostgreSQL in {self.container} has no connection left for {self._user}: {reason}",
                "End sessions that nobody needs (docs/runbooks/migrations.md), or raise the limit",
            )
        if _NO_LOGIN.search(reason):
            raise SlipwayError(
                f"{self._user} cannot log in to database {self.database} in {self.container}: {reason}",
                "Let the role log in and connect, as slipway.compose.database does, or name another owner",
            )
        if re.search(r'database ".*" does not exist', told):
            raise SlipwayError(
                f"database {self.database} does not exist",
                "Create it first with the module slipway.compose.database",
            )
        if _NOT_YET.search(told):
            raise NotAnsweringError(
                f"PostgreSQL in {self.container} is not ready: {reason}",
                f"Check `docker logs {self.container}` on this host; it may be starting or being cloned",
            )
        raise SlipwayError(
            f"psql in {self.container} cannot connect: {reason}",
            "Check that Docker runs here (`systemctl status docker`) and that the container has a psql",
        )


def exists(psql: Psql, database: str) -> bool:
    return (
        psql.ask(f"SELECT EXISTS (SELECT FROM pg_database WHERE datname = {sql.literal(database)});") == "t"
    )


def leadership(psql: Psql, patience: Patience, leads_elsewhere: Callable[[], bool] = lambda: False) -> str:
    """Whether the member here leads; waits until a leader exists, here or elsewhere.

    A follower that streams proves a leader. For one that cannot be asked, because it is being cloned, the
    word of Patroni (`leads_elsewhere`) is enough; one that answers and does not stream may be the next
    leader, so it is waited for first.
    """
    while True:
        try:
            role, failure = psql.ask(_LEADERSHIP), _leaderless(psql)
        except NotAnsweringError as error:
            role, failure = UNDECIDED, error
        if role != UNDECIDED:
            return role
        if isinstance(failure, NotAnsweringError) and leads_elsewhere():
            return FOLLOWER
        if not patience.again():
            if leads_elsewhere():
                return FOLLOWER
            raise failure


def _leaderless(psql: Psql) -> SlipwayError:
    return SlipwayError(
        f"no PostgreSQL member leads: the one in {psql.container} has nobody to follow",
        f"Look at `docker exec {psql.container} patronictl list`; is etcd in a majority",
    )
