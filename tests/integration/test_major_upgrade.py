"""PostgreSQL 17 to 18 and back as docs/runbooks/postgres-major-upgrade.md says: its own commands are run."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_proof import prove
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
    Settings,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import postgres_report_sql
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from backup_cluster import LIMIT, Cluster, declared, docker, in_memory, run
from documentation import DOCS, blocks
from images import newest
from whole_stack import rendered

pytestmark = pytest.mark.by_hand
PAGE = DOCS / "runbooks/postgres-major-upgrade.md"
FOLDER = Path(__file__).resolve().parents[2] / "compose/images"
IMAGE, OLDER = "slipway-test/postgres-upgrade:trial", "slipway-test/postgres-upgrade:same-day"
# Released in August 2026, like 18.6.
SAME_DAY = "17.11-0+deb13u1"
ROWS = 20_000
BOOKINGS = "SELECT count(*), min(id), max(id), sum(hashtext(name)) FROM bookings"
FILL = f"""
CREATE EXTENSION pg_trgm;
CREATE TABLE bookings (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO bookings SELECT n, 'Zürich – Århus ' || n FROM generate_series(1, {ROWS}) n;
CREATE INDEX names ON bookings USING gin (name gin_trgm_ops);
CREATE INDEX words ON bookings USING gin (to_tsvector('simple', name));
CREATE INDEX plain ON bookings (lower(name));
"""


def built() -> str:
    """As the guide has it in versions.yml, from there."""
    shown = next(yaml.safe_load(it) for it in blocks(PAGE) if "POSTGRES_OTHER" in it)
    arguments = yaml.safe_load((FOLDER / "versions.yml").read_text())["postgres"] | shown
    arguments["BASE"] = newest("base")
    argv = ["docker", "build", "--quiet", "--tag", IMAGE]
    argv += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    # Caches are BuildKit's, which an engine may lack.
    recipe = re.sub(r"--mount=type=cache\S+", "", (FOLDER / "postgres/Dockerfile").read_text())
    done = subprocess.run(
        [*argv, "-"], input=recipe, capture_output=True, text=True, check=False, timeout=1200
    )
    assert not done.returncode, done.stderr[-2000:]
    return IMAGE


def of_the_same_day() -> str:
    """The same with an older 17: sid is behind, and its 18 cannot read what 17.12 adds to schemas."""
    both = built()
    pool = "http://deb.debian.org/debian/pool/main/p/postgresql-17"
    get = [
        f"curl --fail --silent --show-error --output /tmp/{name}.deb {pool}/{name}_{SAME_DAY}_amd64.deb"
        for name in ("postgresql-17", "postgresql-client-17")
    ]
    install = "dpkg --install --force-downgrade /tmp/*.deb"
    seen = f"/usr/lib/postgresql/17/bin/postgres --version | grep {SAME_DAY}"
    clean = "rm -rf /tmp/*.deb /var/lib/postgresql/*"
    script = " && ".join([*get, install, clean, seen])
    recipe = f"FROM {both}\nUSER 0\nRUN {script}\nUSER 999:999\n"
    argv = ["docker", "build", "--quiet", "--tag", OLDER, "-"]
    done = subprocess.run(argv, input=recipe, capture_output=True, text=True, check=False, timeout=600)
    assert not done.returncode, done.stderr[-2000:]
    return OLDER


@dataclass
class Upgraded(Cluster):
    """Two members on the image with both versions, and a host that keeps their backups.

    origin: number of the host on which the new databases were made.
    """

    origin: int = 0

    def declare(self, version: int) -> None:
        """What setting the version in the inventory and deploying changes in every tree."""
        parts = self.stack.components
        assert parts.postgres
        postgres = replace(parts.postgres, version=version)
        self.stack = replace(self.stack, components=replace(parts, postgres=postgres))
        self.render()

    def deploy(self, version: int, absent: int) -> None:
        """As a deployment commits it: first what is not there, then what is otherwise, host by host."""
        self.declare(version)
        for component, host in (("backup-repository", 3), ("backup-agent", 1), ("backup-agent", 2)):
            docker("kill", "--signal=HUP", self.container(component, host))
        self.run("postgres", absent)
        self.until(lambda: self.leader() == absent)
        other = 3 - absent
        docker("rm", "--force", self.container("postgres", other))
        self.run("postgres", other)
        self.until(lambda: self.follows(other))
        self.until_led()

    def follows(self, host: int) -> bool:
        """Whether it answers: while it is cloned, the leader streams to pg_basebackup."""
        psql = ["psql", "-U", "postgres", "-XAtqc", "SELECT status FROM pg_stat_wal_receiver"]
        return run(["docker", "exec", self.container("postgres", host), *psql])[1].strip() == "streaming"

    def guide(self, words: str, host: int, *, fails: bool = False) -> str:
        """Run the one command of the guide that looks so, on that host; what it said."""
        lines = {line.strip() for block in blocks(PAGE) for line in block.splitlines()}
        (line,) = (line for line in lines if re.search(words, line))
        here = {
            "wayfare-postgres-1": self.container("postgres", host),
            "wayfare_data": f"container:{self.container('host', host)}",
        }
        command = re.sub("|".join(here), lambda found: here[found[0]], line)
        command = command.replace("select count(*) from bookings", BOOKINGS)
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        told = done.stdout + done.stderr
        assert bool(done.returncode) is fails, f"{command}: {told}\n{self.logs()}"
        return told.strip()

    def until(self, true: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < limit, self.logs()
            time.sleep(0.5)  # between two looks

    def facts(self, host: int = 0) -> tuple[str, str]:
        return self.sql(BOOKINGS, "wayfare", host), self.sql("SHOW server_version_num", host=host)[:2]

    def system(self) -> str:
        return self.sql("SELECT system_identifier FROM pg_control_system()")

    def stop(self) -> int:
        """Step 3; the number of the host that led."""
        leader = self.leader()
        for host in (3 - leader, leader):
            self.guide("^docker stop", host)
        return leader


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    made = Upgraded(
        declared(2),
        tmp_path_factory.mktemp("upgrade"),
        size="2g",
        built=("etcd", "postgres-exporter"),
        images={"postgres": of_the_same_day()},
    )
    try:
        made.start()
        made.sql(FILL, "wayfare")
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def repository(cluster: Upgraded) -> Repository:
    made = Repository(run, cluster.repository, cluster.stack.name)
    made.ensure(members(cluster))
    made.take(FULL, 1)
    return made


def members(cluster: Upgraded) -> tuple[str, ...]:
    path = cluster.folder / "h3/config/backup-repository/settings.json"
    return Settings.parse(json.loads(path.read_text())).members


def proven(repository: Repository) -> None:
    """A backup restored, replayed, started and searched, with the rows in it."""
    sql = f"SELECT count(*) >= {ROWS} FROM bookings"
    assertion = {"name": "bookings", "database": "wayfare", "sql": sql}
    found = prove(repository, [assertion], volume_options=in_memory(999, "2g"), margin=0)
    assert found.ok, found.problems


def test_a_release_of_another_version_stops_at_a_member_and_changes_nothing(
    cluster: Upgraded, repository: Repository
) -> None:
    other = 3 - cluster.leader()
    name, before = cluster.container("postgres", other), cluster.facts()
    cluster.declare(18)
    docker("rm", "--force", name)
    cluster.run("postgres", other)
    cluster.until(lambda: run(["docker", "inspect", "-f", "{{.State.ExitCode}}", name])[1].strip() == "1")
    assert "the databases are of PostgreSQL 17, and this release is of 18" in docker("logs", name)
    cluster.declare(17)
    docker("rm", "--force", name)
    cluster.run("postgres", other)
    cluster.until_led()
    assert cluster.facts() == cluster.facts(other) == before


def test_what_is_made_is_looked_at_and_given_up_without_loss(
    cluster: Upgraded, repository: Repository
) -> None:
    system = cluster.system()
    told = cluster.guide("upgrade.py check 17 18", cluster.leader())
    assert "Clusters are compatible" in told
    assert "public.plain" in told, "an index that Unicode's new version may change"
    assert "takes the schemas of now" in told
    # Somebody writes to the end: who stops last has all of it.
    other = 3 - cluster.leader()
    cluster.guide("^docker stop", other)
    cluster.sql("INSERT INTO bookings VALUES (0, 'the last')", "wayfare")
    before, leader = cluster.facts(), cluster.leader()
    cluster.guide("^docker stop", leader)
    assert "not 'shut down'" in cluster.guide("upgrade.py upgrade 17 18", other, fails=True)
    sums = checksums(cluster, leader)
    assert "goes on with /var/lib/postgresql/18/main" in cluster.guide("upgrade.py upgrade 17 18", leader)
    assert cluster.guide("upgrade.py look 18", leader) == before[0]
    assert checksums(cluster, leader) == sums, "the old databases are as they were"

    assert "goes on with /var/lib/postgresql/17/main" in cluster.guide("upgrade.py choose 17", leader)
    cluster.guide("rm .* -r /var/lib/postgresql/18$", leader)
    cluster.guide("^docker start", leader)
    cluster.until(lambda: cluster.leader() == leader)
    cluster.guide("^docker start", other)
    cluster.until_led()
    assert cluster.facts() == cluster.facts(other) == before
    assert cluster.system() == system
    cluster.archived()
    assert repository.ensure(members(cluster)) == ""
    proven(repository)


def test_the_new_version_leads_is_followed_archived_and_restored(
    cluster: Upgraded, repository: Repository
) -> None:
    before, system = cluster.facts()[0], cluster.system()
    begun, leader = time.monotonic(), cluster.stop()
    cluster.origin = leader
    cluster.guide("upgrade.py upgrade 17 18", leader)
    cluster.guide("^docker rm", leader)
    # Whoever is started too early begins no cluster of its own.
    early = cluster.container("postgres", 3 - leader)
    cluster.declare(18)
    docker("rm", "--force", early)
    cluster.run("postgres", 3 - leader)
    cluster.until(lambda: "waiting for leader to bootstrap" in docker("logs", early))
    cluster.deploy(18, leader)
    print(f"from the first stop until all stream: {time.monotonic() - begun:.1f} s")

    assert cluster.facts() == cluster.facts(3 - leader) == (before, "18")
    assert cluster.system() != system
    cluster.sql("INSERT INTO bookings VALUES (-1, 'of 18')", "wayfare")
    waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    cluster.until(lambda: cluster.sql(waits) == "1")
    assert repository.ensure(members(cluster)) == "stanza-upgrade"
    cluster.archived()
    repository.take(FULL, 1)
    assert {backup.archive for backup in repository.info().of(1)} == {"17-1", "18-2"}
    proven(repository)


def test_what_follows_an_upgrade_can_be_done(cluster: Upgraded) -> None:
    leader = cluster.leader()
    for words in ("--missing-stats-only", "--analyze-only", "update_extensions.sql"):
        cluster.guide(words, leader)
    behind = "SELECT count(*) FROM pg_available_extensions WHERE installed_version <> default_version"
    assert cluster.sql(behind, "wayfare") == cluster.sql(behind) == "0"
    listed = cluster.guide("i.indexrelid::regclass", leader).split()
    assert sorted(listed) == ["names", "words"]
    for index in listed:
        cluster.sql(f"REINDEX INDEX CONCURRENTLY {index}", "wayfare")
    settings = cluster.sql("SELECT setting FROM pg_settings WHERE name = 'wal_log_hints'")
    assert settings == "on", "the cluster's own settings came along"


def test_what_watches_postgresql_understands_the_new_version(cluster: Upgraded) -> None:
    queries = yaml.safe_load(rendered(cluster.stack)["config/postgres-exporter/queries.yml"])
    for name, query in queries.items():
        assert cluster.sql(query["query"]) is not None, name
    told = exported(cluster, cluster.leader())
    assert "\npg_up 1\n" in told
    assert "\npg_exporter_last_scrape_error 0\n" in told
    assert not re.findall(r"^pg_scrape_collector_success{.*} 0$", told, re.MULTILINE)
    psql = Psql(run, cluster.container("postgres", cluster.leader()))
    assert json.loads(psql.ask(postgres_report_sql.SERVER))["version"].startswith("18")
    assert json.loads(psql.ask(postgres_report_sql.INSIDE))["extensions"]


def test_the_old_version_leads_again_without_what_was_written_since(
    cluster: Upgraded, repository: Repository
) -> None:
    leader = cluster.origin
    for host in (leader, 3 - leader):
        cluster.guide("^docker stop", host)
    cluster.guide("upgrade.py choose 17", leader)
    for host in (1, 2):
        cluster.guide("rm .* -r /var/lib/postgresql/18$", host)
    cluster.guide("^docker rm", leader)
    cluster.deploy(17, leader)
    assert cluster.facts() == cluster.facts(3 - leader)
    assert cluster.sql("SELECT array_agg(id ORDER BY id) FROM bookings WHERE id < 1", "wayfare") == "{0}"
    assert cluster.facts()[1] == "17"
    assert repository.ensure(members(cluster)) == "stanza-upgrade"
    cluster.archived()
    repository.take(FULL, 1)
    assert repository.info().of(1)[-1].archive == "17-3"
    proven(repository)


def exported(cluster: Upgraded, host: int) -> str:
    """What the exporter tells. It runs beside the member, where nobody has the name on the certificate."""
    tree, name = cluster.folder / f"h{host}", cluster.container("postgres-exporter", host)
    service = yaml.safe_load((tree / "docker-compose.prod.yml").read_text())["services"]["postgres-exporter"]
    service["environment"]["DATA_SOURCE_URI"] = "127.0.0.1:5432/postgres?sslmode=require"
    docker("run", "--detach", "--name", name, *cluster._options(service, host, tree), *service["command"])
    url = service["healthcheck"]["test"][-1].removesuffix("/") + "/metrics"
    ask = ["curl", "--silent", "--show-error", "--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
    return docker("exec", name, *ask, url)


def checksums(cluster: Upgraded, host: int) -> str:
    """Of every file of the old databases on a host whose member is stopped."""
    sums = "cd /held/postgres/17/main; find . -type f | sort | xargs sha256sum | sha256sum"
    return docker("exec", "--user=0", cluster.container("host", host), "sh", "-c", sums)
