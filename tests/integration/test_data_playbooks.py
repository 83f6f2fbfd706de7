"""Copies, retention and a person's data by their playbooks, on two environments that are this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from backup_cluster import Cluster, declared, docker
from host_programs import installed
from side_by_side import own_subnet

pytestmark = pytest.mark.by_hand
CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = {"live": f"slipway-live-{os.getpid()}", "stage": f"slipway-stage-{os.getpid()}"}
SUBNETS = {"live": own_subnet(81), "stage": own_subnet(82)}
COMPONENTS = ("etcd", "postgres", "backup-agent", "backup-repository")
CANARY = "canary.7f3a@private.example"
DATA = {
    "databases": {
        "shop": {
            "masking": {"visits": {"email": "fake_email", "page": "public"}},
            "retention": [{"table": "visits", "column": "at", "keep": "365d"}],
            "subject": {"export": "export.sql", "erase": "erase.sql"},
        }
    }
}
SHOP = """CREATE TABLE visits (
    id bigint PRIMARY KEY, email text NOT NULL, page text NOT NULL, at timestamptz NOT NULL);
INSERT INTO visits SELECT n, CASE WHEN n <= 3 THEN 'CANARY' ELSE n || '@private.example' END, '/home',
    now() - make_interval(days => n) FROM generate_series(1, 500) AS n;
