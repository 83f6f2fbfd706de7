"""A running member takes over the rules of this version and of an earlier one, as releases bring them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_sql import Session
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrations import Migration
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrator import Goal, Migrator
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.member import patience
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import (
    NotAdmittedError,
    Psql,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process as run
from backup_cluster import LIMIT, Cluster, declared, docker

pytestmark = pytest.mark.by_hand
MEMBERS = (1, 2)
FILES = tuple(Migration(number, f"t{number}", f"CREATE TABLE t{number} ();", "") for number in (1, 2, 3))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(len(MEMBERS)), tmp_path_factory.mktemp("member")) as made:
        made.sql("CREATE ROLE shop LOGIN; CREATE DATABASE shop OWNER shop")
        yield made


def member(cluster: Cluster, host: int) -> Psql:
    return Psql(run, cluster.container("postgres", host), "shop")


def migrate(cluster: Cluster, target: int, wait: int = 0) -> list[str]:
    session = Session("shop", "5s", "60s", "test@here")
    migrator = Migrator(member(cluster, cluster.leader()), session, 60, lambda: patience(wait))
    return [str(step) for step in migrator.run(Goal(FILES, target, allow_down=False))[0]]


def earlier(text: str) -> str:
    """Patroni's configuration as the versions before this one had it."""
    lines = text.splitlines(keepends=True)
    known = ("    - local all all peer map=slipway\n", "  pg_ident:\n", "    - slipway postgres all\n")
    assert all(line in lines for line in known)
    return "".join(line for line in lines if line not in known)


def reload(cluster: Cluster) -> None:
    for host in MEMBERS:
        docker("kill", "--signal=HUP", cluster.container("postgres", host))


def admitted(cluster: Cluster, host: int) -> bool | None:
    """None: it is being cloned, starts, or follows so far behind that it has no such role yet."""
    try:
        return member(cluster, host).as_user("shop").ask("SELECT session_user;") == "shop"
    except NotAdmittedError:
        return False
    except SlipwayError:
        return None


@pytest.fixture
def until_all(cluster: Cluster, until: Callable[..., None]) -> Callable[[bool], None]:
    """Nothing tells when Patroni has written its rules and PostgreSQL has read them."""
    return lambda expected: until(
        lambda: all(admitted(cluster, host) is expected for host in MEMBERS), cluster.logs
    )


def test_owners_come_in_with_a_release_and_stay_out_after_a_rollback(
    cluster: Cluster, until_all: Callable[[bool], None]
) -> None:
    until_all(True)
    assert migrate(cluster, 1) == ["apply 000001_t1.up.sql"]
    for host in MEMBERS:
        config = cluster.folder / f"h{host}/config/postgres/patroni.yml"
        config.write_text(earlier(config.read_text()))
    reload(cluster)
    until_all(False)
    # What it has is known all the same.
    known = Migrator(
        member(cluster, cluster.leader()), Session("shop", "5s", "60s", ""), 60, lambda: patience(0)
    )
    assert [row.label for row in known.ledger()] == ["000001_t1"]
    with pytest.raises(SlipwayError, match="does not let shop in"):
        migrate(cluster, 2)
    cluster.render()
    reload(cluster)
    assert migrate(cluster, 2, wait=LIMIT) == ["apply 000002_t2.up.sql"]
    until_all(True)


def test_a_member_that_starts_has_the_rules_before_it_answers(
    cluster: Cluster, until_all: Callable[[bool], None]
) -> None:
    """Also one whose data came from elsewhere, as after a restore: its files are written anew."""
    leader = cluster.container("postgres", cluster.leader())
    docker(
        "exec", leader, "sh", "-c", "echo 'local all postgres peer' > /var/lib/postgresql/17/main/pg_hba.conf"
    )
    docker("exec", leader, "sh", "-c", ": > /var/lib/postgresql/17/main/pg_ident.conf")
    docker("restart", leader)
    cluster.until_led()
    until_all(True)
    assert migrate(cluster, 3, wait=LIMIT)[-1] == "apply 000003_t3.up.sql"
