"""One run at a time holds the hosts of an environment: decisions, and real processes that compete."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.locking import lock_protocol
from ansible_collections.slipway.compose.plugins.module_utils._core.locking.lock import (
    Claim,
    LockFile,
    Seen,
    Uptime,
    alive,
    uptime,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.locking.lock_protocol import (
    Contest,
    Move,
    Report,
    described,
)
from ansible_collections.slipway.compose.plugins.plugin_utils import lock_contest
from ansible_collections.slipway.compose.plugins.plugin_utils.lock_contest import (
    Hands,
    first_round,
    next_round,
)

ANN = Claim("a" * 32, "ann", "laptop", 4711, "", "deploy", "3f2a", "2026-11-22T14:02:11Z")
BOB = replace(ANN, run="b" * 32, owner="bob", control="desk", what="rollback", release="")
HOSTS = ["h1", "h2", "h3"]
# Whoever has this one is alive, however long the machine stands still.
PATIENT = replace(ANN, silence=600)
LIMIT = 120


def beats(lock: LockFile) -> int:
    found = lock.read()
    return found.beat if found else 0


def holder(lock: LockFile) -> str | None:
    found = lock.read()
    return found.claim.owner if found else None


def contest(number: int, *silences: float | None | str, moved: str = "", gone: bool = False) -> Contest:
    """A contest of bob's: per host seconds of ann's silence, None for a free lock, "mine" for bob's own."""
    reports = []
    for host, silent in zip(HOSTS, silences, strict=True):
        seen = None if silent is None else Seen(BOB if silent == "mine" else ANN, 7, 0)
        if seen and isinstance(silent, int | float):
            seen = replace(seen, silent=float(silent))
        reports.append(Report(host, seen, host == moved, number))
    return Contest(BOB.run, reports, lambda claim: gone and claim == ANN)


READ, TAKE, WATCH, REFUSE, NOTHING = Move.READ, Move.TAKE, Move.WATCH, Move.REFUSE, Move.NOTHING


@pytest.mark.parametrize(
    ("before", "moves"),
    [
        pytest.param(contest(1, "mine", None, None), [TAKE, TAKE, TAKE], id="the-first-is-ours"),
        pytest.param(contest(1, "mine", "mine", "mine"), [NOTHING] * 3, id="all-are-ours"),
        pytest.param(contest(1, 1, 1, None), [WATCH] * 3, id="it-is-held"),
        pytest.param(contest(1, "mine", 1, None), [READ, WATCH, WATCH], id="held-on-a-later-host"),
        pytest.param(contest(2, 33, 33, 33), [TAKE, READ, READ], id="dead-is-taken-on-the-first-host"),
        pytest.param(contest(2, 33, 33, 29), [REFUSE] * 3, id="life-on-one-host-is-life"),
        pytest.param(contest(2, 33, 33, 33, moved="h3"), [REFUSE] * 3, id="it-moved-on-one-host"),
        pytest.param(contest(2, None, None, None), [TAKE, READ, READ], id="given-back-meanwhile"),
        pytest.param(contest(2, 7, 8, 9, gone=True), [TAKE, READ, READ], id="its-process-has-ended"),
        pytest.param(contest(2, 7, 8, 3, gone=True), [REFUSE] * 3, id="its-module-is-still-at-work"),
        pytest.param(contest(3, "mine", 44, None), [READ, TAKE, TAKE], id="then-the-others"),
        pytest.param(contest(3, None, None, None), [REFUSE] * 3, id="the-first-was-lost-again"),
    ],
)
def test_the_next_move_of_each_host(before: Contest, moves: list[Move]) -> None:
    assert [before.next_move(host) for host in HOSTS] == moves


def test_a_dead_lock_is_replaced_only_as_it_was_seen() -> None:
    assert contest(3, "mine", 44, 44).over("h2") == {ANN.run: 7}
    assert contest(3, "mine", 44, 1).over("h2") == {}


@pytest.mark.parametrize(
    ("silences", "seconds"),
    [((1, 50, None), 31), ((29.5, 50, 50), 2.5), ((30, 31, 50), 0), ((None, None, None), 0)],
)
def test_it_is_watched_until_it_would_be_dead(silences: tuple[float | None, ...], seconds: float) -> None:
    assert contest(1, *silences).watch_for() == seconds


