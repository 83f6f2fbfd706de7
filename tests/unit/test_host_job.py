"""A job on a host: begun once, followed to its end, and none is left at work by a run that is no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core import host_job
from ansible_collections.slipway.compose.plugins.module_utils._core.backup import restore_job
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.host_job import Log, Say, begin

# More than a job of these tests takes on a machine at its limit.
LIMIT = 30.0
Do = Callable[[Say], Mapping[str, Any]]


def until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks


def waiting_for(path: Path, then: Do = lambda _say: {"done": 1}) -> Do:
    """Work that goes on until there is such a file."""

    def do(say: Say) -> Mapping[str, Any]:
        say("half of it is done")
        until(path.exists)
        return then(say)

    return do


def test_a_job_is_followed_to_its_end_by_whoever_asks(tmp_path: Path) -> None:
    log, go = Log(tmp_path / "state/job.jsonl"), tmp_path / "go"
    begin(log, "restore", waiting_for(go))
    until(lambda: len(log.events()) == 2)
    first = log.follow(0, lambda: "never asked: there is news")
    assert [it["say"] for it in first["events"]] == ["restore begins", "half of it is done"]
    assert (first["going_on"], first["progress"]) == (True, "")
    go.touch()
    until(lambda: not log.at_work())
    assert log.follow(2, lambda: "never asked: it has ended") == {
        "events": [{"done": 1}],
        "going_on": False,
        "progress": "",
    }


def test_how_far_it_is_is_told_while_there_is_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_job, "PATIENCE", 0.1)
    log, go = Log(tmp_path / "job.jsonl"), tmp_path / "go"
    begin(log, "restore", waiting_for(go))
    until(lambda: len(log.events()) == 2)
    assert log.follow(2, lambda: "43 %") == {"events": [], "going_on": True, "progress": "43 %"}

    def unknown() -> str:
        raise SlipwayError("the container does not answer", "Look at it")

    assert not log.follow(2, unknown)["progress"]
    go.touch()
    until(lambda: not log.at_work())


def test_there_is_one_at_a_time(tmp_path: Path) -> None:
    log, go = Log(tmp_path / "job.jsonl"), tmp_path / "go"
    begin(log, "verification", waiting_for(go))
    with pytest.raises(SlipwayError, match="at work here: verification begins") as refused:
        begin(log, "backup", lambda _say: {"done": 2})
    assert f"tail -f {log.path}" in refused.value.remedy
    go.touch()
    until(lambda: not log.at_work())
    begin(log, "backup", lambda _say: {"done": 2})
    until(lambda: not log.at_work())
    assert log.events() == [{"say": "backup begins"}, {"done": 2}]


def test_what_goes_wrong_is_the_last_event(tmp_path: Path) -> None:
    def refused(_say: Say) -> Mapping[str, Any]:
        raise SlipwayError("the disk is full", "Make room")

    def broken(_say: Say) -> Mapping[str, Any]:
        raise KeyError("nobody thought of it")

    log = Log(tmp_path / "job.jsonl")
    begin(log, "restore", refused)
    until(lambda: not log.at_work())
    assert log.events()[-1] == {"problem": "the disk is full", "remedy": "Make room"}
    begin(log, "restore", broken)
    until(lambda: not log.at_work())
    assert "nobody thought of it" in log.events()[-1]["problem"]


def test_a_job_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    result, parent_ended = tmp_path / "result", tmp_path / "parent-ended"
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2] / ".ansible/collections")!r})
from ansible_collections.slipway.compose.plugins.module_utils._core.host_job import detach
from pathlib import Path
def work():
    for _again in range(1200):
        if Path({str(parent_ended)!r}).exists():
            break
        time.sleep(0.1)  # between two looks
    Path({str(result)!r}).write_text("done")
detach(work, Path({str(tmp_path / "log")!r}))
print("started")
"""
    # Waits for the job, too, if that still holds this pipe.
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        == b"started\n"
    )
    assert not result.exists()
    parent_ended.touch()
    for _again in range(1200):
        if result.exists() and result.read_text():
            break
        time.sleep(0.1)  # between two looks
    assert result.read_text() == "done"


