"""What a cluster begins with, and which hosts a rebuild may touch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.rebuild import (
    UNDER_WAY,
    bootstrap,
    make_sure_it_is_bare,
    reached,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from whole_stack import rendered, stack, with_backup

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
COMMAND = "pgbackrest --config=/backup/pgbackrest.conf --stanza=shop"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param({}, "", id="a-deployment-begins-empty"),
        pytest.param({"to": "latest"}, f"{COMMAND} --repo=1 --type=default restore", id="newest"),
        pytest.param(
            {"to": "2026-11-26T21:15:05+01:00", "repository": 2},
            f"{COMMAND} --repo=2 --type=time '--target=2026-11-26 20:15:05.000000+00' "
            "--target-action=promote restore",
            id="a-moment-from-elsewhere",
        ),
        pytest.param(
            {"to": "20261126-020412F"},
            f"{COMMAND} --repo=1 --set=20261126-020412F --type=immediate --target-action=promote restore",
            id="a-backup",
        ),
    ],
)
def test_a_cluster_begins_with_what_was_asked_for(wanted: dict[str, object], expected: str) -> None:
    assert bootstrap("shop", wanted, 2, NOW) == expected


@pytest.mark.parametrize(
    ("wanted", "repositories", "problem"),
    [
        ({"to": "latest", "repository": 2}, 1, "repository is 2, and the stack has 1"),
        ({"to": "latest"}, 0, "repository is 1, and the stack has 0"),
        ({"to": "yesterday"}, 1, "'yesterday' names no moment"),
    ],
)
def test_what_cannot_be_is_refused(wanted: dict[str, object], repositories: int, problem: str) -> None:
    with pytest.raises(SlipwayError, match=problem):
        bootstrap("shop", wanted, repositories, NOW)


def test_patroni_is_told_once_and_keeps_how_recovery_goes_on() -> None:
    def told(command: str) -> dict[str, object]:
        tree = rendered(with_backup(stack(3)), bootstrap=command)
        assert ("config/host/from_backup" in tree) == bool(command)
        assert tree["config/postgres/rebuild.sh"].endswith(f"\nexec {command or 'false'}\n")
        return dict(yaml.safe_load(tree["config/postgres/patroni.yml"])["bootstrap"])

    assert told("pgbackrest '--target=a b' restore")["method"] == "backup"
    assert told("pgbackrest '--target=a b' restore")["backup"] == {
        "command": "/config/rebuild.sh",
        "no_params": True,
        "keep_existing_recovery_conf": True,
    }
    assert "method" not in told("")


def engine(volumes: str, code: int = 0, leads: int = 22) -> object:
    """leads: what the question whether this host's member leads ends with."""

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if argv[:2] == ["docker", "exec"]:
            return leads, "", ""
        return code, volumes, "Cannot connect to the Docker daemon" if code else ""

    return run


@pytest.mark.parametrize(
    "volumes", ["", "shop_registry\nother_postgres\n"], ids=["no-engine-or-none", "nothing-of-a-cluster"]
)
def test_a_bare_host_is_taken(volumes: str, tmp_path: Path) -> None:
    make_sure_it_is_bare(engine(volumes), "shop", tmp_path)


def test_a_host_with_a_cluster_is_refused_unless_a_rebuild_has_left_it(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="holds a cluster already .volume shop_postgres."):
        make_sure_it_is_bare(engine("shop_postgres\n"), "shop", tmp_path)
    (tmp_path / UNDER_WAY).parent.mkdir(parents=True)
    (tmp_path / UNDER_WAY).touch()
    make_sure_it_is_bare(engine("shop_postgres\n"), "shop", tmp_path)


def test_a_rebuild_whose_databases_are_led_restores_nothing_again(tmp_path: Path) -> None:
    (tmp_path / UNDER_WAY).parent.mkdir(parents=True)
    (tmp_path / UNDER_WAY).touch()
    with pytest.raises(SlipwayError, match="were restored already"):
        make_sure_it_is_bare(engine("shop_postgres\n", leads=0), "shop", tmp_path)


def test_an_engine_that_does_not_answer_says_nothing_of_its_host(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="Cannot connect"):
        make_sure_it_is_bare(engine("", 1), "shop", tmp_path)


def test_how_far_it_came_is_read_where_it_was_restored() -> None:
    line = "2026-11-28 02:55:28.729 UTC [38] LOG:  last completed transaction was at log time {} \n"
    moment = "2026-11-28 02:55:20.23084+00"
    assert reached(engine(line.format("2026-11-27 01:00:00+00") + line.format(moment)), "c") == moment
    assert reached(engine("nothing of it"), "c") == ""
