"""Two sites, each a Patroni cluster with etcd and CA of its own: one follows, they change places."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import process as run
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.site_member import SiteMember
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.sites import (
    Seen,
    may_take_over,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import OtherSite
from backup_cluster import LIMIT, Cluster, docker
from side_by_side import own_subnet
from whole_stack import stack

SUBNET = own_subnet(87)


def site(members: int, first: int, other: OtherSite) -> Stack:
    base = stack(members)
    hosts = tuple(Host(host.name, f"{SUBNET}.{first + n}") for n, host in enumerate(base.hosts))
    names = tuple(host.name for host in hosts)
    assert base.components.postgres
    postgres = replace(base.components.postgres, memory=256 << 20, max_connections=50, other_site=other)
    parts = replace(
        base.components, postgres=replace(postgres, hosts=names), etcd=replace(base.components.etcd)
    )
    return replace(base, hosts=hosts, components=replace(parts, etcd=replace(parts.etcd, hosts=names[:1])))


@dataclass
class Site:
    cluster: Cluster
    members: list[str]

    def containers(self) -> list[str]:
        return [self.cluster.container("postgres", host) for host in range(1, len(self.members) + 1)]

    def on_each(self) -> list[SiteMember]:
        return [SiteMember(run, container) for container in self.containers()]

    def timelines(self) -> set[int]:
        """Of those that its hosts have a history of, the numbers."""
        ls = ["sh", "-c", "ls /var/lib/postgresql/17/main/pg_wal/*.history"]
        listed = [docker("exec", container, *ls) for container in self.containers()]
        return {int(Path(path).stem, 16) for path in "\n".join(listed).split()}

    def seen(self) -> list[Seen]:
        return [Seen.parse(f"h{n}", it.seen()) for n, it in enumerate(self.on_each(), 1)]

    def settled(self) -> bool:
        """Whether its leader takes in what the other site writes, and all others what that one has."""
        listed = docker("exec", self.cluster.container("postgres"), "patronictl", "list", check=False)
        return any(one.streams for one in self.seen()) and listed.count("streaming") == len(self.members)

    def until(self, true: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < limit, self.cluster.logs()
            time.sleep(0.5)  # between two looks


@dataclass
class Pair:
    home: Site
    away: Site

    def move(self, old: Site, new: Site) -> int:
        """The planned change of sites, as roles/site makes it; the position that was handed over."""
        may_take_over(new.seen(), old.seen(), "old", planned=True, lost=False)
        stopped = next(told for told in (it.stop() for it in old.on_each()) if told["stopped"])
        assert any(it.wait_for(stopped["lsn"], LIMIT)["received"] for it in new.on_each())
        # By the clock of a control node that has forgotten the year, beside what both sites know.
        at = max(one.promoted for one in (*new.seen(), *old.seen()))
        assert any(it.promote(at, LIMIT)["promoted"] for it in new.on_each())
        old.on_each()[0].follow(new.members)
        return int(stopped["lsn"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    network = f"slipway-test-sites-{os.getpid()}"
    home_at, away_at = [f"{SUBNET}.11", f"{SUBNET}.12"], [f"{SUBNET}.21"]
    clusters = [
        Cluster(
            site(len(own), first, OtherSite(name, follow, tuple(theirs))),
            tmp_path_factory.mktemp(name),
            name=f"slipway-test-site-{name}-{os.getpid()}",
            network=network,
        )
        for name, own, first, theirs, follow in (
            ("home", home_at, 11, away_at, False),
            ("away", away_at, 21, home_at, True),
        )
    ]
    home, away = clusters
    home.other_ca, away.other_ca = away.certify(), home.certify()
    try:
        docker("network", "create", f"--subnet={SUBNET}.0/24", network)
        home.start()
        made = Pair(Site(home, home_at), Site(away, away_at))
        start_following(made)
        yield made
    finally:
        for cluster in clusters:
            cluster.remove()
        docker("network", "rm", network, check=False)


def start_following(pair: Pair) -> None:
    # A cluster that follows has no primary to wait for: a method of this one gives way, which types forbid.
    away = pair.away.cluster
    away.until_led = lambda: None  # type: ignore[method-assign]
    away.start()
    pair.away.until(lambda: any(one.streams for one in pair.away.seen()))


def count(site: Site, host: int = 0) -> str:
    return site.cluster.sql("SELECT count(*) FROM journeys", host=host)


def test_a_site_follows_the_other_with_a_certificate_of_its_own_ca(pair: Pair) -> None:
    pair.home.cluster.sql(
        "CREATE TABLE journeys (id int); INSERT INTO journeys SELECT generate_series(1, 1000)"
    )
    pair.away.until(lambda: count(pair.away, host=1) == "1000")
    (leader,) = pair.away.seen()
    assert leader.follows
    assert leader.leads
    assert not leader.primary
    assert any(one.fed for one in pair.home.seen())


def test_without_a_certificate_nobody_of_the_other_site_gets_in(pair: Pair) -> None:
    ask = f"host={pair.home.members[0]} user=replicator dbname=postgres sslmode=require sslcert= sslkey="
    secret = pair.away.cluster.secrets["postgres_replication"]
    argv = [
        "exec",
        "-e",
        f"PGPASSWORD={secret}",
        pair.away.cluster.container("postgres"),
        "psql",
        ask,
        "-c",
        "SELECT 1",
    ]
    assert "client certificate" in docker(*argv, check=False)
    certified = ask.replace("sslcert= sslkey=", "sslcert=/config/tls/tls.crt sslkey=/config/tls/tls.key")
    assert "1 row" in docker(*argv[:-3], certified, "-c", "SELECT 1")
    owner = certified.replace("user=replicator", "user=monitor")
    assert "reject" in docker(*argv[:-3], owner, "-c", "SELECT 1", check=False)


def test_sites_change_places_and_back_without_losing_what_was_acknowledged(pair: Pair) -> None:
    for old, new in ((pair.home, pair.away), (pair.away, pair.home)):
        before = int(count(old))
        acknowledged = before + write_until_it_stops(pair, old, new)
        assert acknowledged > before
        # The last one may have been written without its client hearing of it.
        assert acknowledged <= int(count(new)) <= acknowledged + 1
        old.until(old.settled)
        assert not any(one.primary for one in old.seen())


def write_until_it_stops(pair: Pair, old: Site, new: Site) -> int:
    """Rows that a client was told are written while the sites change places."""
    psql = [
        "docker",
        "exec",
        "-i",
        old.cluster.container("postgres", old.cluster.leader()),
        "psql",
        "-U",
        "postgres",
    ]
    client = subprocess.Popen(
        [*psql, "-XAtq", "-v", "ON_ERROR_STOP=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    lines = "".join("INSERT INTO journeys VALUES (0) RETURNING 'written';\n" for _ in range(500_000))

    def feed() -> None:
        assert client.stdin
        with suppress(OSError):  # it ends with the server
            client.stdin.write(lines.encode())

    threading.Thread(target=feed, daemon=True).start()
    time.sleep(2)  # the writer has begun by then
    pair.move(old, new)
    assert client.stdout
    return client.stdout.read().decode().count("written")


def test_a_site_that_was_left_does_not_serve_when_it_comes_back(pair: Pair) -> None:
    until_known(pair)
    served = pair.home.timelines()
    docker("pause", *pair.home.containers())
    with pytest.raises(Exception, match="lost=true"):
        may_take_over(pair.away.seen(), [], "home", planned=False, lost=False)
    assert pair.away.on_each()[0].promote(0, LIMIT)["promoted"]
    pair.away.cluster.sql("INSERT INTO journeys VALUES (-1)")
    docker("unpause", *pair.home.containers())
    until_left(pair.home)
    # Nobody took the place of the primary that stopped itself.
    assert pair.home.timelines() == served
    # What was seen once is known when nobody answers: a look that fails would start a second primary.
    docker("pause", *pair.away.containers())
    docker("restart", *pair.home.containers())
    until_waiting(pair.home)
    docker("unpause", *pair.away.containers())
    forget_the_promotion(pair.away)

    pair.home.on_each()[0].follow(pair.away.members)
    pair.home.until(lambda: any(one.streams for one in pair.home.seen()))
    pair.home.until(lambda: count(pair.home, host=1) == count(pair.home, host=2) == count(pair.away))
    pair.move(pair.away, pair.home)


def test_a_site_that_went_on_under_the_same_timelines_number_is_copied_anew(pair: Pair) -> None:
    """Cut off from each other, both sites promote a member, and PostgreSQL numbers both timelines alike."""
    home, away = pair.home.cluster, pair.away.cluster
    home.until_led()
    pair.away.until(pair.away.settled)
    until_known(pair)
    docker("pause", *pair.home.containers())
    assert pair.away.on_each()[0].promote(0, LIMIT)["promoted"]
    away.sql("INSERT INTO journeys SELECT -2 FROM generate_series(1, 100)")
    docker("pause", *pair.away.containers())
    docker("unpause", *pair.home.containers())
    switchover = ["exec", pair.home.containers()[0], "patronictl", "switchover", "--force"]
    pair.home.until(lambda: "Successfully switched over" in docker(*switchover, check=False))
    home.sql("INSERT INTO journeys SELECT -3 FROM generate_series(1, 100)")
    docker("unpause", *pair.away.containers())
    assert max(pair.home.timelines()) == max(pair.away.timelines())

    until_left(pair.home)
    pair.home.on_each()[0].follow(pair.away.members)
    pair.home.until(pair.home.settled)
    pair.home.until(lambda: count(pair.home, host=1) == count(pair.home, host=2) == count(pair.away))
    for host in (1, 2):
        assert home.sql("SELECT count(*) FROM journeys WHERE id = -3", host=host) == "0"
    assert any("given up and copied anew" in docker("logs", it) for it in pair.home.containers())


@pytest.mark.by_hand
def test_a_site_that_was_left_serves_again_where_the_other_is_lost_for_good(pair: Pair) -> None:
    home = pair.home.cluster
    serve = ["exec", pair.home.containers()[0], "python3", "/config/site.py", "serve"]
    pair.home.until(pair.home.settled)
    pair.move(pair.away, pair.home)
    home.until_led()
    pair.away.until(pair.away.settled)
    until_known(pair)
    docker("pause", *pair.home.containers())
    assert pair.away.on_each()[0].promote(0, LIMIT)["promoted"]
    docker("unpause", *pair.home.containers())
    until_left(pair.home)
    assert "have this one follow it instead" in docker(*serve, check=False)
    docker("kill", *pair.away.containers())
    docker(*serve)
    home.until_led()
    home.sql("INSERT INTO journeys VALUES (-4)")


def until_known(pair: Pair) -> None:
    """Until the other site knows when home was promoted: soon nobody can be asked any more."""
    promoted = max(one.promoted for one in pair.home.seen())
    pair.away.until(lambda: pair.away.seen()[0].promoted == promoted)


def until_left(site: Site) -> None:
    """Until its members have stopped themselves and, started again as the engine does, wait."""
    running = ["inspect", "--format", "{{.State.Running}}"]
    site.until(lambda: all(docker(*running, it).strip() == "false" for it in site.containers()))
    docker("start", *site.containers())
    until_waiting(site)


def until_waiting(site: Site) -> None:
    words = "was promoted after this one"
    site.until(lambda: all(words in docker("logs", "--tail=2", it) for it in site.containers()))


def forget_the_promotion(site: Site) -> None:
    """As a restore does, of which etcd forgets the cluster: what was kept comes back into its settings."""
    promoted, container = site.seen()[0].promoted, site.cluster.container("postgres")
    docker("exec", container, "python3", "/config/site.py", "keep")
    docker("exec", container, "patronictl", "edit-config", "--quiet", "--force", "-s", "slipway=null")
    site.until(lambda: site.seen()[0].promoted == promoted)
    assert docker("logs", "--tail=20", container).count("site: noted") == 1
