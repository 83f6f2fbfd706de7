"""Redis's master moves, on purpose or not, while applications write: what was acknowledged and is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_redis import Redis
from ansible_collections.slipway.compose.plugins.module_utils._core.docker import commands
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from backup_cluster import docker
from images import newest
from redis_cluster import HOSTS, LIMIT, RedisCluster

# Of an application: a loop that is as fast as an answer would fill the history of what was taken.
PAUSE = 0.02
WRITERS = 3
# As the Compose file has it.
GRACE = 30
REPLICAS = b"2"
# Containers that compute, and write to the disk what Redis's files are on.
BUSY = 4
BUSY_WITH = "while true; do head -c 100M /dev/zero | tee /tmp/full | sha256sum; sync /tmp/full; done"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster.running(tmp_path_factory.mktemp("redis")) as made:
        yield made


@dataclass
class Writer:
    """An application that writes key after key through the router, and connects again where that fails."""

    redis: RedisCluster
    taken: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.ended.is_set():
            try:
                with self.redis.conversation(self.redis.router) as asked:
                    self._write(asked)
            except (OSError, SlipwayError) as error:
                self.refusals.append(str(error))
                self.ended.wait(PAUSE)

    def _write(self, asked: Redis) -> None:
        while not self.ended.is_set():
            key = f"written:{id(self)}:{len(self.taken)}"
            asked.ask("SET", key, "x")
            self.taken.append(key)
            self.moments.append(time.monotonic())
            self.ended.wait(PAUSE)

    def until_more(self, count: int) -> None:
        wanted = len(self.taken) + count
        self.redis.until(lambda: len(self.taken) >= wanted)

    @property
    def longest(self) -> float:
        """Without an acknowledgement."""
        return max(later - earlier for earlier, later in zip(self.moments, self.moments[1:], strict=False))


@contextmanager
def written(redis: RedisCluster) -> Iterator[list[Writer]]:
    """Applications that write before, meanwhile, and after; they have ended when this has."""
    writers = [Writer(redis) for _number in range(WRITERS)]
    threads = [threading.Thread(target=writer.work) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        for writer in writers:
            writer.until_more(50)
        yield writers
        redis.settled()
        for writer in writers:
            writer.until_more(50)
    finally:
        for writer in writers:
            writer.ended.set()
        for thread in threads:
            thread.join(LIMIT)


def lost(redis: RedisCluster, writers: list[Writer], what: str) -> list[str]:
    """What was acknowledged, and the master does not have."""
    taken = [key for writer in writers for key in writer.taken]
    found = set(redis.kept(redis.settled(), taken))
    gone = [key for key in taken if key not in found]
    refusals = [refusal for writer in writers for refusal in writer.refusals]
    longest = ", ".join(f"{writer.longest:.1f}" for writer in writers)
    print(
        f"\n{what}: {len(taken)} acknowledged, {len(gone)} lost, the longest without one {longest} s, "
        f"{len(refusals)} refusals: {sorted(set(refusals))[:6]}"
    )
    return gone


def move(redis: RedisCluster, host: int) -> str:
    """As `playbooks/maintenance.yml` does on the host; what it says, also where it refuses."""
    return docker("exec", redis.container("redis", host), *commands.move_master(), check=False).strip()


def elsewhere(redis: RedisCluster, old: int) -> None:
    """Until most sentinels name another master."""
    redis.until(lambda: redis.named(HOSTS[old % 3]) not in ("", redis.address(old)))


def test_a_planned_move_loses_nothing(redis: RedisCluster) -> None:
    old = redis.settled()
    with written(redis) as writers:
        told = move(redis, old)
    new = redis.settled()
    assert (new != old, told) == (True, f"{redis.address(new)} is the master"), redis.logs()
    assert lost(redis, writers, "moved") == []
    # Who waited was sent away and found the new master: no answer had to be an error.
    said = " ".join(refusal for writer in writers for refusal in writer.refusals)
    assert "READONLY" not in said and "NOREPLICAS" not in said


def test_a_restart_of_the_masters_container_loses_nothing(redis: RedisCluster) -> None:
    """What a release does that changes Redis: it waits for its replicas before it ends."""
    old = redis.settled()
    with written(redis) as writers:
        docker("restart", f"--time={GRACE}", redis.container("redis", old))
    assert lost(redis, writers, "restarted") == []


def test_a_stop_of_the_masters_container_loses_nothing(redis: RedisCluster) -> None:
    """What a host does that is shut down."""
    old = redis.settled()
    with written(redis) as writers:
        docker("stop", f"--time={GRACE}", redis.container("redis", old))
        elsewhere(redis, old)
        redis.again(old)
    assert redis.settled() != old
    assert lost(redis, writers, "stopped") == []


def test_a_replica_that_lags_keeps_the_master_where_it_is(redis: RedisCluster) -> None:
    old = redis.settled()
    behind = HOSTS[old % 3]
    # It goes on to say that it follows, and does nothing that it is told.
    assert redis.inside(behind, "CLIENT PAUSE 30000 WRITE") == "OK"
    try:
        assert redis.takes_writes(redis.router, "behind")
        told = move(redis, old)
    finally:
        redis.inside(behind, "CLIENT UNPAUSE")
    assert told == f"replica {redis.address(behind)} has not caught up in 3 s; the master stays", redis.logs()
    assert redis.takes_writes(redis.router, "goes on")
    assert redis.settled() == old


def test_where_sentinel_promotes_nobody_the_master_stays_and_takes_writes(redis: RedisCluster) -> None:
    old = redis.settled()
    replicas = [host for host in HOSTS if host != old]

    def prefer(priority: int) -> None:
        for host in replicas:
            assert redis.inside(host, f"CONFIG SET replica-priority {priority}") == "OK"
        known = f"slave-priority\n{priority}\n"
        redis.until(lambda: redis.sentinel(old, f"SENTINEL REPLICAS {redis.stack.name}").count(known) == 2)

    prefer(0)
    try:
        assert move(redis, old).startswith("Sentinel promotes nobody: NOGOODSLAVE"), redis.logs()
        assert redis.takes_writes(redis.router, "stays")
        assert redis.settled() == old
    finally:
        prefer(100)


def test_only_the_masters_own_container_moves_it(redis: RedisCluster) -> None:
    old = redis.settled()
    assert move(redis, HOSTS[old % 3]).startswith("this member is no master")
    assert redis.settled() == old


@pytest.mark.by_hand
def test_a_busy_machine_is_no_reason_to_refuse_a_write(redis: RedisCluster) -> None:
    """Replicas that are late with their reports look like lost ones (min-replicas-max-lag)."""
    redis.settled()
    at_work = [redis.container("busy", number) for number in range(BUSY)]
    with written(redis) as writers:
        for name in at_work:
            docker("run", "--detach", "--init", "--name", name, newest("redis"), "sh", "-c", BUSY_WITH)
        for writer in writers:
            writer.until_more(500)
        docker("rm", "--force", *at_work)
    assert lost(redis, writers, "busy") == []
    assert not [refusal for writer in writers for refusal in writer.refusals if "NOREPLICAS" in refusal]


@pytest.mark.by_hand
@pytest.mark.parametrize("how", ["killed", "asked"])
def test_an_application_goes_on_with_the_next_master_and_what_it_lost_is_counted(
    redis: RedisCluster, how: str
) -> None:
    """asked: by Sentinel's own command, as nothing does here, for comparison."""
    old = redis.settled()
    with written(redis) as writers:
        with redis.conversation(redis.address(old)) as asked:
            asked.ask("SET", "marked", "x")
            assert asked.ask("WAIT", REPLICAS, str(1000 * LIMIT)) == 2
        safe = {key for writer in writers for key in writer.taken[:-1]}
        if how == "killed":
            redis.kill(old)
        else:
            assert redis.sentinel(old, f"SENTINEL FAILOVER {redis.stack.name}") == "OK"
        elsewhere(redis, old)
        if how == "killed":
            redis.again(old)
    assert redis.settled() != old
    last = {key for writer in writers for key in writer.taken[-50:]}
    # Of what both replicas had nothing is lost, and nothing of what the new master took.
    assert not (safe | last) & set(lost(redis, writers, how))
