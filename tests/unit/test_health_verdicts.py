"""What an answer means, and how checks become a table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.checks import verdicts
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health import (
    Check,
    Finding,
    Probe,
    problems,
    table,
    unhealthy,
    verdict,
)

DAY = 86400
NOW = datetime(2026, 6, 1, 12, 0, 10, tzinfo=UTC)


def told(finding: Finding) -> tuple[str, str]:
    assert finding.status == "ok" or finding.remedy
    return finding.status, finding.detail


@pytest.mark.parametrize(
    ("status", "body", "expect", "expected"),
    [
        (200, b"", {}, ("ok", "status 200")),
        (308, b"", {"status": ["2xx", "3xx"]}, ("ok", "status 308")),
        (404, b"", {"status": [404]}, ("ok", "status 404")),
        (503, b"no replica\nat all", {}, ("fail", "status 503, expected 2xx: no replica")),
        (
            200,
            b'{"health":"false"}',
            {"contains": '"true"'},
            ("fail", "status 200, but the answer lacks '\"true\"'"),
        ),
    ],
)
def test_http_is_judged_by_status_and_words(status, body, expect, expected):
    assert told(verdicts.http(status, body, expect)) == expected


@pytest.mark.parametrize(
    ("left", "expect", "expected"),
    [
        (30 * DAY, {}, ("ok", "certificate valid for 30 days")),
        (14 * DAY - 1, {}, ("warn", "certificate ends in 13 days")),
        (30 * DAY, {"days": 31}, ("warn", "certificate ends in 30 days")),
        (30 * DAY, {"names": ["a.test", "b.test"]}, ("fail", "certificate lacks b.test")),
    ],
)
def test_a_certificate_is_judged_by_its_end_and_names(left, expect, expected):
    assert told(verdicts.certificate(left, ["a.test"], expect)) == expected


def inspected(state="running", health=None, restarts=0, **more):
    started = "2026-06-01T12:00:00.123456789Z"
    facts = {"Status": state, "ExitCode": 137, "StartedAt": started, **more}
    if health:
        facts["Health"] = {"Status": health}
    return {"State": facts, "RestartCount": restarts, "Config": {"Labels": {"io.slipway.digest": "abc"}}}


@pytest.mark.parametrize(
    ("facts", "expect", "expected"),
    [
        (None, {}, ("fail", "does not exist")),
        (inspected(), {}, ("ok", "running")),
        (inspected(health="healthy"), {"digest": "abc"}, ("ok", "healthy")),
        (inspected(health="healthy"), {"digest": "def"}, ("fail", "digest abc, expected def")),
        (inspected(health="starting"), {}, ("fail", "running, starting")),
        (inspected(health="unhealthy", restarts=2), {}, ("fail", "running, unhealthy, 2 restarts")),
        (inspected("exited", OOMKilled=True), {}, ("fail", "exited with exit status 137, out of memory")),
        (inspected(health="healthy", restarts=4), {}, ("warn", "running, 4 restarts")),
        (inspected(), {"settled": 5}, ("ok", "healthy")),
        (inspected(), {"settled": 20, "restarts": 3}, ("fail", "running, for 10 of 20 s")),
    ],
)
def test_a_container_is_judged_by_state_health_digest_and_restarts(facts, expect, expected):
    assert told(verdicts.container(facts, expect, NOW)) == expected


# As Patroni 4.0 answers.
LEADER = {"name": "a", "role": "leader", "state": "running", "timeline": 2}
REPLICA = {"name": "b", "role": "sync_standby", "state": "streaming", "timeline": 2, "lag": 2048}


@pytest.mark.parametrize(
    ("name", "members", "expect", "expected"),
    [
        ("a", [LEADER, REPLICA], {}, ("ok", "leader, 1 streaming, timeline 2")),
        ("b", [LEADER, REPLICA], {"lag": 4096}, ("ok", "sync_standby of a, streaming, 2 KiB behind")),
        (
            "b",
            [LEADER, REPLICA],
            {"lag": 100},
            ("fail", "sync_standby of a, streaming, 2 KiB behind, at most 100 B"),
        ),
        (
            "b",
            [LEADER, {**REPLICA, "lag": "unknown"}],
            {},
            ("fail", "sync_standby of a, streaming, lag unknown"),
        ),
        (
            "b",
            [LEADER, {**REPLICA, "state": "running"}],
            {},
            ("warn", "sync_standby of a, running, 2 KiB behind"),
        ),
        ("b", [LEADER, {**REPLICA, "state": "start failed"}], {}, ("fail", "sync_standby, start failed")),
        ("b", [REPLICA], {}, ("fail", "no member leads; this one is sync_standby, streaming")),
        ("b", [LEADER, REPLICA], {"role": "leader"}, ("fail", "sync_standby, expected leader")),
        ("a", [LEADER, REPLICA], {"role": "replica"}, ("fail", "leader, expected replica")),
        ("c", [LEADER, REPLICA], {}, ("fail", "unknown, unknown")),
    ],
)
def test_a_postgresql_member_is_judged_by_the_clusters_view(name, members, expect, expected):
    assert told(verdicts.patroni(name, {"members": members}, expect)) == expected


def test_followers_are_known_only_where_somebody_leads():
    assert verdicts.followers({"members": [LEADER, REPLICA]}) == {"b"}
    assert verdicts.followers({"members": [REPLICA]}) == set()


@pytest.mark.parametrize(
    ("role", "expect", "expected"),
    [
        (["master", 1, [["10.0.0.2", "6379", "1"]]], {"role": "master"}, ("ok", "master, 1 replicas")),
        (
            ["slave", "10.0.0.1", 6379, "connected", 9],
            {"role": "replica"},
            ("ok", "replica of 10.0.0.1:6379, link connected"),
        ),
        (["slave", "10.0.0.1", 6379, "connect", -1], {}, ("fail", "replica of 10.0.0.1:6379, link connect")),
        (["master", 1, []], {"role": "replica"}, ("fail", "master, expected replica")),
        (["sentinel", ["shop"]], {}, ("ok", "sentinel of shop")),
        (["sentinel", []], {}, ("fail", "sentinel of nothing")),
    ],
)
def test_redis_is_judged_by_its_role_and_link(role, expect, expected):
    assert told(verdicts.redis(role, expect)) == expected


@pytest.mark.parametrize(("free", "expected"), [(4, "fail"), (5, "warn"), (14, "warn"), (15, "ok")])
def test_room_is_judged_in_per_cent(free, expected):
    assert verdicts.room(free * 1024, 102400, "disk", {}).status == expected
    assert verdicts.inodes(free, 100, {}).status == expected
    assert verdicts.room(free, 100, "memory", {"free": 90}).status == "fail"
    assert verdicts.room(512, 1024, "disk", {}).detail == "50 % free (512 B of 1 KiB)"


def check(status, name="ready", detail="status 200"):
    return Check("api", name, status, detail, 3, "http://10.0.0.1:20001/ready", "Read its log")


def test_a_warning_is_health_and_a_failure_is_not():
    assert verdict([check("ok"), check("warn")])
    assert not verdict([check("ok"), check("fail")])


def test_what_failed_is_told_with_its_place_and_remedy():
    lines = unhealthy([check("ok"), check("warn"), check("fail", detail="status 503")])
    assert lines == ["api ready (http://10.0.0.1:20001/ready): status 503. Read its log."]


def test_the_table_is_aligned_and_starts_with_what_failed():
    assert table([check("ok"), check("fail", "certificate", "gone\nfar")], "h1") == [
        "HOST  STATUS  COMPONENT  CHECK        MS  DETAIL",
        "h1    fail    api        certificate  3   gone far",
        "h1    ok      api        ready        3   status 200",
    ]


def test_a_probe_survives_its_journey_as_data():
    probe = Probe("ready", "api", "https", {"url": "https://x/"}, {"status": [200]}, 1.5, 2, 0.1, 4)
    assert Probe.from_dict(probe.to_dict()) == probe
    assert probe.where == "https://x/"


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"kind": "tcp", "target": {"host": "h", "port": 1}}, []),
        ({"kind": "htpp"}, ["probes/p/kind: is htpp. Did you mean http? "]),
        ({"kind": "tcp", "target": {"host": "h"}}, ["probes/p/target/port: is missing. Add it."]),
        (
            {"kind": "tcp", "target": {"hots": "h", "port": 1}},
            ["probes/p/target/hots: is unknown. Did you mean host? "],
        ),
        (
            {"kind": "tcp", "target": {"host": "h", "port": "1"}},
            ["probes/p/target/port: is text. Write a number."],
        ),
        (
            {"kind": "http", "target": {"url": "u"}, "expect": {"status": 200}},
            ["probes/p/expect/status: is a number"],
        ),
        ({"kind": "memory", "expect": {"lag": 1}}, ["probes/p/expect/lag: is unknown."]),
        ({"kind": "memory", "expect": [1]}, ["probes/p/expect: is a list. Write a table of free, warn."]),
    ],
)
def test_what_a_user_wrote_wrongly_is_told_with_its_path(probe, expected):
    found = [str(problem) for problem in problems([{"name": "p", **probe}])]
    assert all(text.startswith(start) for text, start in zip(found[: len(expected)], expected, strict=True))
    assert bool(found) == bool(expected)
