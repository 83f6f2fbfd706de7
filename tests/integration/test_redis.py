"""Redis as it is rendered for three hosts: who may do what, and what is left after a kill or a cut."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_redis import (
    Redis,
    RefusedError,
)
from backup_cluster import docker
from documentation import RUNBOOKS
from images import newest
from redis_cluster import HOSTS, LIMIT, RedisCluster

# Of the application: a loop that is as fast as an answer would fill the history of what was taken.
PAUSE = 0.02
EVERYTHING = b"2"

REFUSED = (
    "ACL LIST",
    "BGREWRITEAOF",
    "CLIENT KILL TYPE normal",
    "CLIENT PAUSE 1",
    "CLUSTER RESET",
    "CONFIG GET requirepass",
    "CONFIG SET save ''",
    "DEBUG SLEEP 0",
    "FAILOVER",
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "LATENCY RESET",
    "MIGRATE 192.0.2.1 6379 a 0 1",
    "MODULE LIST",
    "MONITOR",
    "PSYNC ? -1",
    "REPLICAOF NO ONE",
    "RESTORE a 0 x",
    "SAVE",
    "SHUTDOWN NOSAVE",
    "SLOWLOG GET",
    "SWAPDB 0 1",
    "SYNC",
)

DATA = ("DBSIZE", "GET a", "OBJECT FREQ a", "RANDOMKEY", "SCAN 0", "SET a b", "SUBSCRIBE a")
ANYTHING = ("PING", "INFO", "GET a", "SUBSCRIBE a", "SENTINEL MASTERS", "CLIENT LIST", "EVAL x 0")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster.running(tmp_path_factory.mktemp("redis")) as made:
        yield made


def refusal(conversation: Redis, *words: str) -> str:
    (answer,) = conversation.ask_all([words])
    return answer.problem if isinstance(answer, RefusedError) else f"not refused: {answer}"


@pytest.mark.parametrize("command", REFUSED)
def test_the_application_neither_administers_nor_stops_the_world(redis: RedisCluster, command: str) -> None:
    # DEBUG and MODULE are refused to everybody, before anybody asks who it is.
    with redis.conversation(redis.router) as asked:
        assert refusal(asked, *command.split()).startswith(("NOPERM", "ERR DEBUG command not allowed"))
        # A script may do what its caller may, and no more.
        script = "return redis.call(unpack(ARGV))"
        assert "not refused" not in refusal(asked, "EVAL", script, "0", *command.split())
        assert asked.ask("PING") == "PONG"


def test_the_application_does_its_work(redis: RedisCluster) -> None:
    with redis.conversation(redis.router) as asked:
        assert asked.ask("EVAL", "return redis.call('SET', KEYS[1], 'here')", "1", "work") == "OK"
        assert asked.ask("GET", "work") == b"here"
        assert asked.ask("PUBLISH", "updates", "x") == asked.ask("PUBLISH", "_updates", "x") == 0
        assert asked.ask("PSUBSCRIBE", "up*")[0] == b"psubscribe"


def test_the_application_cannot_tell_the_sentinels_who_is_master(redis: RedisCluster) -> None:
    # Sentinels talk to each other over a channel of the master: with an epoch of 99 they would believe it.
    before = redis.settled()
    word = f"{redis.address(1)},26379,{'a' * 40},99,{redis.stack.name},192.0.2.1,6379,99"
    script = "return redis.call('PUBLISH', ARGV[1], ARGV[2])"
    with redis.conversation(redis.router) as asked:
        assert refusal(asked, "PUBLISH", "__sentinel__:hello", word).startswith("NOPERM")
        assert "not refused" not in refusal(asked, "EVAL", script, "0", "__sentinel__:hello", word)
    assert redis.settled() == before


@pytest.mark.parametrize("command", [*DATA, *REFUSED])
def test_the_monitoring_user_reads_no_key(redis: RedisCluster, command: str) -> None:
    with redis.conversation(redis.router, "monitor") as asked:
        assert refusal(asked, *command.split()).startswith(("NOPERM", "ERR DEBUG command not allowed"))
        assert b"redis_version:" in asked.ask("INFO")


@pytest.mark.parametrize("port", [6379, 26379], ids=["redis", "sentinel"])
def test_nobody_gets_nothing(redis: RedisCluster, port: int) -> None:
    with redis.conversation(redis.address(1), None, port) as asked:
        for command in ANYTHING:
            words = refusal(asked, *command.split())
            assert words.startswith("NOAUTH") or "unknown command" in words, (command, words)
        assert refusal(asked, "AUTH", redis.secrets["redis"] + "x").startswith("WRONGPASS")
    plain = ["exec", redis.container("redis"), "redis-cli", "-h", "127.0.0.1", "-p", str(port), "PING"]
    assert "PONG" not in docker(*plain, check=False)


def test_the_monitoring_users_password_is_not_the_applications(redis: RedisCluster) -> None:
    with redis.conversation(redis.address(1), None) as asked:
        assert refusal(asked, "AUTH", redis.secrets["redis_monitor"]).startswith("WRONGPASS")


def test_a_router_of_this_release_finds_members_of_earlier_ones(redis: RedisCluster) -> None:
    """Routers have a release before the members, which know that user by the application's password."""
    redis.settled()
    earlier, later = (redis.secrets[name] for name in ("redis", "redis_monitor"))
    for host in HOSTS:
        assert redis.inside(host, f"ACL SETUSER monitor resetpass >{earlier}") == "OK"
    try:
        # It takes nobody for healthy that it has not asked since.
        docker("restart", redis.container("local-router"))
        redis.until(lambda: redis.takes_writes(redis.router, "earlier"))
    finally:
        for host in HOSTS:
            redis.inside(host, f"ACL SETUSER monitor >{later}")


