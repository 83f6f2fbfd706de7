"""How a job is followed from the control node: shown, repeated where its host is silent, and judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.plugin_utils import job_action
from ansible_collections.slipway.compose.plugins.plugin_utils.job_action import JobAction

KILLED = SlipwayError("the restore was killed", "Run this again")


class Following(JobAction):
    """A seat whose module answers as told, in this order."""

    def __init__(self, *answers: Any) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self.shown: list[str] = []
        self.known: list[int] = []
        self._display = SimpleNamespace(display=self.shown.append)

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def module(self, arguments: Mapping[str, Any], _task_vars: Mapping[str, Any]) -> Any:
        self.known.append(arguments["lines"])
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def told(*events: Mapping[str, Any], progress: str = "", going_on: bool = True) -> dict[str, Any]:
    return {"events": list(events), "going_on": going_on, "progress": progress}


ENDED = told(going_on=False)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_action, "_AGAIN_AFTER", 0)


def test_what_it_says_and_how_far_it_is_are_shown_once() -> None:
    seat = Following(
        told({"say": "restore begins"}),
        told(progress="41 %"),
        told(progress="41 %"),
        told({"say": "the files are there"}, {"done": {"newest": "now"}}, going_on=False),
        ENDED,
    )
    steps, last = seat.follow({"state": "followed"}, {}, KILLED)
    assert steps == ["restore begins", "the files are there"]
    assert last == {"done": {"newest": "now"}}
    assert seat.shown == ["  restore begins", "  41 %", "  the files are there"]
    assert seat.known == [0, 1, 1, 1, 3]


def test_a_host_that_is_silent_for_a_moment_is_asked_again() -> None:
    lost = AnsibleConnectionFailure("no route to host")
    seat = Following(told({"say": "restore begins"}), lost, lost, told({"done": {}}, going_on=False), ENDED)
    assert seat.follow({}, {}, KILLED) == (["restore begins"], {"done": {}})
    assert seat.known == [0, 1, 1, 1, 2]


def test_a_host_that_stays_silent_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_action, "SILENT_AT_MOST", 0)
    with pytest.raises(AnsibleConnectionFailure, match="no route to host"):
        Following(*[AnsibleConnectionFailure("no route to host")] * 9).follow({}, {}, KILLED)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            [told({"problem": "it is full", "remedy": "Make room"}, going_on=False), ENDED],
            "full. Make room",
        ),
        ([told({"say": "restore begins"}), ENDED], "was killed. Run this again"),
        ([{"problem": "no lock", "remedy": "Start again"}], "no lock. Start again"),
    ],
)
def test_what_went_wrong_is_this_runs_failure(answers: list[Any], expected: str) -> None:
    with pytest.raises(SlipwayError) as refused:
        Following(*answers).follow({}, {}, KILLED)
    assert expected in str(refused.value)


def test_a_module_that_fails_is_this_runs_failure() -> None:
    with pytest.raises(AnsibleActionFail, match="a fault"):
        Following({"failed": True, "msg": "a fault"}).follow({}, {}, KILLED)
