"""A write ledger: what an answer means, what a file tells, what is lost, how long writes were interrupted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.drill import ledger_file, ledger_report
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger import (
    ACKNOWLEDGED,
    NOT_SENT,
    REFUSED,
    UNKNOWN,
    Row,
    Write,
    fate,
    prove,
    read,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError

HEAD = {"event": "begun", "at": 100.0, "run": "r1", "session": "s=1"}


def acknowledged(seq, at, tries=1):
    return {"event": "acknowledged", "at": at, "seq": seq, "row": f"row-{seq}", "tries": tries}


def answered(*moments):
    return [{"event": "read", "at": at} for at in moments]


def mark(at, text):
    return {"event": "mark", "at": at, "text": text}


def ledger(*events, ended=103.0, reads=1.5):
    return read([HEAD | {"reads": reads}, *events, {"event": "ended", "at": ended}])


def row(seq, run="r1"):
    write = Write(run, seq)
    return Row(f"row-{seq}", write.mark, write.key)


THREE = ledger(acknowledged(0, 100.5), acknowledged(1, 101.0), acknowledged(2, 102.5, tries=3))


@pytest.mark.parametrize(
    ("status", "expected"),
    [(201, ACKNOWLEDGED), (200, ACKNOWLEDGED), (429, NOT_SENT), (409, REFUSED), (422, REFUSED)]
    + [(status, UNKNOWN) for status in (500, 502, 503, 504, 408, 302)],
)
def test_only_a_refusal_and_a_rate_limit_say_that_nothing_was_written(status, expected):
    assert fate(status) == expected


def test_all_that_was_acknowledged_is_there_once():
    proof = prove(THREE, [row(2), row(0), row(1)])
    assert proof.present == (0, 1, 2)
    assert proof.ok


def test_what_was_acknowledged_and_is_not_there_is_lost():
    proof = prove(THREE, [row(0), row(2)])
    assert (proof.lost, proof.ok) == ((1,), False)


def test_two_rows_of_one_write_are_a_duplicate_whatever_their_keys():
    proof = prove(THREE, [row(0), row(1), row(2), replace(row(1), id="other", key="another-key")])
    assert (proof.duplicated, proof.present, proof.ok) == ((1,), (0, 2), False)


def test_a_duplicate_of_a_write_that_was_given_up_is_one_all_the_same():
    proof = prove(THREE, [row(0), row(1), row(2), row(7), replace(row(7), id="other")])
    assert (proof.duplicated, proof.ok) == ((7,), False)


def test_a_row_with_another_id_was_lost_and_made_anew():
    proof = prove(THREE, [row(0), replace(row(1), id="made-anew"), row(2)])
    assert (proof.altered, proof.lost, proof.ok) == ((1,), (), False)


def test_a_write_of_unknown_fate_may_be_there():
    proof = prove(THREE, [row(0), row(1), row(2), row(3)])
    assert (proof.unacknowledged, proof.ok) == ((3,), True)


def test_rows_of_another_run_in_the_same_session_are_not_counted():
    others = [row(5, run="r11"), Row("x", "Ada L.", "k")]
    assert prove(THREE, [row(0), row(1), row(2), *others]).unacknowledged == ()


def test_gaps_are_counted_from_the_begin_to_the_end():
    found = ledger(acknowledged(0, 101.5), acknowledged(1, 102.0), ended=105.0)
    assert [gap.seconds for gap in ledger_report.gaps(found)] == [1.5, 3.0]


def test_a_fault_is_over_with_the_last_gap_before_the_next():
    marks = [mark(101.0, "killed"), mark(110.0, "cut off")]
    times = (101.2, 104.0, 104.5, 107.0, 107.5, 108.0, 109.0, 109.9, 115.0, 115.5)
    writes = [acknowledged(seq, at) for seq, at in enumerate(times)]
    found = ledger(*writes, *marks, ended=116.0)
    told = ledger_report.recoveries(found, ledger_report.gaps(found))
    assert [(it.fault, it.seconds) for it in told] == [("killed", 6.0), ("cut off", 5.0)]


def test_what_interrupts_writes_that_had_been_back_for_long_is_no_part_of_it():
    times = [101.2, 105.0, 106.0, 108.5, *(109.0 + second for second in range(20)), 130.0]
    found = ledger(*(acknowledged(seq, at) for seq, at in enumerate(times)), mark(101.0, "lost"), ended=130.5)
    (told,) = ledger_report.recoveries(found, ledger_report.gaps(found))
    assert told.seconds == 7.5


def test_a_fault_that_interrupts_nothing_takes_no_time():
    found = ledger(acknowledged(0, 100.5), mark(101.0, "etcd"), acknowledged(1, 101.2), ended=102.0)
    (told,) = ledger_report.recoveries(found, ledger_report.gaps(found))
    assert told.seconds == 0.0


def test_writes_that_never_came_back_have_no_recovery_time():
    found = ledger(acknowledged(0, 100.5), mark(101.0, "all down"), ended=160.0)
    figures = ledger_report.report(found, None)
    assert figures["faults"][0]["rto"] is None
    assert "all down at 1970-01-01T00:01:41.000Z: writes did not come back" in ledger_report.sentences(
        figures
    )


def test_the_report_counts_and_names_what_was_sent_again():
    again = [{"event": "again", "at": 100.7, "seq": 1, "fate": UNKNOWN, "why": "timed out"}] * 2
    found = ledger(acknowledged(0, 100.5), *again, acknowledged(1, 102.9, tries=3))
    figures = ledger_report.report(found, prove(found, [row(0)]))
    assert figures["retries"] == {"unknown: timed out": 2}
    assert (figures["acknowledged"], figures["first_try"], figures["longest_gap"]) == (2, 1, 2.4)
    assert (figures["ok"], figures["lost_writes"], figures["rpo"]) == (False, [1], 0.0)
    assert any("1 LOST" in line for line in ledger_report.sentences(figures))
    json.dumps(figures)


def test_reads_have_gaps_of_their_own_and_reasons():
    failed = {"event": "read failed", "at": 102.0, "path": "/api/places", "why": "status 503"}
    found = ledger(acknowledged(0, 100.5), *answered(100.4, 101.0, 104.5, 105.0), failed, failed, ended=105.5)
    figures = ledger_report.report(found, None)
    assert (figures["reads"], figures["reads_failed"]) == (4, {"status 503": 2})
    assert (figures["longest_read_gap"], figures["longest_read_gap_at"]) == (3.5, "1970-01-01T00:01:41.000Z")
    assert (figures["longest_gap"], figures["reads_back"]) == (5.0, True)
    told = "4 reads answered, 2 failed (2 x status 503), 3.50 s without one, at 1970-01-01T00:01:41.000Z"
    assert told in ledger_report.sentences(figures)
    json.dumps(figures)


def test_reads_that_end_before_the_ledger_did_not_come_back():
    figures = ledger_report.report(ledger(*answered(100.5, 101.0), ended=110.0), None)
    assert (figures["reads_back"], figures["longest_read_gap"]) == (False, 9.0)
    assert ledger_report.reading(figures).endswith(": THEY DID NOT COME BACK")


def test_where_nobody_read_nothing_is_said_of_reads():
    figures = ledger_report.report(ledger(acknowledged(0, 100.5), reads=0), None)
    assert (figures["reads"], figures["longest_read_gap"], figures["read_gaps"]) == (None, 0.0, [])
    assert not any("reads" in line for line in ledger_report.sentences(figures))


def test_lost_data_reach_from_the_first_lost_acknowledgement_to_the_last():
    assert ledger_report.data_lost(THREE, prove(THREE, [row(1)])) == 2.0


def test_a_ledger_of_nothing_proves_nothing():
    empty = ledger()
    assert ledger_report.report(empty, prove(empty, []))["ok"] is False


def test_a_file_is_written_read_marked_and_never_mixed(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with ledger_file.LedgerFile(path) as file:
        file.durably("begun", run="r1", session="s=1")
        ledger_file.mark(path, "killed")
        file.durably("acknowledged", seq=0, row="row-0", tries=1)
    assert path.stat().st_mode & 0o777 == 0o600
    found = read(ledger_file.events(path))
    assert [it.seq for it in found.acknowledged] == [0]
    assert [text for _at, text in found.marks] == ["killed"]
    with pytest.raises(SlipwayError, match="exists"):
        ledger_file.LedgerFile(path)


def test_a_last_line_that_a_crash_cut_short_counts_for_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(HEAD) + "\n" + json.dumps(acknowledged(0, 101.0)) + "\n" + '{"event": "ackn')
    assert len(read(ledger_file.events(path)).acknowledged) == 1


def test_a_line_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(HEAD) + "\nrubbish\n" + json.dumps(acknowledged(0, 101.0)) + "\n")
    with pytest.raises(SlipwayError, match="line 2"):
        read(ledger_file.events(path))


def test_a_file_without_a_head_is_no_ledger():
    with pytest.raises(SlipwayError, match="no head"):
        read([acknowledged(0, 1.0)])
