"""What changes without a release, and nobody notices: settings, certificates, restarts, a patched host."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from edge import Edge
from fleet_under_test import Fleet, shorten_drains
from site_under_test import Run
from steady_load import Load
from waiting import eventually

from lab import Container, Lab

# Load that runs well before and after shows what the change alone does.
BEFORE_AND_AFTER = 4.0
READY = "/.well-known/slipway/ready"


@pytest.fixture(scope="module")
def stack(fleet: Fleet) -> dict[str, Any]:
    """The stack with short drains, deployed."""
    stack = fleet.site.stack
    shorten_drains(stack)
    run = fleet.deploy(stack)
    assert run.status == 0, run.problem
    return stack


def assert_unnoticed(load: Load) -> None:
    time.sleep(BEFORE_AND_AFTER)
    assert load.failed == 0, f"{load}\n" + "\n".join(load.failures)
    assert load.truncated == 0


def served(edge: Edge) -> bytes:
    """The edge's certificate, as a new client is shown it."""
    with edge.context().wrap_socket(edge.socket(), server_hostname=edge.domain) as secured:
        return secured.getpeercert(binary_form=True) or b""


def forget_certificate(lab: Lab, name: str, folder: Path) -> None:
    """What makes the next deployment issue another one, as it does when the old one is about to expire."""
    vault, plain = lab.folder / "secrets.vault.yml", folder / "plain.yml"
    lab.run(["ansible-vault", "decrypt", "--output", str(plain), str(vault)], timeout=60)
    document = yaml.safe_load(plain.read_text())
    del document["pki"]["certificates"][name]
    plain.write_text(yaml.safe_dump(document))
    lab.run(["ansible-vault", "encrypt", "--output", str(vault), str(plain)], timeout=60)
    plain.unlink()


def replicas(lab: Lab) -> list[Container]:
    return [one for one in lab.containers() if re.search("-(blue|green)-[0-9]+$", one.component)]


def started(lab: Lab) -> dict[tuple[str, str], str]:
    return {(one.host, one.component): one.started for one in replicas(lab)}


@pytest.mark.by_hand
def test_a_change_of_settings_alone(
    fleet: Fleet, stack: dict[str, Any], load: Load, edge: Edge, lab: Lab
) -> None:
    changed = json.loads(json.dumps(stack))
    changed["services"]["web"]["rate_limit"] = {"requests": 6001, "window": "1m"}
    changed["components"]["edge"]["hsts_max_age"] = "12345s"
    before = started(lab)
    run = fleet.deploy(changed)
    assert run.status == 0, run.problem
    assert edge.get("/").headers["Strict-Transport-Security"] == "max-age=12345"
    assert started(lab) == before, "replicas were replaced"
    assert_unnoticed(load)


@pytest.fixture
def outdated(stack: dict[str, Any], lab: Lab, edge: Edge, tmp_path: Path) -> bytes:
    """The edge's certificate, which the next deployment replaces."""
    assert stack
    forget_certificate(lab, "edge", tmp_path)
    return served(edge)


@pytest.mark.by_hand
def test_a_new_certificate(
    fleet: Fleet, stack: dict[str, Any], outdated: bytes, load: Load, edge: Edge
) -> None:
    run = fleet.deploy(stack)
    assert run.status == 0, run.problem
    assert served(edge) != outdated
    assert_unnoticed(load)


@pytest.mark.by_hand
def test_a_restart_of_everything(fleet: Fleet, stack: dict[str, Any], load: Load, lab: Lab) -> None:
    before = started(lab)
    run = fleet.site.deploy(fleet.log(), {"stack": stack}, playbook="playbooks/rolling_restart.yml")
    assert run.status == 0, run.problem
    after = started(lab)
    assert [name for name in before if after.get(name) == before[name]] == [], "not restarted"
    assert_unnoticed(load)
    assert load.counts["websocket sent away"] and load.counts["grpc stream sent away"]


# Sentinel asks its instances every 10 s what they are.
SENTINEL_LOOKS = 12.0
PRIORITY = """
docker exec {name}-redis-1 bash -c '
  REDISCLI_AUTH=$(sed -n "s/^masterauth .\\(.*\\).$/\\1/p" /config/redis.conf) \\
  redis-cli --user slipway --tls --cacert /config/tls/ca.crt CONFIG SET replica-priority {priority}'
"""
FAILOVER = """
docker exec {name}-sentinel-1 sh -c '{{ cat /config/sentinel.auth; echo SENTINEL FAILOVER {name}; }} |
  redis-cli --tls --cacert /config/tls/ca.crt -p 26379'
"""
ROLE = """
docker exec {name}-redis-1 sh -c '{{ cat /config/monitor.auth; echo INFO replication; }} |
  redis-cli --tls --cacert /config/tls/ca.crt'
"""
ORDERS = """
docker exec {name}-{router}-1 sh -c '(echo "show servers state"; sleep 1) |
  openssl s_client -quiet -connect localhost:{port} -CAfile /config/tls/ca.crt \\
  -cert /config/tls/tls.crt -key /config/tls/tls.key 2>/dev/null'
"""


