"""What is asked of a member, and what its answers and silences mean."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import (
    AbsentError,
    NotAdmittedError,
    NotAnsweringError,
    Psql,
    leadership,
    seconds,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.retry import Patience, delays

ERROR = """ERROR:  42601: syntax error at or near "x"
LINE 1: x
        ^
LOCATION:  scanner_yyerror, scan.l:1244
"""


class Member:
    """Answers as psql would, one answer after another; the last one is for ever."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = []

    def __call__(self, argv, stdin=None):
        self.asked.append((list(argv), stdin))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def patience(tries):
    """As many further tries, without a pause."""
    clock = iter(range(tries + 2))
    return Patience(tries, iter([0] * (tries + 2)), lambda: next(clock), lambda _seconds: None)


def test_sql_travels_on_standard_input_only():
    member = Member((0, "t\n", ""))
    assert Psql(member, "shop-postgres-1").on("shop").ask("SELECT 1;") == "t"
    argv, stdin = member.asked[0]
    assert argv == [
        *("timeout", "--kill-after=5", "30", "docker", "exec", "-i", "-u", "postgres", "shop-postgres-1"),
        *("psql", "-X", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--no-password", "-q", "-At"),
        *("-U", "postgres", "-d", "shop"),
    ]
    assert stdin.endswith("SELECT 1;") and "client_connection_check_interval" in stdin


def test_a_role_logs_in_to_whatever_database_is_asked():
    member = Member((0, "", ""))
    Psql(member, "c").as_user("a b").on("shop").send("SELECT 1;")
    assert member.asked[0][0][-4:] == ["-U", "a b", "-d", "shop"]


def test_a_session_without_a_limit_is_not_killed():
    member = Member((0, "", ""))
    Psql(member, "c").send("SELECT 1;", 0)
    assert member.asked[0][0][:2] == ["docker", "exec"]


def test_a_failed_statement_is_an_answer_with_its_sqlstate():
    answer = Psql(Member((3, "", ERROR)), "c").send("x")
    assert (answer.state, answer.error.splitlines()[0]) == ("42601", 'syntax error at or near "x"')
    assert "LOCATION" not in answer.error
    with pytest.raises(SlipwayError, match="c, database postgres: syntax error"):
        Psql(Member((3, "", ERROR)), "c").ask("x")


@pytest.mark.parametrize(
    ("code", "told", "error", "match"),
    [
        (1, "Error response from daemon: No such container: c", AbsentError, "there is no container c"),
        (1, "Error: No such container: c", AbsentError, "there is no container c"),
        (2, 'psql: error: … FATAL:  database "x" does not exist', SlipwayError, "Create it first"),
        (2, "psql: error: … FATAL:  the database system is starting up", NotAnsweringError, "is not ready"),
        (2, "psql: error: … No such file or directory", NotAnsweringError, "is not ready"),
        (
            2,
            "psql: error: … FATAL:  the database system is in recovery mode",
            NotAnsweringError,
            "is not ready",
        ),
        (2, "FATAL:  terminating connection due to administrator command", NotAnsweringError, "is not ready"),
        (1, "Error response from daemon: Container abc is not running", NotAnsweringError, "is not ready"),
        (124, "", NotAnsweringError, "did not answer within 30 s"),
        (
            2,
            'FATAL:  no pg_hba.conf entry for host "[local]", user "shop", database "d", no encryption',
            NotAdmittedError,
            "does not let postgres in: no pg_hba.conf entry .* Deploy this version",
        ),
        (2, 'FATAL:  Peer authentication failed for user "shop"', NotAdmittedError, "kill --signal HUP c`"),
        (2, 'FATAL:  too many connections for role "shop"', NotAdmittedError, "no connection left"),
        (2, "FATAL:  sorry, too many clients already", NotAdmittedError, "no connection left"),
        (
            2,
            "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
            NotAdmittedError,
            "no connection left",
        ),
        (2, 'FATAL:  role "shop" is not permitted to log in', SlipwayError, "name another owner"),
        (2, 'FATAL:  role "shop" does not exist', SlipwayError, "name another owner"),
        (
            2,
            'FATAL:  permission denied for database "d"\nDETAIL:  User does not have CONNECT privilege.',
            SlipwayError,
            'cannot log in to database postgres in c: permission denied for database "d"',
        ),
        (1, "Cannot connect to the Docker daemon", SlipwayError, "systemctl status docker"),
        (127, "", SlipwayError, "exit status 127"),
    ],
)
def test_a_member_that_cannot_be_asked_says_why(code, told, error, match):
    with pytest.raises(error, match=match):
        Psql(Member((code, "", told)), "c").send("SELECT 1;")


def test_a_session_that_breaks_off_half_way_is_an_answer():
    answer = Psql(Member((2, "slipway:statement 1\n", "connection to server was lost")), "c").send("x")
    assert (answer.ok, answer.state, answer.error) == (False, "", "connection to server was lost")


STARTING = (2, "", "the database system is starting up")
REFUSED = (2, "", "Connection refused")
LEADER, FOLLOWER, UNDECIDED = ((0, f"{word}\n", "") for word in ("leader", "follower", "undecided"))


class TestLeadership:
    @pytest.mark.parametrize(
        ("answers", "elsewhere", "role", "asked"),
        [
            pytest.param([LEADER], False, "leader", 1, id="known-at-once"),
            pytest.param([FOLLOWER], False, "follower", 1, id="following-known-at-once"),
            pytest.param([STARTING, UNDECIDED, LEADER], False, "leader", 3, id="waited-for"),
            pytest.param([REFUSED], True, "follower", 1, id="another-leads-this-is-down"),
            pytest.param([UNDECIDED, LEADER], True, "leader", 2, id="another-leads-this-may-be-promoted"),
        ],
    )
    def test_is(self, answers, elsewhere, role, asked):
        member = Member(*answers)
        assert leadership(Psql(member, "c"), patience(5), lambda: elsewhere) == role
        assert len(member.asked) == asked

    @pytest.mark.parametrize(
        ("answer", "error", "match", "asked"),
        [
            pytest.param(UNDECIDED, SlipwayError, "no PostgreSQL member leads", 2, id="nobody-leads"),
            pytest.param(STARTING, NotAnsweringError, "starting up", 2, id="never-up"),
            pytest.param((1, "", "No such container: c"), AbsentError, "no container c", 1, id="absent"),
        ],
    )
    def test_that_never_comes_is_an_error(self, answer, error, match, asked):
        member = Member(answer)
        with pytest.raises(error, match=match):
            leadership(Psql(member, "c"), patience(2))
        assert len(member.asked) == asked


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("500ms", 0.5), ("5s", 5), ("30min", 1800), ("2h", 7200), ("1d", 86400), ("0", 0)],
)
def test_durations_are_postgresqls_own(duration, expected):
    assert seconds("lock_timeout", duration) == expected


@pytest.mark.parametrize("duration", ["5", "5 s", "-1s", "1m", "", "5s; DROP TABLE x"])
def test_a_duration_without_a_unit_is_refused(duration):
    with pytest.raises(SlipwayError, match="lock_timeout is"):
        seconds("lock_timeout", duration)


def test_pauses_double_up_to_the_longest_and_are_shortened_by_chance():
    longest = delays(1, 4, lambda: 0)
    assert [next(longest) for _ in range(4)] == [1, 2, 4, 4]
    shortest = delays(1, 4, lambda: 1)
    assert [next(shortest) for _ in range(4)] == [0.5, 1, 2, 2]


def test_patience_ends_with_the_time():
    slept = []
    times = iter([0, 1, 9.5, 10])
    waiting = Patience(10, iter([3, 3, 3]), lambda: next(times), slept.append)
    assert [waiting.again(), waiting.again(), waiting.again()] == [True, True, False]
    assert slept == [3, 0.5]