def test_a_run_that_announced_a_long_silence_is_watched_for_40_seconds_and_not_replaced() -> None:
    quiet = Report("h1", Seen(replace(ANN, silence=600), 7, 45))
    found = Contest(BOB.run, [quiet], lambda _: False)
    assert found.watch_for() == 40
    after = replace(quiet, round=2)
    assert Contest(BOB.run, [after], lambda _: False).next_move("h1") is REFUSE


def test_a_refusal_says_who_since_when_where_and_how_to_break_it() -> None:
    refusal = contest(2, 33, 12, 33).refusal()
    assert refusal.problem == (
        "the environment is locked: lock of ann@laptop, deploy of 3f2a since 2026-11-22 14:02:11 UTC, "
        "last sign of life 12 s ago on h2 (process 4711 on laptop, run aaaaaaaa)"
    )
    assert "playbooks/unlock.yml -l <environment> -e run=aaaaaaaa" in refusal.remedy
    assert "a module of it is still at work" in contest(2, 1, 1, 1, gone=True).refusal().remedy


def test_a_lock_without_a_release_is_described_without_one() -> None:
    assert described(Report("h1", Seen(BOB, 1, 45))).startswith(
        "lock of bob@desk, rollback since 2026-11-22 14:02:11 UTC, last sign of life 45 s ago on h1"
    )


# A real run over real folders: each process takes part in every round on every "host".


def compete(
    folder: Path, claim: Claim, said: list[str], now: Callable[[], Uptime] = uptime
) -> BaseException | None:
    """All four rounds, the hosts side by side as Ansible does it; the refusal, if it is refused."""
    board = folder / f"board-{claim.run}"
    board.mkdir()

    def hands(host: str) -> Hands:
        lock = LockFile(folder / host / "lock.json", now)

        def ask(take: bool, over: Mapping[str, int]) -> Seen | None:
            return lock.take(claim, over) if take else lock.ask(claim)

        return Hands(ask, lambda: lock.release(claim.run), said.append, board, "once")

    with ThreadPoolExecutor(len(HOSTS)) as pool:
        reports = list(pool.map(lambda host: first_round(claim.run, host, HOSTS[0], hands(host)), HOSTS))
        for _ in range(3):
            known = Contest(claim.run, reports, lambda _: False)
            rounds = [pool.submit(next_round, known, host, hands(host)) for host in HOSTS]
            refused = [error for error in (it.exception(LIMIT) for it in rounds) if error]
            if refused:
                return refused[0]
            reports = [it.result() for it in rounds]
    return None


def owners(folder: Path) -> list[str | None]:
    return [holder(LockFile(folder / host / "lock.json")) for host in HOSTS]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watching takes a fraction of a second."""
    monkeypatch.setattr(lock_contest, "BEAT", 0.05)
    monkeypatch.setattr(lock_protocol, "BEAT", 0.05)


class Together:
    """A clock that stands still until every host sleeps, and then goes on by as much for all of them."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._asleep = threading.Barrier(len(HOSTS), self._go_on, timeout=LIMIT)

    def _go_on(self) -> None:
        self.seconds += lock_protocol.BEAT

    def monotonic(self) -> float:
        return self.seconds

    def uptime(self) -> Uptime:
        return Uptime("boot", self.seconds)

    def sleep(self, _seconds: float) -> None:
        self._asleep.wait()


def long_ago() -> Uptime:
    """A clock that was right when a patient run would have had to give its last sign of life."""
    now = uptime()
    return replace(now, seconds=now.seconds - 2 * PATIENT.silence)


def wait_for(happened: Callable[[], object]) -> None:
    limit = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.02)  # between two looks


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts hardly wait for what the first one says."""
    monkeypatch.setattr(lock_contest, "FIRST_PATIENCE", 0.1)


class FirstRound:
    """Answers of the hosts' copies, and what each was asked: whether to take it."""

    def __init__(self, board: Path, first: Seen | None) -> None:
        self.asked: dict[str, bool] = {}
        self._board = board
        self._first = first

    def __call__(self, host: str, attempt: str = "1") -> Report:
        def ask(take: bool, over: Mapping[str, int]) -> Seen | None:
            self.asked[host] = take
            return (self._first or Seen(BOB, 1, 0)) if take else None

        hands = Hands(ask, list, list, self._board, attempt)
        return first_round(BOB.run, host, HOSTS[0], hands)


