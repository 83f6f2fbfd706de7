"""What a run did is kept, told from several hosts' copies, and read by people and by PostgreSQL."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.history import record_sql
from ansible_collections.slipway.compose.plugins.module_utils._core.history.record import (
    OUTCOMES,
    Record,
    ServicePlan,
    StepReport,
    by_run,
    interrupted,
    merged,
    updated,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.history.record_store import History
from ansible_collections.slipway.compose.plugins.module_utils._core.history.record_text import (
    one_line,
    page,
    table,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import sql
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from ansible_collections.slipway.compose.plugins.modules import release_record
from ansible_collections.slipway.compose.plugins.plugin_utils.source_revision import revision
from hypothesis import given
from hypothesis import strategies as st

BEGUN = Record(
    "20261122T141502-3f2a9c", "2026-11-22T14:15:02Z", "ann", "laptop", release="77aa", previous="66bb"
)
JUDGED = StepReport(
    "judge 10 %",
    "fail",
    "2026-11-22T14:15:10Z",
    "2026-11-22T14:15:40Z",
    "api",
    "h1",
    numbers={"error_rate": 0.123456, "requests": 4210},
)
PULLED = StepReport("pull", "done", "2026-11-22T14:15:05Z", "2026-11-22T14:15:09Z", host="h1")
ENDED = replace(
    BEGUN,
    outcome="rolled_back",
    ended="2026-11-22T14:15:44Z",
    reason="error rate 12 % over 1 %",
    environment="production",
    stack="shop",
    images={"api": "registry/api@sha256:1"},
    services={"api": ServicePlan("canary", ("green 1 replica", "10 %")), "web": ServicePlan("rolling")},
    steps=(PULLED, JUDGED),
)

TEXT = st.text(max_size=8)
STEPS = st.builds(
    StepReport,
    st.sampled_from(["pull", "judge"]),
    TEXT,
    st.sampled_from(["", "2026-11-22T14:15:10Z"]),
    st.sampled_from(["", "2026-11-22T14:15:40Z"]),
    host=st.sampled_from(["h1", "h2"]),
    numbers=st.dictionaries(TEXT, st.integers() | st.floats(allow_nan=False) | TEXT, max_size=2),
)
RECORDS = st.builds(
    lambda outcome, reason, steps, images, plan: replace(
        BEGUN,
        outcome=outcome,
        reason=reason,
        images=images,
        services={"api": ServicePlan("rolling", plan)},
    ).with_steps(steps),
    st.sampled_from(OUTCOMES),
    TEXT,
    st.lists(STEPS, max_size=4),
    st.dictionaries(TEXT, TEXT, max_size=2),
    st.lists(TEXT, max_size=2).map(tuple),
)


@given(RECORDS)
def test_a_record_survives_json(record: Record) -> None:
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_steps_of_one_second_stand_in_the_order_in_which_they_ended() -> None:
    def step(name: str, ended: str, host: str) -> StepReport:
        return StepReport(name, begun="2026-11-22T14:15:07Z", ended=ended, host=host)

    last = step("migrate", "2026-11-22T14:15:09Z", "h1")
    before = step("make api live", "2026-11-22T14:15:07Z", "h3")
    at_work = step("judge", "", "h0")
    record = BEGUN.with_steps((at_work, last, before))
    assert [it.name for it in record.steps] == ["make api live", "migrate", "judge"]


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_copies_become_one_whatever_their_order(copies: list[Record]) -> None:
    assert len({json.dumps(merged(order).to_dict(), sort_keys=True) for order in permutations(copies)}) == 1


@given(RECORDS, RECORDS, RECORDS)
def test_copies_become_one_in_any_grouping(first: Record, second: Record, third: Record) -> None:
    assert merged([merged([first, second]), third]) == merged([first, merged([second, third])])
    assert merged([first, first]) == merged([first])


@pytest.mark.parametrize(
    ("known", "guessed"),
    [
        ("succeeded", "interrupted"),
        ("rolled_back", "interrupted"),
        ("failed", "succeeded"),
        ("interrupted", "running"),
    ],
)
def test_of_two_outcomes_the_one_that_knows_more_is_believed(known: str, guessed: str) -> None:
    assert merged([replace(BEGUN, outcome=guessed), replace(BEGUN, outcome=known)]).outcome == known


def test_the_last_word_about_a_step_replaces_the_first() -> None:
    begun = StepReport("pull", begun=PULLED.begun, host="h1")
    assert BEGUN.with_steps([begun]).with_steps([PULLED]).steps == (PULLED,)
    assert BEGUN.with_steps([JUDGED, PULLED]).steps == (PULLED, JUDGED)


def test_what_is_not_said_again_stays() -> None:
    kept = replace(BEGUN, images={"api": "x"}, steps=(PULLED,))
    news = replace(BEGUN, previous="", outcome="failed", reason="no", steps=(JUDGED,))
    found = updated(kept, news)
    assert (found.previous, found.images, found.outcome) == ("66bb", {"api": "x"}, "failed")
    assert found.steps == (PULLED, JUDGED)
    assert updated(ENDED, BEGUN).outcome == "rolled_back"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"id": "../../etc/passwd"}, "lacks a valid id"),
        ({"begun": ""}, "lacks begun"),
        ({"outcome": "ok"}, "outcome is 'ok'"),
        ({"relase": "1"}, "has no relase. Did you mean release"),
        ({"steps": [{"nam": "x"}]}, "a release step has no nam. Did you mean name"),
    ],
)
def test_what_is_no_record_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(SlipwayError, match=told.replace(".", r"\.")):
        Record.from_dict({**BEGUN.to_dict(), **changes})


class TestHistory:
    def test_a_record_is_kept_and_replaced_by_what_is_known_later(self, tmp_path: Path) -> None:
        history = History(tmp_path)
        history.write(BEGUN)
        assert history.read(BEGUN.id) == BEGUN
        history.write(ENDED)
        assert history.newest(9) == [ENDED]
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"{BEGUN.id}.json"]

    def test_the_newest_are_kept(self, tmp_path: Path) -> None:
        history = History(tmp_path)
        names = [f"202611{day:02d}T141502-3f2a9c" for day in range(1, 8)]
        for name in (names[5], *names[:5], names[6]):
            history.write(replace(BEGUN, id=name), keep=3)
        assert [record.id for record in history.newest(9)] == names[6:3:-1]
        assert [record.id for record in history.newest(2)] == names[6:4:-1]

    def test_a_run_that_never_ended_was_interrupted(self, tmp_path: Path) -> None:
        history = History(tmp_path)
        history.write(replace(BEGUN, steps=(PULLED,)))
        history.write(replace(ENDED, id="20261121T141502-3f2a9c"))
        own = replace(BEGUN, id="20261123T141502-aaaaaa")
        history.write(own)
        closed = history.close_interrupted(own.id)
        reason = 'ended without a word after "pull"; found by run 20261123T141502-aaaaaa'
        assert [(record.id, record.outcome, record.reason) for record in closed] == [
            (BEGUN.id, "interrupted", reason)
        ]
        assert history.read(BEGUN.id) == closed[0] and history.read(own.id) == own
        assert history.close_interrupted(own.id) == []

    def test_what_ran_is_known_only_after_a_run_that_ended_well_with_what_serves(
        self, tmp_path: Path
    ) -> None:
        history = History(tmp_path)
        assert not history.settled(BEGUN.release)
        for outcome, settled in (
            ("running", False),
            ("succeeded", True),
            ("failed", False),
            ("unchanged", True),
            ("interrupted", False),
        ):
            history.write(replace(BEGUN, outcome=outcome))
            assert history.settled(BEGUN.release) is settled
            assert not history.settled("00aa")
        (tmp_path / "20261123T141502-aaaaaa.json").write_text("{")
        assert not history.settled(BEGUN.release), "the last run cannot be read"

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"steps": 1}'])
    def test_a_file_without_its_content_hides_no_other(self, tmp_path: Path, content: str) -> None:
        history = History(tmp_path)
        history.write(BEGUN)
        (tmp_path / "20261123T141502-aaaaaa.json").write_text(content)
        (tmp_path / "note.json").write_text("{}")
        assert history.newest(9) == [BEGUN]
        assert history.read("20261123T141502-aaaaaa") is None

    def test_an_id_is_no_path(self, tmp_path: Path) -> None:
        with pytest.raises(SlipwayError, match="is no id of a release record"):
            History(tmp_path / "history").read("../secret")

    def test_hosts_that_know_a_run_differently_tell_of_one_run(self) -> None:
        other = replace(ENDED, id="20261121T141502-3f2a9c")
        found = by_run([other, interrupted(BEGUN, "x"), ENDED, other])
        assert [record.id for record in found] == [ENDED.id, other.id]
        assert found[0] == ENDED


class TestText:
    def test_a_line_reads_as_a_sentence(self) -> None:
        line = "deploy of 77aa by ann@laptop rolled back after 42 s: error rate 12 % over 1 %"
        assert one_line(ENDED) == line
        assert one_line(BEGUN) == "deploy of 77aa by ann@laptop started"

    def test_a_table_is_aligned_and_a_long_reason_is_cut(self) -> None:
        lines = table([replace(ENDED, reason="x\n" * 200), BEGUN])
        assert lines[0].split()[:2] == ["WHEN", "(UTC)"] and len(lines) == 3
        assert "rolled back  42" in lines[1] and " api " in lines[1] and lines[1].endswith("x…")
        assert lines[2].startswith("2026-11-22 14:15:02  ann@laptop  deploy  77aa")
        assert lines[1].index(ENDED.id) == lines[2].index(BEGUN.id)

    def test_a_page_has_everything(self) -> None:
        text = "\n".join(page(ENDED))
        for part in (
            "outcome           rolled back",
            "previous release  66bb",
            "service api: canary\n  green 1 replica\n  10 %",
            "service web: rolling, unchanged",
            "api: registry/api@sha256:1",
            "14:15:10  14:15:40  api      h1    fail     judge 10 %; error_rate 0.1235, requests 4210",
        ):
            assert part in text


class TestRows:
    def test_a_script_is_one_transaction_that_can_be_sent_again(self) -> None:
        text = record_sql.script([BEGUN, ENDED])
        statements = sql.statements(text)
        assert isinstance(statements, list)
        words = [statement.words[0] for statement in statements]
        assert words[0] == "BEGIN" and words[-1] == "COMMIT" and words.count("INSERT") == 2
        assert text.count("ON CONFLICT (id) DO UPDATE SET environment = EXCLUDED.environment") == 2
        assert "CREATE TABLE IF NOT EXISTS slipway.deployment_logs" in text
        assert "'2026-11-22T14:15:44Z'" in text and "ARRAY['api']::text[]" in text

    @given(st.text(max_size=30))
    def test_no_text_escapes_its_constant(self, text: str) -> None:
        plain = sql.statements(record_sql.script([replace(BEGUN, reason="r", who="w")]))
        found = sql.statements(record_sql.script([replace(BEGUN, reason=f"r{text}", who=f"w{text}")]))
        assert isinstance(plain, list) and isinstance(found, list)
        assert len(found) == len(plain)
        whole = record_sql.script([replace(BEGUN, reason=f"r{text}")])
        assert sql.literal(f"r{text}".replace("\x00", "")) in whole
        assert [statement.words for statement in found] == [statement.words for statement in plain]

    def test_a_nul_reaches_no_database(self) -> None:
        text = record_sql.script([replace(BEGUN, reason="a\x00b", steps=(replace(PULLED, detail="\x00"),))])
        assert "\x00" not in text and "u0000" not in text

    def test_what_is_unknown_is_null(self) -> None:
        assert "'2026-11-22T14:15:02Z', NULL, NULL, 'running', NULL, ARRAY[]::text[]" in record_sql.script(
            [BEGUN]
        )

    def test_a_refusal_of_the_database_is_told(self) -> None:
        def run(_argv: object, stdin: str | None = None) -> tuple[int, str, str]:
            return 3, "", "ERROR:  25006: cannot execute CREATE SCHEMA in a read-only transaction\n"

        with pytest.raises(SlipwayError, match="deployment_logs was not written: cannot execute"):
            record_sql.write(Psql(run, "shop-postgres-1"), [BEGUN])


def test_the_source_revision_says_whether_files_are_changed(tmp_path: Path) -> None:
    assert revision(tmp_path) == ""
    author = "-c user.name=a -c user.email=a@example.com -c commit.gpgsign=false"
    for command in ("init -q", f"{author} commit -q --allow-empty -m one", f"{author} tag -a v1 -m v1"):
        assert os.system(f"git -C {tmp_path} {command}") == 0
    assert revision(tmp_path) == "v1"
    (tmp_path / "file").write_text("")
    assert os.system(f"git -C {tmp_path} add file") == 0
    assert revision(tmp_path) == "v1-dirty"


class TestModule:
    """The module on one host, whose PostgreSQL member gives these answers."""

    @pytest.fixture
    def call(self, tmp_path: Path) -> Callable[..., dict[str, Any]]:
        def call(state: str, record: Record, *answers: tuple[int, str, str]) -> dict[str, Any]:
            left, asked = list(answers), []

            def run_command(_argv: object, data: str = "", **_: object) -> tuple[int, str, str]:
                asked.append(data)
                return left.pop(0)

            database = {"container": "shop-postgres-1" if answers else None, "wait": 0, "patroni": None}
            params = {"state": state, "record": record.to_dict(), **database}
            host = SimpleNamespace(params=params, run_command=run_command, check_mode=False)
            told = release_record.written(host, History(tmp_path / "state/history"), tmp_path)
            assert left == []
            return {**told, "asked": asked}

        return call

    def test_knows_what_was_current_when_the_run_began_also_at_its_end(
        self, call: Callable[..., dict[str, Any]], tmp_path: Path
    ) -> None:
        (tmp_path / "current").symlink_to("releases/55cc")
        began = call("begun", replace(BEGUN, previous=""))
        assert began["record"]["previous"] == "55cc" and not began["changed"]
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to("releases/77aa")
        ended = call("ended", replace(ENDED, previous=""))
        assert (ended["record"]["previous"], ended["record"]["outcome"]) == ("55cc", "rolled_back")

    def test_the_leader_keeps_rows_of_this_run_and_of_those_found_interrupted(
        self, call: Callable[..., dict[str, Any]]
    ) -> None:
        call("begun", BEGUN)
        told = call("begun", replace(BEGUN, id="20261123T141502-aaaaaa"), (0, "leader\n", ""), (0, "", ""))
        assert told["database"] == "written" and len(told["interrupted"]) == 1
        assert told["asked"][1].count("INSERT") == 2

    def test_a_follower_keeps_none(self, call: Callable[..., dict[str, Any]]) -> None:
        assert call("begun", BEGUN, (0, "follower\n", ""))["database"] == ""

    @pytest.mark.parametrize(
        "answers",
        [
            [(1, "", "Error response from daemon: No such container: shop-postgres-1")],
            [(0, "leader\n", ""), (3, "", "ERROR:  53100: could not extend file\n")],
            [(0, "leader\n", ""), (124, "", "")],
            [(0, "undecided\n", "")],
        ],
    )
    def test_a_database_that_does_not_take_it_fails_nothing(
        self, call: Callable[..., dict[str, Any]], answers: list[tuple[int, str, str]], tmp_path: Path
    ) -> None:
        told = call("ended", ENDED, *answers)
        assert told["database"].startswith("not written: ")
        assert History(tmp_path / "state/history").read(ENDED.id) == ENDED
