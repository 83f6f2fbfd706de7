"""Dashboards draw a line where a run began, and know what became of it."""

from __future__ import annotations

from ansible_collections.slipway.compose.plugins.module_utils._core.history.record import Record
from ansible_collections.slipway.compose.plugins.module_utils._core.history.release_marker import marker

RUN = Record("20261122T141502-3f2a9c", "2026-11-22T14:15:02Z", "ann", "laptop", release="3f2a9c0d1e5b")
BEGUN = (
    'slipway_run_begun_timestamp_seconds{what="deploy",release="3f2a9c0d1e5b",run="20261122T141502-3f2a9c"}'
    " 1795356902"
)


def samples(record):
    return [line for line in marker(record).splitlines() if not line.startswith("#")]


def test_a_run_that_goes_on_has_begun():
    assert samples(RUN) == [BEGUN]


def test_a_run_that_has_ended_says_how():
    ended = Record.from_dict({**RUN.to_dict(), "ended": "2026-11-22T14:16:02Z", "outcome": "rolled_back"})
    begun, last = samples(ended)
    assert begun == BEGUN
    assert last.startswith("slipway_run_ended_timestamp_seconds{") and last.endswith(" 1795356962")
    assert 'outcome="rolled_back"' in last
