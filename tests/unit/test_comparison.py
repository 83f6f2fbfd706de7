"""What the comparison counts, and how it tells it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from comparison_files import balancer_yml, nginx_conf, web_yml
from comparison_report import document, markdown
from reckoning import LAST_ANSWERS, Answer, ComparisonError, Floor, Move, Row, Starts, reckon

MOVE = Move("a way", "release", "a", "b", begun=100.0, ended=103.0, settled=104.0)


def answers(*more: Answer, last: str = "b") -> list[Answer]:
    """Old answers before the command and 2 s into it, new ones from then on."""
    before = [Answer(at, 0.01, "GET", "a", "") for at in (99.0, 101.0, 102.0)]
    after = [Answer(104.1 + number / 100, 0.01, "GET", last, "") for number in range(LAST_ANSWERS)]
    return [*after, *before, *more]


def silent_at_the_end() -> list[Answer]:
    early = [Answer(103.0 + number / 100, 0.01, "GET", "b", "") for number in range(LAST_ANSWERS)]
    return [Answer(99.0, 0.01, "GET", "a", ""), *early]


def row(**changes: Any) -> Row:
    facts = {
        "way": "a way",
        "what": "release",
        "seconds": 4.0,
        "command": 3.0,
        "floor": 2.0,
        "last_old": 2.0,
        "sent": 23,
        "failed": 0,
        "failed_by_method": {},
        "slowest": 0.01,
        "failures": [],
    }
    return Row(**{**facts, **changes})


def test_a_move_is_measured_from_its_command_on() -> None:
    assert reckon(MOVE, answers(), floor=2.0) == row()


def test_what_failed_is_counted_by_method_and_told_once() -> None:
    failed = [Answer(102.5, 3.0, "POST", "", "502 of no replica")] * 2 + [
        Answer(102.6, 0.1, "GET", "", "no answer: ConnectionResetError")
    ]
    found = reckon(MOVE, answers(*failed), floor=2.0)
    assert (found.failed, found.failed_by_method, found.slowest) == (3, {"POST": 2, "GET": 1}, 3.0)
    assert found.failures == ["GET: no answer: ConnectionResetError", "POST: 502 of no replica"]
    assert found.sent == len(answers()) + 3


def test_a_bad_answer_of_the_old_release_is_not_its_last() -> None:
    late = Answer(103.9, 0.1, "GET", "a", "500")
    assert reckon(MOVE, answers(late), floor=2.0).last_old == pytest.approx(2.0)


def test_an_old_answer_after_the_end_of_the_command_is_seen() -> None:
    assert reckon(MOVE, answers(Answer(104.05, 0.1, "GET", "a", "")), 2.0).last_old == pytest.approx(4.05)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(answers(last="a"), "b does not serve alone", id="nothing-moved"),
        pytest.param(answers()[1:], "b does not serve alone", id="too-few-answers-at-the-end"),
        pytest.param(silent_at_the_end(), "b does not serve alone", id="silence-at-the-end"),
        pytest.param(
            answers(Answer(105.0, 0.1, "GET", "a", "")), "b does not serve alone", id="not-all-moved"
        ),
        pytest.param(
            answers(Answer(101.0, 0.1, "GET", "c", "")), "c answered, too", id="somebody-else-deployed"
        ),
        pytest.param(answers()[:LAST_ANSWERS], "a did not serve before", id="nothing-to-move-from"),
    ],
)
def test_a_move_that_did_not_happen_has_no_figures(found: list[Answer], said: str) -> None:
    with pytest.raises(ComparisonError, match=said):
        reckon(MOVE, found, floor=2.0)


def test_a_floor_is_rounds_of_starts_and_chosen_pauses() -> None:
    starts = Starts(alone=1.5, together=2.5)
    assert Floor(alone=3).seconds(starts) == 4.5
    assert Floor(together=1, pauses=16).seconds(starts) == 18.5
    assert Floor().seconds(starts) == 0


def test_the_table_says_what_failed_and_what_has_no_floor() -> None:
    rows = [row(failed=3, failed_by_method={"POST": 2, "GET": 1}), row(what="rollback", floor=0.0)]
    lines = markdown(rows, {"swarm": "No manager"}).splitlines()
    assert lines[2] == "| a way | release | 4.0 | 3.0 | 2.0 | 2.0 | 2.0 | 3 / 23 (1 GET, 2 POST) | 0.01 |"
    assert lines[3] == "| a way | rollback | 4.0 | 3.0 | 0.0 | - | 2.0 | 0 / 23 | 0.01 |"
    assert lines[4:] == ["", "Not measured: swarm. No manager"]
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_the_document_has_ratios_and_what_was_left_out() -> None:
    told = document([row()], {"swarm": "No manager"}, {"hosts": 3})
    assert told["rows"][0]["ratio"] == 2.0
    assert (told["conditions"], told["left_out"]) == ({"hosts": 3}, {"swarm": "No manager"})


def test_all_hosts_stand_behind_nginx() -> None:
    conf = nginx_conf(["192.0.2.1", "192.0.2.2"])
    assert "server 192.0.2.1:18081;\n        server 192.0.2.2:18081;" in conf
    assert conf.count("{") == conf.count("}")


def test_compose_files_carry_the_label_by_which_they_are_removed() -> None:
    web = yaml.safe_load(web_yml("example.com/web@sha256:1", "release-b"))
    assert web["services"]["web"]["environment"] == {"WAYFARE_VERSION": "release-b"}
    for text in (web_yml("image", "release-a"), balancer_yml("image")):
        told = yaml.safe_load(text)
        (service,) = told["services"].values()
        assert service["labels"] == told["networks"]["default"]["labels"] == {"io.slipway.compare": "yes"}