class TestFirstRound:
    def test_the_others_are_taken_as_soon_as_the_first_is_ours(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_contest, "FIRST_PATIENCE", LIMIT)
        hosts = FirstRound(tmp_path, None)
        with ThreadPoolExecutor(3) as pool:  # the first one is asked last
            reports = list(pool.map(hosts, reversed(HOSTS)))
        assert hosts.asked == dict.fromkeys(HOSTS, True)
        assert Contest(BOB.run, reports, lambda _: False).won

    def test_the_others_are_read_where_somebody_holds_the_first(self, tmp_path: Path) -> None:
        hosts = FirstRound(tmp_path, Seen(ANN, 1, 0))
        assert [hosts(host).is_held_by(BOB.run) for host in HOSTS] == [False] * 3
        assert hosts.asked == {"h1": True, "h2": False, "h3": False}

    @pytest.mark.usefixtures("impatient")
    def test_nobody_waits_long_for_a_first_host_that_no_worker_asks(self, tmp_path: Path) -> None:
        hosts = FirstRound(tmp_path, None)
        hosts("h2")
        assert hosts.asked == {"h2": False}

    @pytest.mark.usefixtures("impatient")
    def test_what_was_said_the_last_time_says_nothing_now(self, tmp_path: Path) -> None:
        hosts = FirstRound(tmp_path, None)
        hosts("h1")
        hosts("h2", attempt="2")
        assert hosts.asked["h2"] is False


class TestSeveralHosts:
    def test_a_free_environment_is_taken_everywhere(self, tmp_path: Path) -> None:
        assert compete(tmp_path, ANN, []) is None
        assert owners(tmp_path) == ["ann"] * 3

    @pytest.mark.usefixtures("quick")
    def test_a_dead_run_is_replaced_everywhere_with_a_word_about_it(self, tmp_path: Path) -> None:
        compete(tmp_path, replace(ANN, silence=0), [])
        said: list[str] = []
        assert compete(tmp_path, BOB, said) is None
        assert owners(tmp_path) == ["bob"] * 3
        assert len(said) == 1
        assert said[0].startswith("lock of ann@laptop, deploy of 3f2a since") and said[0].endswith(
            "taken over"
        )

    def test_a_run_that_shows_no_life_for_a_while_is_watched_and_then_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Together()
        monkeypatch.setattr(lock_contest, "time", clock)
        compete(tmp_path, ANN, [], clock.uptime)
        said: list[str] = []
        assert compete(tmp_path, BOB, said, clock.uptime) is None
        assert owners(tmp_path) == ["bob"] * 3
        assert said[0].startswith("The environment is locked: lock of ann@laptop") and "taken over" in said[1]

    @pytest.mark.usefixtures("quick")
    def test_life_on_the_last_host_refuses_the_other_run(self, tmp_path: Path) -> None:
        compete(tmp_path, PATIENT, [])
        for host in HOSTS[:2]:
            LockFile(tmp_path / host / "lock.json", long_ago).renew(ANN.run)
        with alive(tmp_path / "h3/lock.json", ANN.run, every=0.05):
            refusal = compete(tmp_path, BOB, [])
        assert isinstance(refusal, SlipwayError) and "on h3" in refusal.problem
        assert owners(tmp_path) == ["ann"] * 3

    @pytest.mark.usefixtures("quick")
    def test_a_run_that_had_marked_the_first_host_alone_is_watched_on_all(self, tmp_path: Path) -> None:
        LockFile(tmp_path / "h1/lock.json").take(ANN, {})
        said: list[str] = []
        done = threading.Event()

        def mark_and_work() -> None:
            wait_for(lambda: said)
            LockFile(tmp_path / "h2/lock.json").take(ANN, {})
            with alive(tmp_path / "h2/lock.json", ANN.run, every=0.05):
                done.wait(LIMIT)

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(mark_and_work)
            try:
                refusal = compete(tmp_path, BOB, said)
                assert owners(tmp_path)[0] == "ann"
            finally:
                done.set()
            working.result()
        assert isinstance(refusal, SlipwayError) and "on h2" in refusal.problem

    @pytest.mark.usefixtures("quick")
    def test_a_lock_that_is_given_back_while_it_is_watched_is_taken_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Whoever watches to the end is not done in time.
        monkeypatch.setattr(lock_protocol, "WATCH_AT_MOST", 2.0 * LIMIT)
        said: list[str] = []
        for host in HOSTS[:2]:
            LockFile(tmp_path / host / "lock.json").take(PATIENT, {})

        def end() -> None:
            wait_for(lambda: said)
            for host in HOSTS[:2]:
                LockFile(tmp_path / host / "lock.json").release(ANN.run)

        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(end)
            assert compete(tmp_path, BOB, said) is None
            ending.result()
        assert owners(tmp_path) == ["bob"] * 3

    @pytest.mark.usefixtures("quick")
    def test_a_lock_that_is_left_on_a_later_host_alone_is_replaced_too(self, tmp_path: Path) -> None:
        LockFile(tmp_path / "h2/lock.json").take(replace(ANN, silence=0), {})
        assert compete(tmp_path, BOB, []) is None
        assert owners(tmp_path) == ["bob"] * 3

    @pytest.mark.usefixtures("quick")
    def test_a_refused_run_gives_back_what_it_held(self, tmp_path: Path) -> None:
        LockFile(tmp_path / "h2/lock.json").take(PATIENT, {})
        with alive(tmp_path / "h2/lock.json", ANN.run, every=0.05):
            refusal = compete(tmp_path, BOB, [])
        assert isinstance(refusal, SlipwayError) and "on h2" in refusal.problem
        assert owners(tmp_path) == [None, "ann", None]