""".replace("CANARY", CANARY)


@dataclass
class Deployed(Cluster):
    """Its containers are named as Compose names them."""

    def container(self, component: str, host: int = 1) -> str:
        mine = f"{self.name}-h{host}-host"
        return mine if component == "host" else f"{self.stack.name}-{component}-1"


@dataclass
class Site:
    live: Deployed
    stage: Deployed
    folder: Path

    def play(self, name: str, *arguments: str, data: dict[str, Any] | None = None) -> tuple[int, str]:
        self.write(data or DATA)
        command = [str(CHECKOUT / ".venv/bin/ansible-playbook"), "-i", str(self.folder / "hosts.yml")]
        command += [f"playbooks/{name}.yml", *arguments]
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        # Callbacks break lines as they like.
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def write(self, data: dict[str, Any]) -> None:
        web = {"image": "example.com/web:1.0", "port": 8080, "health_path": "/ready", "database": "shop"}
        children = {}
        for place, (name, subnet) in enumerate(zip(NAMES, SUBNETS.values(), strict=True)):
            hosts = {
                f"{name}{number}.test": {
                    "slipway_address": f"{subnet}.{10 + number}",
                    "ansible_connection": "local",
                    "ansible_port": 10 * place + number,  # two names for one machine are refused, rightly
                }
                for number in (1, 2)
            }
            stack = {
                "name": NAMES[name],
                "domain": "shop.test",
                "services": {"web": web},
                "data": data,
                "components": {
                    "postgres": {"hosts": [f"{name}1.test"]},
                    "etcd": {"hosts": [f"{name}1.test"]},
                    "backup": {"hosts": [f"{name}2.test"]},
                },
            }
            own = {"stack": stack, "slipway_checkout": str(self.folder)}
            children[name] = {"hosts": hosts, "vars": own}
        text = yaml.safe_dump({"environments": {"children": children}})
        (self.folder / "hosts.yml").write_text(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = {
        name: Deployed(
            replace(declared(1, SUBNETS[name]), name=NAMES[name]),
            tmp_path_factory.mktemp(name),
            name=f"{NAMES[name]}_data",
        )
        for name in NAMES
    }
    folder = tmp_path_factory.mktemp("site")
    (folder / "export.sql").write_text(
        "SELECT id, page FROM visits WHERE email = current_setting('slipway.subject') ORDER BY id"
    )
    (folder / "erase.sql").write_text(
        "DELETE FROM visits WHERE email = current_setting('slipway.subject');\n"
        "UPDATE visits SET page = '/gone' WHERE id = 4 AND current_setting('slipway.subject') <> '';\n"
    )
    try:
        for name, cluster in made.items():
            cluster.start()
            root = Path("/opt") / NAMES[name]
            for host, part in (("h2", "config/backup-repository"), ("h1", "config/host")):
                shutil.copytree(cluster.folder / host / part, root / part)
            (root / "state/metrics").mkdir(parents=True)
            cluster.sql("CREATE ROLE shop LOGIN")
            cluster.sql("CREATE DATABASE shop OWNER shop")
        made["live"].sql(f"SET ROLE shop; {SHOP}", "shop")
        made["stage"].sql("SET ROLE shop; CREATE TABLE visits (old int)", "shop")
        yield Site(made["live"], made["stage"], folder)
    finally:
        for name, cluster in made.items():
            shutil.rmtree(Path("/opt") / NAMES[name], ignore_errors=True)
            listed = docker(
                "ps", "--all", "--format", "{{.Names}}", "--filter", f"name=^{NAMES[name]}-"
            ).split()
            if listed:
                docker("rm", "--force", *listed)
            cluster.remove()


WAY = ("-e", "source=live", "-e", "target=stage")


def test_a_copy_that_is_not_meant_is_refused_before_anything_is_done(site: Site) -> None:
    for words in (
        WAY,
        ("-e", "source=live", "-e", "target=live", "-e", "confirm=live"),
        (*WAY, "-e", "confirm=live"),
    ):
        code, told = site.play("clone_environment", *words)
        assert code and "Name two environments, and the target once more as consent" in told, told
    code, told = site.play(
        "clone_environment", "-e", "source=stage", "-e", "target=live", "-e", "confirm=live"
    )
    assert code and "live is protected: no copy may replace its databases" in told, told
    code, told = site.play("clone_environment", *WAY, "-e", "confirm=stage", data={"protected": True, **DATA})
    assert code and "stage is protected" in told, told
    # Nobody has said what becomes of e-mail addresses.
    some = {"databases": {"shop": {"masking": {"visits": {"page": "public"}}}}}
    code, told = site.play("clone_environment", *WAY, "--check", data=some)
    assert code and "to paste and to judge: masking: visits: email: hash # text" in told, told
    assert site.stage.sql("SELECT count(*) FROM pg_database WHERE datname ~ 'shop'") == "1"


def test_a_dry_run_says_what_it_would_be_and_does_nothing(site: Site) -> None:
    code, told = site.play("clone_environment", *WAY, "--check")
    assert not code, told
    assert "shop: 1 tables, " in told and "visits: email fake_email, page public" in told
    assert site.stage.sql("SELECT count(*) FROM pg_database WHERE datname ~ 'shop'") == "1"


def test_rows_are_deleted_when_they_are_old_and_only_then(site: Site) -> None:
    code, told = site.play("retention", "-l", "live", "--check", "--diff")
    # 365 is as old as it may be, and by the time of asking a little older.
    assert not code and "shop: visits: 136 rows are old enough" in told, told
    assert site.live.sql("SELECT count(*) FROM visits", "shop") == "500"
    code, told = site.play("retention", "-l", "live")
    assert not code and "shop: visits: 136 rows deleted" in told, told
    assert site.live.sql("SELECT count(*), max(id) FROM visits", "shop") == "364|364"
    told = (Path("/opt") / NAMES["live"] / "state/metrics/retention.prom").read_text()
    assert 'slipway_retention_rows_total{database="shop",table="visits"} 136' in told
    code, told = site.play("retention", "-l", "live")
    assert not code and "changed=0" in told and "visits: 0 rows deleted" in told, told


def test_a_person_gets_all_that_is_held_of_it_and_nothing_of_others(site: Site) -> None:
    file = site.folder / "held.json"
    code, told = site.play(
        "subject", "-l", "live", "-e", "do=export", "-e", f"subject={CANARY}", "-e", f"file={file}", "-vvv"
    )
    assert not code, told
    assert json.loads(file.read_text()) == {"shop": [{"id": n, "page": "/home"} for n in (1, 2, 3)]}
    assert file.stat().st_mode & 0o777 == 0o600
    code, told = site.play(
        "subject", "-l", "live", "-e", "do=export", "-e", f"subject={CANARY}", "-e", f"file={file}"
    )
    assert code and "is there already" in told, told


def test_masked_data_arrive_and_what_they_replace_is_kept(site: Site) -> None:
    code, told = site.play("backup", "-l", "live", "-e", "type=full")
    assert not code, told
    site.live.archived()
    code, told = site.play("clone_environment", *WAY, "-e", "confirm=stage")
    assert not code, told
    assert "no value of 1 masked columns is in them any more" in told and "shop: replaced" in told
    assert site.stage.sql("SELECT count(*), count(DISTINCT email) FROM visits", "shop") == "364|362"
    everything = site.stage.sql("SELECT visits::text FROM visits", "shop")
    assert CANARY not in everything and "private.example" not in everything
    assert site.stage.sql("SELECT count(old) FROM visits", "shop_before_clone") == "0"
    for name in NAMES.values():
        left = [path.name for path in (Path("/opt") / name).rglob("*.dump")]
        assert left == []
    assert "-clone" not in docker("ps", "--all", "--format", "{{.Names}}")


def test_a_person_is_erased_in_one_transaction_and_the_record_does_not_name_it(site: Site) -> None:
    words = ("subject", "-l", "live", "-e", "do=erase", "-e", f"subject={CANARY}")
    code, told = site.play(*words)
    assert code and f"-e confirm={NAMES['live']}" in told, told
    code, told = site.play(*words, "--check", "--diff")
    assert not code and "shop: visits: 3 deleted, 1 changed" in told, told
    assert site.live.sql("SELECT count(*) FROM visits", "shop") == "364"
    code, told = site.play(*words, "-e", f"confirm={NAMES['live']}", "-e", "reference=GDPR-17")
    assert not code and "shop: visits: 3 deleted, 1 changed" in told, told
    assert site.live.sql("SELECT count(*) FROM visits", "shop") == "361"
    record = site.live.sql("SELECT r::text FROM slipway.subject_requests r ORDER BY at")
    assert "GDPR-17" in record and '""deleted"": 3' in record and CANARY not in record
    code, told = site.play(*words, "-e", f"confirm={NAMES['live']}")
    assert not code and "visits: 0 deleted, 1 changed" in told, told


def test_the_program_of_the_timer_does_the_same_without_ansible(site: Site, tmp_path: Path) -> None:
    program = installed("retention", tmp_path / "program")
    settings = Path("/opt") / NAMES["live"] / "config/host/retention/settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    rule = {"database": "shop", "table": "visits", "column": "at", "keep": 300 * 86_400}
    settings.write_text(json.dumps([rule]))
    for what, said in (
        ("due", "65 rows are old enough"),
        ("delete", "65 rows deleted"),
        ("due", "visits: 0 rows"),
    ):
        command = ["python3", "-I", str(program), NAMES["live"], what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
    settings.write_text(json.dumps([{**rule, "table": "nowhere"}, rule]))
    command = ["python3", "-I", str(program), NAMES["live"], "delete"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and 'relation "nowhere" does not exist' in done.stdout
    told = (Path("/opt") / NAMES["live"] / "state/metrics/retention.prom").read_text()
    assert 'slipway_retention_ok{database="shop",table="nowhere"} 0' in told
    assert 'slipway_retention_ok{database="shop",table="visits"} 1' in told