def test_a_sentinel_does_not_know_the_applications_password(redis: RedisCluster) -> None:
    with redis.conversation(redis.address(1), None, 26379) as asked:
        assert refusal(asked, "AUTH", redis.secrets["redis"]).startswith("WRONGPASS")


@pytest.mark.by_hand
def test_what_was_acknowledged_is_back_after_every_member_was_killed(redis: RedisCluster) -> None:
    """All at once, so that nobody can copy it from another: it comes from the files."""
    redis.settled()
    safe, latest = ([f"{name}:{number}" for number in range(2000)] for name in ("safe", "latest"))
    with redis.conversation(redis.router) as asked:
        assert set(asked.ask_all([("SET", key, "x") for key in safe])) == {"OK"}
        # Until the disk has it on all three, which is a second at most and told.
        local, others = asked.ask("WAITAOF", "1", EVERYTHING, str(1000 * LIMIT))
        assert (local, others) == (1, 2)
        assert set(asked.ask_all([("SET", key, "x") for key in latest])) == {"OK"}
    redis.kill(*HOSTS)
    redis.again(*HOSTS)
    master = redis.settled()
    assert redis.kept(master, safe) == safe
    lost = len(latest) - len(redis.kept(master, latest))
    print(f"\nkilled at once: {lost} of the last {len(latest)} lost")


@pytest.mark.by_hand
def test_a_file_that_ends_in_the_middle_of_a_write_is_loaded(redis: RedisCluster) -> None:
    redis.settled()
    keys = [f"whole:{number}" for number in range(100)]
    with redis.conversation(redis.router) as asked:
        asked.ask_all([("SET", key, "x") for key in keys])
        asked.ask("WAITAOF", "1", EVERYTHING, str(1000 * LIMIT))
    redis.kill(*HOSTS)
    half = r"'*3\r\n$3\r\nSET\r\n$4\r\nto'"
    torn = f"cd /held/appendonlydir; for file in *.incr.aof; do printf {half} >>$file; done"
    for host in HOSTS:
        volume = f"--volume={redis.volume('redis', host)}:/held"
        docker("run", "--rm", volume, newest("redis"), "sh", "-ec", torn)
    redis.again(*HOSTS)
    master = redis.settled()
    assert redis.kept(master, keys) == keys
    for host in HOSTS:
        assert "Truncating the AOF" in docker("logs", redis.container("redis", host)), redis.logs()


@pytest.mark.by_hand
def test_a_master_that_is_cut_off_takes_no_more_writes_and_follows_in_the_end(redis: RedisCluster) -> None:
    old = redis.settled()
    others = [host for host in HOSTS if host != old]
    before = [f"before:{number}" for number in range(100)]
    with redis.conversation(redis.address(old)) as asked:
        asked.ask_all([("SET", key, "x") for key in before])
        assert asked.ask("WAIT", EVERYTHING, str(1000 * LIMIT)) == 2
    taken: list[str] = []
    with redis.typing(old) as write:
        redis.unplug(old)
        began = latest = time.monotonic()
        while (told := write(f"SET cut:{len(taken)} x")) == "OK":
            taken.append(f"cut:{len(taken)}")
            latest = time.monotonic()
            assert latest < began + LIMIT, redis.logs()
            time.sleep(PAUSE)  # a client at that pace: what is lost is counted in its writes
        assert told.startswith("NOREPLICAS"), told
        redis.until(lambda: any(redis.takes_writes(redis.address(host), "elsewhere") for host in others))
        (new,) = [host for host in others if redis.info(host).get("role") == "master"]
        assert redis.info(old)["role"] == "master"
        assert write("SET cut:never x").startswith("NOREPLICAS")
    redis.plug(old)
    assert redis.settled() == new
    assert redis.kept(new, [*before, "elsewhere"]) == [*before, "elsewhere"]
    assert redis.kept(new, ["cut:never"]) == []
    lost = len(taken) - len(redis.kept(new, taken))
    print(f"\ncut off: {len(taken)} taken in {latest - began:.1f} s, then NOREPLICAS; {lost} of them lost")


# What a command of the runbook prints where all is well.
SAYS = {
    "current-master.sh": r"\d+\.\d+\.\d+\.\d+",
    "wayfare-redis-1 /config/health.sh": "healthy",
    "wayfare-sentinel-1 /config/health.sh": "OK 3 usable Sentinels",
    "INFO replication": "role:",
    "docker restart": "redis",
    "INFO memory": "used_memory_human:",
    "move-master.sh": "is the master",
}


@pytest.mark.parametrize("command", SAYS)
def test_what_the_runbook_has_one_type_says_what_it_shall(redis: RedisCluster, command: str) -> None:
    text = (RUNBOOKS / "redis.md").read_text()
    lines = re.findall(r"^    (docker .+)$|`(docker (?:exec|restart) [^`]+)`", text, re.M)
    (line, *_same) = [line for pair in lines for line in pair if command in line]
    host = redis.settled() if "move-master" in command else 1
    for part in ("redis", "sentinel"):
        line = line.replace(f"wayfare-{part}-1", redis.container(part, host))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=LIMIT, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0 and re.search(SAYS[command], told), (line, told)
    redis.settled()
