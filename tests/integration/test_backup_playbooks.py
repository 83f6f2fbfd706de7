"""The playbooks themselves, on two hosts that are this machine: a member and a repository, as deployed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Assertion
from backup_cluster import SUBNET, Cluster, declared, docker
from host_programs import installed
from interrupted import end, found, going_on

pytestmark = pytest.mark.by_hand
CHECKOUT = Path(__file__).resolve().parents[2]
STACK = f"slipway-e2e-{os.getpid()}"
ROOT = Path("/opt") / STACK
NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
ASSERTION = {"name": "orders", "database": "shop", "sql": "SELECT to_regclass('orders') IS NOT NULL"}


class Deployed(Cluster):
    """Its containers are named as Compose names them."""

    def container(self, component: str, host: int = 1) -> str:
        return f"{self.name}-h{host}-host" if component == "host" else f"{STACK}-{component}-1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    base = replace(declared(1, assertions=(Assertion(**ASSERTION),)), name=STACK)
    made = Deployed(base, tmp_path_factory.mktemp("deployed"), name=f"{STACK}_data")
    try:
        made.start()
        for host, folder in (("h2", "config/backup-repository"), ("h1", "config/host")):
            shutil.copytree(made.folder / host / folder, ROOT / folder)
        (ROOT / "state/metrics").mkdir(parents=True)
        inventory(made.folder)
        made.sql("CREATE DATABASE shop")
        yield made
    finally:
        shutil.rmtree(ROOT, ignore_errors=True)
        docker(
            "rm",
            "--force",
            *(f"{STACK}-{it}-1" for it in ("etcd", "postgres", "backup-agent", "backup-repository")),
        )
        docker("rm", "--force", f"{STACK}-postgres-1-restore", check=False)
        made.remove()


def inventory(folder: Path) -> None:
    hosts = {
        f"h{number}.test": {
            "slipway_address": f"{SUBNET}.{10 + number}",
            "ansible_connection": "local",
            "ansible_port": number,  # two names for one machine are refused, rightly
        }
        for number in (1, 2)
    }
    web = {"image": "example.com/web:1.0", "port": 8080, "health_path": "/ready", "database": "shop"}
    stack = {
        "name": STACK,
        "domain": "shop.test",
        "services": {"web": web},
        "components": {
            "postgres": {"hosts": ["h1.test"]},
            "etcd": {"hosts": ["h1.test"]},
            "backup": {"hosts": ["h2.test"], "assertions": [ASSERTION]},
        },
    }
    children = {"e2e": {"hosts": hosts, "vars": {"stack": stack}}}
    text = yaml.safe_dump({"environments": {"children": children}})
    (folder / "hosts.yml").write_text(text)


def command(cluster: Cluster, name: str, *extra: str) -> list[str]:
    tool = [str(CHECKOUT / ".venv/bin/ansible-playbook"), "-i", str(cluster.folder / "hosts.yml")]
    return [*tool, f"playbooks/{name}.yml", *(word for it in extra for word in ("-e", it))]


def play(cluster: Cluster, name: str, *extra: str) -> tuple[int, str]:
    done = subprocess.run(
        command(cluster, name, *extra),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def test_backups_are_taken_proven_and_restored_by_their_playbooks(cluster: Cluster) -> None:
    code, told = play(cluster, "verify_backups")
    assert code and "holds no backup" in told, told

    code, told = play(cluster, "backup", "type=full")
    assert not code, told
    assert "stanza-create: done" in told and "full backup into repository 1" in told
    assert "slipway_backup_last_ok 1" in (ROOT / "state/metrics/backup.prom").read_text()

    code, told = play(cluster, "verify_backups")
    assert code and "assertion orders: answered f" in told, told
    cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 77) AS id", "shop")
    cluster.archived()
    code, told = play(cluster, "verify_backups")
    assert not code and "s to restore (RTO)" in told, told
    rows = "SELECT ok, rto_seconds > 0 FROM slipway.backup_verifications ORDER BY begun"
    assert cluster.sql(rows).splitlines() == ["f|", "f|t", "t|t"]

    code, told = play(cluster, "restore", "to=latest", "side=true")
    assert not code, told
    ask = ["psql", "-h", "/tmp", "-U", "postgres", "-XAtq", "-d", "shop", "-c", "SELECT count(*) FROM orders"]
    assert docker("exec", f"{STACK}-postgres-1-restore", *ask).strip() == "77"
    code, told = play(cluster, "restore", "side=removed")
    assert not code, told
    assert f"{STACK}-postgres-1-restore" not in docker("ps", "--all", "--format", "{{.Names}}")


def test_a_restore_without_consent_or_to_nowhere_touches_nothing(cluster: Cluster) -> None:
    code, told = play(cluster, "restore", "to=latest")
    assert code and f"-e confirm={STACK}" in told.replace("\n", " "), told
    code, told = play(cluster, "restore", "to=2020-01-01T00:00:00Z", f"confirm={STACK}")
    assert code and "no backup is older" in told, told
    assert cluster.sql("SELECT count(*) FROM orders", "shop") == "77"


def test_a_restore_puts_the_cluster_back(cluster: Cluster) -> None:
    """Up to the wait for the application, which there is none of here."""
    moment = cluster.sql(NOW)
    cluster.sql("DROP TABLE orders", "shop")
    _code, told = play(cluster, "restore", f"to={moment}", f"confirm={STACK}", "restore_timeout=1")
    assert "Start the copy as the only member" in told, told
    cluster.until_led()
    assert cluster.sql("SELECT count(*) FROM orders", "shop") == "77", told


# While the copy is restored; and once it stands in the place of what served, while nobody serves.
@pytest.mark.parametrize("words", ["--pg1-path=", "patronictl -c"])
def test_a_restore_whose_playbook_is_killed_ends_well_when_it_is_run_again(
    cluster: Cluster, words: str
) -> None:
    cluster.sql("DROP TABLE IF EXISTS orders", "shop")
    cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 78) AS id", "shop")
    moment = cluster.sql(NOW)
    cluster.sql("DROP TABLE orders", "shop")
    again = ("restore", f"to={moment}", f"confirm={STACK}", "restore_timeout=1")
    with subprocess.Popen(command(cluster, *again), cwd=CHECKOUT, stdin=subprocess.DEVNULL) as program:
        pids = found(f"{STACK}-postgres-1-restore", words)
        end(below(program.pid))
        going_on(pids)
    assert program.returncode == -signal.SIGKILL
    lock = json.loads((ROOT / "state/lock.json").read_text())
    assert lock["pid"] == program.pid, "the run that was killed still holds the environment"
    _code, told = play(cluster, *again)
    assert "taken over" in told and "Start the copy as the only member" in told, told
    cluster.until_led()
    assert cluster.sql("SELECT count(*) FROM orders", "shop") == "78", told
    assert f"{STACK}-postgres-1-restore" not in docker("ps", "--all", "--format", "{{.Names}}")


def below(pid: int) -> list[int]:
    """A process and all that it began, itself first: it begins nothing more then."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(own): int(parent) for own, parent in map(str.split, listed.splitlines())}
    tree = [pid]
    for one in tree:
        tree += [own for own, parent in parents.items() if parent == one]
    return tree


def test_the_program_of_the_timers_does_the_same_without_ansible(cluster: Cluster, tmp_path: Path) -> None:
    program = installed("backup", tmp_path / "program")
    cluster.sql("CREATE TABLE IF NOT EXISTS orders (id int)", "shop")
    for what, told in (("incr", "MB stored"), ("scheduled", "no backup is due"), ("verify", "rto ")):
        command = ["python3", "-I", str(program), STACK, what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert told in done.stdout
    assert "slipway_backup_verification_ok 1" in (ROOT / "state/metrics/backup.prom").read_text()