def _run(folder: Path, claim: Claim, results: Any, done: Any) -> None:
    """A whole run in a process of its own: take the environment, work until told, give it back."""
    lock_contest.BEAT = lock_protocol.BEAT = 0.05
    if compete(folder, claim, []):
        results.put("refused")
        return
    results.put("held")
    with alive(folder / "h2/lock.json", claim.run, every=0.05):
        done.wait(5 * LIMIT)
    for host in HOSTS:
        LockFile(folder / host / "lock.json").release(claim.run)


@pytest.fixture
def processes() -> Iterator[list[Any]]:
    started: list[Any] = []
    yield started
    for process in started:
        process.kill()
        process.join()


def start_all(folder: Path, claims: Sequence[Claim], processes: list[Any]) -> tuple[Any, Any]:
    """Runs that begin together; what each came to, and the event that ends the work of those that hold."""
    context = multiprocessing.get_context("fork")
    results, done = context.Queue(), context.Event()
    for claim in claims:
        process = context.Process(target=_run, args=(folder, claim, results, done))
        process.start()
        processes.append(process)
    return results, done


@pytest.mark.parametrize("attempt", range(5))
def test_of_runs_that_start_at_once_one_holds_the_environment(
    tmp_path: Path, processes: list[Any], attempt: int
) -> None:
    claims = [replace(ANN, run=f"{attempt}{number}" * 16, owner=f"run-{number}") for number in range(4)]
    results, done = start_all(tmp_path, claims, processes)
    outcomes = sorted(results.get(timeout=LIMIT) for _ in claims)
    assert outcomes == ["held", "refused", "refused", "refused"]
    assert len(set(owners(tmp_path))) == 1 and None not in owners(tmp_path)
    done.set()
    for process in processes:
        process.join(LIMIT)
    assert owners(tmp_path) == [None] * 3


@pytest.mark.usefixtures("quick")
def test_a_killed_run_is_replaced_by_the_next(tmp_path: Path, processes: list[Any]) -> None:
    dying = replace(ANN, silence=0)
    kept = start_all(tmp_path, [dying], processes)
    assert kept[0].get(timeout=LIMIT) == "held"
    wait_for(lambda: beats(LockFile(tmp_path / "h2/lock.json")) >= 5)
    os.kill(processes[0].pid, signal.SIGKILL)
    processes[0].join()
    assert owners(tmp_path) == ["ann"] * 3
    assert compete(tmp_path, BOB, []) is None
    assert owners(tmp_path) == ["bob"] * 3
