"""A database copied from one cluster's backup into another cluster, masked on the way, by real PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
    Settings,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import process as run
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care import clone_source
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.clone_names import (
    before,
    beside,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.clone_source import Copy, Source
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.clone_target import (
    Target,
    follow,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.member import patience
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from backup_cluster import Cluster, declared, docker, in_memory
from images import newest
from side_by_side import own_subnet

pytestmark = pytest.mark.by_hand
Background = Callable[[Callable[[], None]], Any]
Until = Callable[[Callable[[], bool]], None]

CANARY = "canary.7f3a@private.example"
RULES = {
    "people": {
        "email": "fake_email",
        "name": "fake_name",
        "login": "hash",
        "born": "empty",
        "about": "empty",
    },
    "orders": {"login": "hash", "note": "keep", "currency": "public", "lines": "keep", "token": "hash"},
}
SHOP = """
CREATE TABLE people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, login text NOT NULL UNIQUE, email varchar(60) UNIQUE,
    name text NOT NULL, born date, about jsonb NOT NULL DEFAULT '{}',
    initial text GENERATED ALWAYS AS (left(name, 1)) STORED);
CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), login text NOT NULL REFERENCES people (login),
    note text, currency char(3) NOT NULL DEFAULT 'EUR', lines jsonb NOT NULL DEFAULT '[]',
    token uuid NOT NULL, at timestamptz NOT NULL DEFAULT now()) PARTITION BY HASH (id);
CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO people (login, email, name, born, about)
    SELECT 'login-' || n, 'person' || n || '@private.example', 'Person Number' || n, date '1990-01-01' + n,
        jsonb_build_object('mother', 'Mother of ' || n) FROM generate_series(1, 500) AS n;
UPDATE people SET email = 'CANARY' WHERE id = 7;
UPDATE people SET email = NULL WHERE id = 8;
INSERT INTO orders (login, note, token) SELECT 'login-' || (1 + n % 500), 'parcel ' || n, gen_random_uuid()
    FROM generate_series(1, 2000) AS n;