def test_a_job_that_cannot_begin_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "state/job.jsonl")

    def nowhere(*_arguments: object, **_named: object) -> None:
        raise OSError("no room for the log")

    monkeypatch.setattr(host_job, "telling", nowhere)
    monkeypatch.setattr(host_job, "BEGINS_WITHIN", 1.0)
    with pytest.raises(SlipwayError, match="the restore did not begin within 1 s") as refused:
        begin(log, "restore", lambda _say: {"done": 1})
    written = tmp_path / "state/job.err"
    assert str(written) in refused.value.remedy
    assert "no room for the log" in written.read_text()


def test_a_job_that_is_killed_has_no_last_word(tmp_path: Path) -> None:
    log, number = Log(tmp_path / "job.jsonl"), tmp_path / "pid"

    def do(_say: Say) -> Mapping[str, Any]:
        number.write_text(str(os.getpid()))
        time.sleep(LIMIT)  # until it is killed
        return {"done": 1}

    begin(log, "restore", do)
    until(lambda: number.exists() and number.read_text())
    os.kill(int(number.read_text()), signal.SIGKILL)
    until(lambda: not log.at_work())
    assert log.follow(1, lambda: "never asked: it has ended") == {
        "events": [],
        "going_on": False,
        "progress": "",
    }


def host(run: Callable[[Sequence[str]], tuple[int, str, str]]) -> RestoreHost:
    return RestoreHost(lambda argv, stdin=None: run(argv), "shop-postgres-1", "shop", "shop_data")


def test_a_dead_runs_restore_ends_with_its_container(tmp_path: Path) -> None:
    removed, log = tmp_path / "removed", Log(tmp_path / "state/restore.jsonl")
    asked: list[str] = []

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        asked.append(" ".join(argv))
        if argv[:3] == ["docker", "rm", "--force"]:
            removed.touch()
        return 0, "image 1 1", ""

    begin(log, "restore", waiting_for(removed))
    restore_job.end(tmp_path, host(run))
    assert not log.at_work()
    # Its own clean-up may have been what was ended.
    assert any(line.endswith("rm -rf /var/lib/postgresql/17/restored") for line in asked)
    # Nothing is at work any more: the container of a copy that somebody uses stays.
    removed.unlink()
    restore_job.end(tmp_path, host(run))
    assert not removed.exists()


def test_a_dead_runs_restore_that_does_not_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_job, "_ENDS_WITHIN", 0.1)
    go, log = tmp_path / "go", Log(tmp_path / "state/restore.jsonl")
    begin(log, "restore", waiting_for(go))
    with pytest.raises(SlipwayError, match="does not end") as refused:
        restore_job.end(tmp_path, host(lambda _argv: (0, "", "")))
    assert f"{log.path} (`fuser` tells which)" in refused.value.remedy
    go.touch()
    until(lambda: not log.at_work())


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("536870912\t/var/lib/postgresql/17/restored\n", "50 %"),
        # Files that are made larger than they were count as whole.
        ("2147483648\t/var/lib/postgresql/17/restored\n", "100 %"),
        ("2026-11-28 18:00:01 UTC LOG:  starting point-in-time recovery\n", ""),
        (
            '2026-11-28 18:00:01 UTC LOG:  restored log file "000000010000000000000003" from archive\n'
            '2026-11-28 18:00:02 UTC LOG:  restored log file "000000010000000000000004" from archive\n'
            "2026-11-28 18:00:02 UTC LOG:  consistent recovery state reached\n",
            "replayed 000000010000000000000004",
        ),
        ("", ""),
    ],
)
def test_a_restore_tells_how_far_it_is(out: str, told: str) -> None:
    assert host(lambda _argv: (0, out, "")).progress(1 << 30) == told