class Maintenance:
    """A host that has an edge, is not the published one, and leads what can be led."""

    def __init__(self, fleet: Fleet, lab: Lab, stack: dict[str, Any]) -> None:
        self._fleet = fleet
        self._lab = lab
        self._stack = stack
        self._name = lab.stack["name"]
        self.beside = next(iter(lab.hosts))
        edges = [one.host for one in lab.containers() if one.component == "edge"]
        self.host = next(host for host in edges if host != self.beside)

    def bring(self, state: str) -> Run:
        told = {"stack": self._stack, "host": self.host, "state": state}
        return self._fleet.site.deploy(self._fleet.log(), told, playbook="playbooks/maintenance.yml")

    def lead(self) -> None:
        """PostgreSQL and Redis, so that there is something to hand over."""
        if self.role("postgres", self.host) != "primary":
            leader = next(host for host in self._lab.hosts if self.role("postgres", host) == "primary")
            told = f"patronictl switchover {self._name} --leader {leader} --candidate {self.host} --force"
            self._lab.in_container(self.beside, "postgres", told)
        if self.role("redis", self.host) != "master":
            self._do(self.host, PRIORITY, priority=1)
            time.sleep(SENTINEL_LOOKS)
            self._do(self.beside, FAILOVER)
            eventually(lambda: self.role("redis", self.host), lambda role: role == "master", 30)
            self._do(self.host, PRIORITY, priority=100)
            time.sleep(SENTINEL_LOOKS)
        leads = eventually(lambda: self.role("postgres", self.host), lambda role: role == "primary", 60)
        assert (leads, self.role("redis", self.host)) == ("primary", "master")

    def role(self, component: str, host: str) -> str:
        if component == "postgres":
            asked = "psql -U postgres -Atc 'select pg_is_in_recovery()'"
            return "primary" if self._lab.in_container(host, "postgres", asked).strip() == "f" else "replica"
        return "master" if "role:master" in self._do(host, ROLE).split() else "replica"

    def ready(self) -> int:
        """What a load balancer in front of the host's edge is told."""
        try:
            url = f"http://{self._lab.addresses[self.host]}{READY}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def served(self) -> int:
        """Transactions of the application in this host's database, so far."""
        counted = "select xact_commit + xact_rollback from pg_stat_database where datname = 'wayfare'"
        return int(self._lab.in_container(self.host, "postgres", f'psql -U postgres -Atc "{counted}"'))

    def orders(self) -> set[str]:
        """What the published host's routers were told of this host's replicas (0: nothing, 8: drain)."""
        found = set()
        for router, port in (("router", 9999), ("local-router", 9998)):
            rows = map(str.split, self._do(self.beside, ORDERS, router=router, port=port).splitlines())
            found |= {row[6] for row in rows if len(row) > 6 and row[3].endswith(f".{self.host}")}
        return found

    def reload_routers(self) -> None:
        for router in ("router", "local-router"):
            self._do(self.beside, f"docker kill --signal USR2 {self._name}-{router}-1")
        time.sleep(3)  # the new processes have begun, and asked every server once

    def _do(self, host: str, script: str, **words: object) -> str:
        return self._lab.as_root(host, script.format(name=self._name, **words))


@pytest.mark.by_hand
def test_a_host_goes_out_of_service_and_comes_back(
    fleet: Fleet, stack: dict[str, Any], load: Load, lab: Lab
) -> None:
    it = Maintenance(fleet, lab, stack)
    it.lead()
    assert it.ready() == 200
    out = it.bring("out")
    try:
        assert out.status == 0, out.problem
        there = [one for one in replicas(lab) if one.host == it.host]
        assert there and not any(one.facts["State"]["Running"] for one in there)
        assert (it.role("postgres", it.host), it.role("redis", it.host)) == ("replica", "replica")
        assert it.ready() == 503
        before = it.served()
        it.reload_routers()
        assert it.orders() == {"8"}, "forgotten by a reload"
        assert it.served() == before, "somebody still reads from its database"
        refused = fleet.deploy(stack)
        assert refused.status != 0
        assert f"{it.host} is out of service" in refused.output, refused.problem
    finally:
        back = it.bring("in")
    assert back.status == 0, back.problem
    assert it.ready() == 200 and it.orders() == {"0"}
    for name, service in stack["services"].items():
        fleet.assert_one_pool(name, service["replicas"])
    assert_unnoticed(load)