""".replace("CANARY", CANARY)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(1), tmp_path_factory.mktemp("source")) as made:
        made.sql("CREATE ROLE shop LOGIN")
        made.sql("CREATE DATABASE shop OWNER shop")
        made.sql(f"SET ROLE shop; {SHOP}", "shop")
        yield made


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(declared(2, own_subnet(87)), tmp_path_factory.mktemp("target"))
    made.name = f"{made.name}-target"
    try:
        made.start()
        made.sql("CREATE ROLE shop LOGIN")
        made.sql("CREATE ROLE reader LOGIN")
        made.sql("CREATE DATABASE shop OWNER shop")
        made.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO reader")
        made.sql("ALTER DATABASE shop SET work_mem = '7MB'")
        made.sql("SET ROLE shop; CREATE TABLE was_here (id int); INSERT INTO was_here VALUES (1)", "shop")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def repository(source: Cluster) -> Repository:
    path = source.folder / "h2/config/backup-repository/settings.json"
    made = Repository(run, source.repository, source.stack.name)
    made.ensure(Settings.parse(json.loads(path.read_text())).members)
    made.take(FULL, 1)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path


def copied(repository: Repository, root: Path, rules: Any = None) -> tuple[Copy, list[str]]:
    said: list[str] = []
    # What was written since the backup is in the WAL.
    made = Source(repository, root, said.append, volume_options=tuple(in_memory(999)))
    (copy,) = made.copy({"shop": rules or RULES})
    return copy, said


def arrive(target: Cluster, copy: Copy, keep: bool = True) -> str:
    place = at(target)
    said = place.restore(Path(copy.path), clone_source.told([copy])[0])
    place.swap(patience(60), keep=keep)
    other = 3 - target.leader()
    follow(Psql(run, target.container("postgres", other)), ["shop"], patience(60))
    return said


def at(target: Cluster) -> Target:
    return Target(run, Psql(run, target.container("postgres", target.leader())), "shop")


def nothing_left(repository: Repository, root: Path) -> None:
    for what in ("ps --all", "volume ls"):
        name = "{{.Name}}" if what.startswith("volume") else "{{.Names}}"
        listed = docker(*what.split(), "--format", name, "--filter", f"name={repository.container}-clone")
        assert listed.split() == []
    assert list((root / "state/clone").glob("*")) == []


def test_a_copy_arrives_masked_and_whole_and_nothing_of_it_stays_behind(
    source: Cluster, target: Cluster, repository: Repository, root: Path
) -> None:
    source.archived()
    copy, said = copied(repository, root)
    assert copy.rows == {"people": 500, "orders": 2000}
    assert Path(copy.path).stat().st_mode & 0o777 == 0o600
    assert any("no value of 7 masked columns" in line for line in said), said

    assert arrive(target, copy) == "shop: 2500 rows in 2 tables"
    # Nothing that was masked, in any column.
    everything = target.sql("SELECT p::text FROM people p; SELECT o::text FROM orders o", "shop")
    assert len(everything.splitlines()) == 2500
    for original in (CANARY, "private.example", "Person Number", "login-", "Mother"):
        assert original not in everything
    assert "parcel 1999" in everything
    # Joins hold, what was different is, and what was nothing is nothing.
    assert target.sql("SELECT count(*) FROM orders JOIN people USING (login)", "shop") == "2000"
    assert target.sql("SELECT count(DISTINCT login), count(DISTINCT email) FROM people", "shop") == "500|499"
    assert target.sql("SELECT count(DISTINCT token) FROM orders", "shop") == "2000"
    assert target.sql("SELECT count(*) FROM people WHERE born IS NULL AND about = '{}'", "shop") == "500"
    name, email, initial = target.sql("SELECT name, email, initial FROM people WHERE id = 7", "shop").split(
        "|"
    )
    assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+ [0-9a-f]{8}", name)
    assert re.fullmatch(r"user-[0-9a-f]{20}@example\.invalid", email)
    assert initial == name[0]
    # Its owner owns it, with the rights and settings that its predecessor had.
    assert target.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'people'", "shop") == "shop"
    assert target.sql("SHOW work_mem", "shop") == "7MB"
    assert target.sql("SELECT has_database_privilege('reader', 'shop', 'CONNECT')") == "t"
    assert target.sql("SELECT count(*) FROM was_here", before("shop")) == "1"
    Path(copy.path).unlink()
    nothing_left(repository, root)


def test_a_column_of_which_nobody_has_thought_stops_it(
    source: Cluster, repository: Repository, root: Path
) -> None:
    source.sql("SET ROLE shop; ALTER TABLE people ADD COLUMN phone text", "shop")
    source.sql(f"UPDATE people SET phone = '{CANARY}' WHERE id = 7", "shop")
    try:
        source.archived()
        with pytest.raises(SlipwayError, match=r"masking:\n  people:\n    phone: empty  # text"):
            copied(repository, root)
        nothing_left(repository, root)
    finally:
        source.sql("ALTER TABLE people DROP COLUMN phone", "shop")
        source.archived()


def test_one_that_was_broken_off_is_made_again(
    target: Cluster, repository: Repository, root: Path, background: Background, until: Until
) -> None:
    # Killed while it masked: its container and volume are there, and a dump.
    left = f"{repository.container}-clone"
    docker("volume", "create", *in_memory(999), left)
    docker("run", "--detach", "--name", left, f"--volume={left}:/x", newest("postgres"), "sleep", "600")
    (root / "state/clone").mkdir()
    (root / "state/clone/old.dump").write_text("x")
    logins = target.sql("SELECT min(login), max(login) FROM people", "shop")
    copy, _said = copied(repository, root)
    assert [it.name for it in (root / "state/clone").iterdir()] == ["shop.dump"]

    # Killed while it was restored: half of it is there.
    target.sql(f"CREATE DATABASE {beside('shop')} OWNER shop")
    target.sql("CREATE TABLE people (id int)", beside("shop"))
    target.sql("CREATE TABLE IF NOT EXISTS since (id int)", "shop")
    arrive(target, copy)
    assert target.sql("SELECT count(*) FROM people", "shop") == "500"
    assert target.sql("SELECT count(*) FROM since", before("shop")) == "0"
    # Another salt: what two copies have of the same person cannot be joined.
    assert target.sql("SELECT min(login), max(login) FROM people", "shop") != logins

    told = clone_source.told([copy])[0]
    with pytest.raises(SlipwayError, match=r"not whole: orders has 2000 rows of 2001"):
        at(target).restore(Path(copy.path), {**told, "rows": {"people": 500, "orders": 2001}})
    assert target.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{beside('shop')}'") == "0"

    swapped_under_readers(target, copy, background, until)
    names = "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname ~ 'shop'"
    assert target.sql(names) == "shop"

    with Path(copy.path).open("ab") as file:
        file.write(b"x")
    with pytest.raises(SlipwayError, match="damaged on its way"):
        at(target).restore(Path(copy.path), told)
    Path(copy.path).unlink()
    nothing_left(repository, root)


def swapped_under_readers(target: Cluster, copy: Copy, background: Background, until: Until) -> None:
    """Readers that reconnect for ever, as a pool does, see the old data or the new, never none."""
    place = at(target)
    place.restore(Path(copy.path), clone_source.told([copy])[0])
    target.sql("CREATE TABLE IF NOT EXISTS marker (id int)", "shop")
    stop, seen = list[bool](), set[str]()
    ask = ["docker", "exec", target.container("postgres", target.leader()), "psql", "-U", "postgres"]
    which = "SELECT coalesce(to_regclass('marker')::text, 'new'), pg_sleep(0.2)"

    def read() -> None:
        while not stop:
            code, out, err = run([*ask, "-XAtqd", "shop", "-c", which])
            seen.add(out.split("|")[0] if not code else "ended" if "terminating" in err else err)

    threads = [background(read)[0] for _reader in range(3)]
    until(lambda: "marker" in seen)
    place.swap(patience(60), keep=False)
    until(lambda: "new" in seen)
    stop.append(True)
    for thread in threads:
        thread.join()
    assert seen <= {"marker", "new", "ended"}
