"""One run at a time holds a host, and shows that it is alive; a run is told from any other."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.locking.lock import (
    Claim,
    LockFile,
    Seen,
    Uptime,
    alive,
    sign_of_life,
)
from ansible_collections.slipway.compose.plugins.modules import stack_lock
from ansible_collections.slipway.compose.plugins.plugin_utils import this_run

ANN = Claim("a" * 32, "ann", "laptop", 4711, "", "deploy", "3f2a", "2026-11-22T14:02:11Z")
BOB = replace(ANN, run="b" * 32, owner="bob", control="desk", what="rollback", release="")
HOSTS = ["h1", "h2", "h3"]


class Clock:
    """A host's time since boot, moved by hand."""

    def __init__(self) -> None:
        self.now = Uptime("boot-1", 1000.0)

    def __call__(self) -> Uptime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lock(tmp_path: Path, clock: Clock) -> LockFile:
    return LockFile(tmp_path / "state/lock.json", clock)


def holder(lock: LockFile) -> str | None:
    found = lock.read()
    return found.claim.owner if found else None


class TestOneHost:
    def test_a_free_lock_is_taken_and_given_back(self, lock: LockFile) -> None:
        assert lock.read() is None
        assert lock.take(ANN, {}) == Seen(ANN, 1, 0.0, 1)
        assert lock.release(ANN.run)
        assert lock.read() is None and not lock.release(ANN.run)

    def test_it_is_not_taken_from_its_holder_nor_given_back_by_another(self, lock: LockFile) -> None:
        lock.take(ANN, {})
        taken = lock.take(BOB, {})
        assert taken and taken.claim == ANN
        assert not lock.release(BOB.run) and not lock.renew(BOB.run)
        assert holder(lock) == "ann"

    def test_asking_takes_nothing_and_brings_ones_own_claim_up_to_date(self, lock: LockFile) -> None:
        assert lock.ask(ANN) is None and lock.read() is None
        lock.take(ANN, {})
        assert lock.ask(replace(ANN, release="77")) == Seen(replace(ANN, release="77"), 2, 0.0, 1)
        asked = lock.ask(BOB)
        assert asked and asked.claim.owner == "ann" and asked.beat == 2

    def test_a_run_knows_whether_somebody_held_it_since_it_looked(self, lock: LockFile) -> None:
        expected = lock.next_turn()
        taken = lock.take(ANN, {})
        assert taken and taken.turn == expected and lock.next_turn() == 0, "held: it may yet change the host"
        lock.renew(ANN.run)
        again = lock.take(ANN, {})
        assert again and again.turn == expected, "it is still its turn"
        lock.release(ANN.run)
        looked = lock.next_turn()
        lock.take(BOB, {})
        lock.release(BOB.run)
        later = lock.take(ANN, {})
        assert later and later.turn > looked > expected

    def test_a_dead_run_had_a_turn(self, lock: LockFile) -> None:
        lock.take(ANN, {})
        taken = lock.take(BOB, {ANN.run: 1})
        assert taken and taken.turn == 2

    def test_looking_makes_no_file(self, lock: LockFile, tmp_path: Path) -> None:
        assert lock.next_turn() == 1 and not list(tmp_path.iterdir())

    def test_a_dead_run_is_replaced_unless_it_has_shown_life_since(self, lock: LockFile) -> None:
        lock.take(ANN, {})
        lock.renew(ANN.run)
        lock.take(BOB, {ANN.run: 1})
        assert holder(lock) == "ann"
        lock.take(BOB, {ANN.run: 2})
        assert holder(lock) == "bob"

    def test_silence_is_counted_in_this_hosts_time_since_boot(self, lock: LockFile, clock: Clock) -> None:
        lock.take(ANN, {})
        clock.now = Uptime("boot-1", 1042.0)
        found = lock.read()
        assert found and found.silent == 42.0
        lock.renew(ANN.run)
        found = lock.read()
        assert found and found.silent == 0.0

    def test_after_a_reboot_it_has_been_silent_since_then_at_least(
        self, lock: LockFile, clock: Clock
    ) -> None:
        lock.take(ANN, {})
        clock.now = Uptime("boot-2", 35.0)
        found = lock.read()
        assert found and found.silent == 35.0

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"run": "x"}'])
    def test_a_file_that_a_power_cut_left_without_content_holds_nothing(
        self, lock: LockFile, tmp_path: Path, content: str
    ) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state/lock.json").write_text(content)
        assert lock.read() is None
        lock.take(BOB, {})
        assert holder(lock) == "bob"

    def test_the_file_says_who_from_where_for_what_and_since_when(
        self, lock: LockFile, tmp_path: Path
    ) -> None:
        lock.take(ANN, {})
        told = json.loads((tmp_path / "state/lock.json").read_text())
        facts = {"owner": "ann", "control": "laptop", "pid": 4711, "what": "deploy", "release": "3f2a"}
        assert facts.items() <= told.items() and told["begun"] == "2026-11-22T14:02:11Z"


