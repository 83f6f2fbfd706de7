"""The program that ends a primary whose Patroni hangs: when it does, and where it is at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fence
import pytest
import yaml
from whole_stack import rendered, stack


def fenced_at(answers: Sequence[tuple[float, bool]]) -> float | None:
    silence = fence.Silence(limit=8)
    return next((at for at, works in answers if silence.over(works, at)), None)


@pytest.mark.parametrize(
    ("answers", "at"),
    [
        pytest.param([(n * 2.0, True) for n in range(20)], None, id="one-that-works"),
        pytest.param([(2, True), (4, False), (6, False), (8, False), (10, False)], 10, id="one-that-hangs"),
        pytest.param(
            [(2, True), (4, False), (6, False), (8, False), (9, True), (11, False), (13, False)],
            None,
            id="one-that-is-slow",
        ),
        # Nothing ran meanwhile, this program neither.
        pytest.param([(2, True), (62, False), (62.5, True)], None, id="a-machine-that-stood-still"),
        pytest.param([(n * 2.0, False) for n in range(20)], None, id="one-that-waits-for-etcd"),
    ],
)
def test_silence_that_lasts_ends_a_primary(answers: Sequence[tuple[float, bool]], at: float | None) -> None:
    assert fenced_at(answers) == at


def test_it_is_over_before_the_key_can_expire(tmp_path: Path) -> None:
    settings = tmp_path / "dynamic.json"
    settings.write_text(rendered(stack(3))["config/postgres/dynamic.json"])
    told = yaml.safe_load(settings.read_text())
    # The key may have been renewed a whole round before Patroni last answered; the slowest look comes on top.
    slowest = fence.PATIENCE + fence.AGAIN
    assert fence.limit(settings) + slowest <= told["ttl"] - told["loop_wait"]
    assert fence.limit(settings) >= fence.ATTEMPTS * slowest


# What PostgreSQL writes: its process, data, start, port, socket, address, memory, status.
PID = "63\n/var/lib/postgresql/17/main\n1795875820\n5432\n/run/postgresql\n0.0.0.0\n  5432001     32768\n{}\n"


@pytest.mark.parametrize(
    ("status", "standby", "serves"),
    [
        ("ready   ", False, True),
        ("ready   ", True, False),
        ("stopping", False, False),
        ("starting", False, False),
    ],
)
def test_only_a_primary_that_serves_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, standby: bool, serves: bool
) -> None:
    monkeypatch.setattr(fence, "DATA", tmp_path)
    assert not fence.serves()
    (tmp_path / "postmaster.pid").write_text(PID.format(status))
    if standby:
        (tmp_path / "standby.signal").touch()
    assert fence.serves() == serves


def test_a_member_is_fenced_where_another_could_take_its_place() -> None:
    for members, there in ((1, False), (2, True), (3, True)):
        tree = rendered(stack(members))
        postgres = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]["postgres"]
        assert ("fence.py" in str(postgres["command"])) == there
        assert ("config/postgres/fence.py" in tree) == there
        assert "exec patroni" in postgres["command"][-1] or postgres["command"][0] == "patroni"
