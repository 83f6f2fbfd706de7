"""What a stack with backups gets, what one without does not, and what the backup host remembers and tells."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_report import (
    Check,
    LastRun,
    Reports,
    Verification,
    metrics,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import Settings
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_sql import script
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import main
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import (
    S3,
    Assertion,
    SecondRepository,
)
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import platform_secrets
from host_programs import installed
from whole_stack import SECRETS, rendered, stack, usual, with_backup

CHECKOUT = Path(__file__).resolve().parents[2]
ROLE = CHECKOUT / "roles/host"
PROOF = Verification(
    "20261126T050311-3f2a9c",
    "2026-11-26T05:03:11+00:00",
    "2026-11-26T05:04:11+00:00",
    1,
    "20261126-020412F",
    ok=False,
    newest="2026-11-26T05:02:30.000+00:00",
    rpo=41.0,
    rto=38.5,
    bytes=1 << 30,
    checks=(Check("wal", True, "well", 0.5), Check("pages", False, 'index "it\'s" is corrupt', 3.0)),
)
VARIABLES = {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}}


def services(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text)["services"]
    return parsed


def test_a_stack_without_backups_has_nothing_of_them() -> None:
    for host in (1, 2, 3):
        for path, text in usual(3, host).items():
            assert "backup" not in path
            assert (
                "pgbackrest" not in text and "archive_command" not in text and "postgres-socket" not in text
            )
    assert "8432" not in host_stack({}, "a", ["a"], VARIABLES)["peer_ports"]
    assert "backup" not in host_stack({}, "a", ["a"], VARIABLES)
    assert not any("backup" in name for name in platform_secrets(stack(3)))


def test_members_archive_to_the_repository_and_let_it_read() -> None:
    tree = rendered(with_backup(stack(3), wal_every=90), "h1.test")
    parameters = yaml.safe_load(tree["config/postgres/patroni.yml"])["postgresql"]["parameters"]
    assert parameters["archive_mode"] == "on"
    assert parameters["archive_timeout"] == "90s"
    assert parameters["archive_command"].endswith("--stanza=wayfare archive-push %p")
    found = services(tree["docker-compose.prod.yml"])
    assert "backup-repository" not in found
    assert "postgres:/var/lib/postgresql:ro" in found["backup-agent"]["volumes"]
    assert not any(mount.startswith("/run/postgresql") for mount in found["postgres"]["tmpfs"])
    told = tree["config/backup-agent/pgbackrest.conf"]
    assert "repo1-host=10.0.0.3" in told and "tls-server-auth=h3.test=wayfare" in told


def test_keys_stay_on_the_host_that_keeps_the_backups() -> None:
    hidden = SECRETS["backup_cipher"]
    holding = {
        (host, path)
        for host in (1, 2, 3)
        for path, text in rendered(with_backup(stack(3)), f"h{host}.test").items()
        if hidden in text
    }
    assert holding == {
        (3, "config/backup-repository/pgbackrest.conf"),
        (3, "config/backup-repository/proof.conf"),
    }


def test_the_repository_knows_every_member_and_how_long_to_keep() -> None:
    text = rendered(with_backup(stack(3), keep_days=14), "h3.test")[
        "config/backup-repository/pgbackrest.conf"
    ]
    assert [line for line in text.splitlines() if line.endswith("=wayfare")] == [
        f"tls-server-auth=h{number}.test=wayfare" for number in (1, 2, 3)
    ]
    assert "pg3-host=10.0.0.3" in text
    assert "repo1-retention-full-type=time\nrepo1-retention-full=14\n" in text
    counted = rendered(with_backup(stack(3), keep_full=4), "h3.test")[
        "config/backup-repository/pgbackrest.conf"
    ]
    assert "repo1-retention-full-type=count\nrepo1-retention-full=4\n" in counted


def test_a_second_repository_is_encrypted_with_a_key_of_its_own() -> None:
    store = S3("s3.example.com", "shop", "eu", True, "redis", "redis_admin")
    base = with_backup(stack(3), second=SecondRepository("/shop", store, None))
    tree = rendered(base, "h3.test")
    text = tree["config/backup-repository/pgbackrest.conf"]
    assert f"repo2-cipher-pass={SECRETS['backup_second_cipher']}" in text
    assert "repo2-s3-uri-style=path" in text and f"repo2-s3-key={SECRETS['redis']}" in text
    assert json.loads(tree["config/backup-repository/settings.json"])["repositories"] == [1, 2]
    assert "repo2-host=10.0.0.3" in rendered(base, "h1.test")["config/backup-agent/pgbackrest.conf"]
    assert platform_secrets(base)[-3:] == ["backup_cipher", "backup_second_cipher", "database_wayfare"]


def test_a_second_repository_that_is_away_does_not_fail_the_first() -> None:
    store = S3("s3.example.com", "shop", "eu", True, "redis", "redis_admin")
    for second in (SecondRepository("/shop", store, None), None):
        base = with_backup(stack(3), second=second)
        agent = rendered(base, "h1.test")["config/backup-agent/pgbackrest.conf"]
        repository = rendered(base, "h3.test")["config/backup-repository/pgbackrest.conf"]
        assert ("[global:archive-push]" in agent and "io-timeout=10\n" in agent) is bool(second)
        assert ("\n[global:backup]\n" in repository and "archive-timeout=600\n" in repository) is bool(second)


def test_a_store_may_have_its_certificate_from_whom_the_host_trusts() -> None:
    store = S3("s3.example.com", "shop", "eu", True, "redis", "redis_admin")
    for second in (SecondRepository("/shop", store, None), None):
        tree = rendered(with_backup(stack(3), second=second), "h3.test")
        service = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]["backup-repository"]
        # In any case, so that a second place that is declared later restarts nothing.
        assert "/etc/ssl/certs:/host-certs:ro" in service["volumes"]
        named = "repo2-storage-ca-file=/host-certs/ca-certificates.crt"
        assert (named in tree["config/backup-repository/pgbackrest.conf"]) is bool(second)


def test_programs_read_what_is_rendered() -> None:
    asked = Assertion("orders", "wayfare", "SELECT 'it''s' = \"x\"")
    tree = rendered(with_backup(stack(3), every=4, assertions=(asked,)), "h3.test")
    settings = Settings.parse(json.loads(tree["config/backup-repository/settings.json"]))
    assert settings.container == "wayfare-backup-repository-1"
    assert settings.schedule.every == 4
    assert settings.members == tuple(f"https://10.0.0.{number}:8008" for number in (1, 2, 3))
    assert settings.assertions[0]["sql"] == asked.sql


@pytest.mark.parametrize(
    ("backup", "more", "expected"),
    [
        ({"hosts": ["app-1.example.com", "app-2.example.com"]}, {}, "names 2 hosts"),
        ({"hosts": ["app-1.example.com"]}, {"postgres": {"hosts": ["app-1.example.com"]}}, "lost together"),
        ({}, {"postgres": False}, "has no database to save"),
        ({"hosts": ["nowhere"]}, {}, "nowhere is not a host"),
        ({"second": {}}, {}, "names neither s3 nor sftp"),
        ({"assertions": [{"name": "a", "database": "b", "sql": "SELECT 1"}]}, {}, "no database of a service"),
        ({}, {"postgres": {"parameters": {"archive_command": "true"}}}, "is set by backups"),
        ({"at": "2:00"}, {}, "a time of day"),
        ({"every": "5h"}, {}, "one of"),
    ],
)  # fmt: skip
def test_what_would_be_no_backup_is_refused(
    definition: dict[str, Any], hosts: Any, backup: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    definition["services"]["web"]["database"] = "shop"
    definition["components"] = {"backup": backup, **more}
    with pytest.raises(InvalidInputError, match=expected):
        parse_stack(definition, hosts)


def test_the_smallest_declaration_keeps_thirty_days_on_the_last_host(
    definition: dict[str, Any], hosts: Any
) -> None:
    definition["components"] = {"backup": {}}
    found = parse_stack(definition, hosts).components.backup
    assert found and (found.hosts, found.keep_days, found.every) == (("app-3.example.com",), 30, 24)
    definition["components"] = {"backup": False}
    assert parse_stack(definition, hosts).components.backup is None


def test_timers_stand_on_the_host_that_keeps_the_backups() -> None:
    declared = {"components": {"backup": {"every": "12h", "verify_at": "06:15"}}}
    assert "backup" not in host_stack(declared, "a", ["a", "b"], VARIABLES)
    told = host_stack(declared, "b", ["a", "b"], VARIABLES)
    assert told["backup"] == {"backup": "*-*-* 02,14:00:00 UTC", "verify": "*-*-* 06:15:00 UTC"}
    assert {"8432", "8433"} <= set(told["peer_ports"])


def test_the_hosts_program_has_all_that_it_needs(tmp_path: Path) -> None:
    """As the role lays it out, in a Python that sees nothing of this checkout."""
    program = installed("backup", tmp_path / "program")
    for arguments, status, told in (
        ([], 2, "usage:"),
        (["shop", "scheduled"], 1, "keeps no backups of shop"),
    ):
        command = [sys.executable, "-I", str(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == status
        assert told in done.stderr


def test_a_wrong_call_says_how_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shop", "often"]) == 2
    assert "scheduled|verify" in capsys.readouterr().err


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    reports = Reports(tmp_path)
    reports.record_verification(PROOF)
    reports.record_run(LastRun("2026-11-26T02:04:12+00:00", "diff", True, 9.5))
    assert reports.verifications() == [PROOF]
    assert reports.last_run() == LastRun("2026-11-26T02:04:12+00:00", "diff", True, 9.5)
    reports.tell(None)
    assert "slipway_backup_last_ok 1\n" in (tmp_path / "state/metrics/backup.prom").read_text()


def test_the_monitoring_is_told_what_is_known_and_nothing_else() -> None:
    ended = datetime.fromisoformat(PROOF.ended).timestamp()
    assert list(metrics([], {}, None, None)) == []
    assert list(metrics([], {}, None, PROOF)) == [
        "slipway_backup_verification_ok 0",
        f"slipway_backup_verification_seconds {ended:.0f}",
        "slipway_backup_verification_rpo_seconds 41.0",
        "slipway_backup_verification_rto_seconds 38.5",
    ]
    assert datetime.fromtimestamp(ended, UTC).hour == 5


def test_a_proof_is_a_row_with_its_problems() -> None:
    text = script("shop", [PROOF])
    assert text.startswith("BEGIN;") and text.endswith("COMMIT;\n")
    assert "ON CONFLICT (id) DO NOTHING" in text
    assert "ARRAY['pages: index \"it''s\" is corrupt']::text[]" in text