class TestSignsOfLife:
    def test_are_given_while_a_module_is_at_work_and_not_after(self, tmp_path: Path) -> None:
        lock = LockFile(tmp_path / "lock.json")
        lock.take(ANN, {})
        with alive(tmp_path / "lock.json", ANN.run, every=0.02):
            until = time.monotonic() + 60
            while beats(lock) < 4 and time.monotonic() < until:
                time.sleep(0.01)  # between two looks
        after = beats(lock)
        assert after >= 4
        time.sleep(0.1)  # time for several signs
        assert beats(lock) == after

    def test_end_when_the_lock_was_lost_and_do_not_bring_it_back(self, tmp_path: Path) -> None:
        lock = LockFile(tmp_path / "lock.json")
        lock.take(ANN, {})
        with alive(tmp_path / "lock.json", ANN.run, every=0.02):
            lock.release(ANN.run)
            lock.take(BOB, {})
            time.sleep(0.1)  # time for several signs
        assert holder(lock) == "bob" and beats(lock) == 1

    def test_a_run_without_the_lock_is_refused_before_it_begins(self, tmp_path: Path) -> None:
        LockFile(tmp_path / "lock.json").take(BOB, {})
        began = False
        with (
            pytest.raises(SlipwayError, match="does not hold .* bob@desk holds it now"),
            alive(tmp_path / "lock.json", ANN.run),
        ):
            began = True
        assert not began

    def test_a_dry_run_needs_none(self, tmp_path: Path) -> None:
        with alive(tmp_path / "lock.json", ""):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_one_is_given_by_a_run_that_only_looks_and_a_full_disk_does_not_end_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "lock.json"
        lock = LockFile(path)
        lock.take(ANN, {})
        before = beats(lock)
        sign_of_life(path, ANN.run)
        assert beats(lock) == before + 1
        with pytest.raises(SlipwayError, match="ann@laptop holds it now"):
            sign_of_life(path, BOB.run)

        def full(*_told: object) -> bool:
            raise SlipwayError("lock.json cannot be written: No space left on device", "Make room")

        monkeypatch.setattr(LockFile, "renew", full)
        sign_of_life(path, ANN.run)

    def test_a_failure_inside_is_passed_on(self, tmp_path: Path) -> None:
        LockFile(tmp_path / "lock.json").take(ANN, {})
        with pytest.raises(ValueError, match="broken"), alive(tmp_path / "lock.json", ANN.run):
            raise ValueError("broken")


def beats(lock: LockFile) -> int:
    found = lock.read()
    return found.beat if found else 0


class TestThisRun:
    def test_is_the_same_for_all_workers_whoever_asks_first(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("fork")
        with context.Pool(8) as pool:
            found = pool.map(this_run.this_run, [tmp_path] * 32, chunksize=1)
        assert len({run.id for run in found}) == 1
        assert found[0].pid == os.getpid()

    def test_its_record_sorts_by_time(self) -> None:
        run = this_run.ThisRun("3f2a9c1d", "2026-11-22T14:15:02Z", "ann", "laptop", 1, "")
        assert run.record == "20261122T141502-3f2a9c"

    def test_a_process_has_ended_when_its_number_is_anothers(self) -> None:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=time.sleep, args=(60,))
        process.start()
        pid = int(process.pid or 0)
        identity = this_run.identity(pid)
        assert not this_run.has_ended(pid, identity)
        process.kill()
        process.join()
        assert this_run.has_ended(pid, identity)
        assert this_run.has_ended(os.getpid(), identity)

    def test_of_processes_elsewhere_nothing_is_known(self) -> None:
        assert not this_run.has_ended(1, "another-boot/1/1")
        assert not this_run.has_ended(1, "")

    def test_what_is_to_be_done_once_is_done_by_one(self, tmp_path: Path) -> None:
        assert not this_run.done_by_another("hooks", tmp_path)
        assert this_run.first_to("hooks", tmp_path) and not this_run.first_to("hooks", tmp_path)
        assert this_run.done_by_another("hooks", tmp_path)


class TestBreaking:
    def test_removes_the_lock_of_the_named_run_whoever_asks(self, lock: LockFile) -> None:
        lock.take(ANN, {})
        assert stack_lock.broken(lock, "aaaaaaaa", False) == (Seen(ANN, 1, 0.0, 1), True)
        assert lock.read() is None
        assert stack_lock.broken(lock, "aaaaaaaa", False) == (None, False)

    def test_is_predicted_by_a_dry_run(self, lock: LockFile) -> None:
        lock.take(ANN, {})
        assert stack_lock.broken(lock, "aaaaaaaa", True)[1]
        assert holder(lock) == "ann"

    @pytest.mark.parametrize(
        ("run", "told"),
        [("bbbbbbbb", "but by run aaaaaaaa of ann@laptop"), ("aaaa", "names no run"), ("", "names no run")],
    )
    def test_needs_the_name_of_the_run_that_holds_it(self, lock: LockFile, run: str, told: str) -> None:
        lock.take(ANN, {})
        with pytest.raises(SlipwayError, match=told):
            stack_lock.broken(lock, run, False)
        assert holder(lock) == "ann"
