"""What is archived where and by whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_layout import (
    password,
    restoring,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_plan import (
    Settings,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import platform_secrets
from whole_stack import SECRETS, rendered, stack, usual, with_archive, with_backup, with_service

CHECKOUT = Path(__file__).resolve().parents[2]
ROLE = CHECKOUT / "roles/host"
VARIABLES = {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}}


def test_a_stack_that_keeps_no_archive_has_nothing_of_it() -> None:
    for host in (1, 2, 3):
        with_backups = rendered(with_backup(stack(3)), f"h{host}.test")
        for tree in (usual(3, host), with_backups):
            assert not any("/archive" in path for path in tree)
            assert "archive" not in tree["docker-compose.prod.yml"]
    assert "archive" not in host_stack({"components": {"backup": {}}}, "a", ["a"], VARIABLES)
    assert not {"8434"} & set(host_stack({"components": {"backup": {}}}, "a", ["a"], VARIABLES)["peer_ports"])
    assert "archive_password" not in platform_secrets(with_backup(stack(3)))


def test_declaring_it_changes_no_container_but_adds_one() -> None:
    for host in (1, 2, 3):
        before = rendered(with_backup(stack(3)), f"h{host}.test")
        after = rendered(with_archive(stack(3)), f"h{host}.test")
        compose = [yaml.safe_load(tree["docker-compose.prod.yml"])["services"] for tree in (before, after)]
        assert {name: compose[1][name] for name in compose[0]} == compose[0]
        assert compose[1].keys() - compose[0].keys() == ({"archive-repository"} if host == 3 else set())
        changed = {path for path in after if after[path] != before.get(path)}
        assert not any(path.startswith(("config/redis/", "config/backup")) for path in changed)


def test_the_repository_takes_no_orders_to_delete_and_no_strangers() -> None:
    text = rendered(with_archive(stack(3)), "h3.test")["docker-compose.prod.yml"]
    command = yaml.safe_load(text)["services"]["archive-repository"]["command"]
    assert command[:3] == ["rclone", "serve", "restic"]
    assert {"--append-only", "--client-ca=/config/tls/ca.crt", "--cache-objects=false"} <= set(command)


def test_a_host_opens_its_own_archives_and_those_of_redis_alone() -> None:
    base = with_archive(stack(5))
    trees = {host: rendered(base, f"h{host}.test") for host in range(1, 6)}
    opened = {
        host: {path.split("/")[-1] for path in tree if path.endswith(".password")}
        for host, tree in trees.items()
    }
    assert opened[1] == {"host-h1.test.password", "redis.password"}
    assert opened[4] == {"host-h4.test.password"}
    assert opened[5] == {*(f"host-h{number}.test.password" for number in range(1, 6)), "redis.password"}
    assert len({trees[5][f"config/host/archive/{name}"] for name in opened[5]}) == 6
    assert not any(SECRETS["archive_password"] in text for tree in trees.values() for text in tree.values())
    assert "config/host/archive/redis_admin" not in trees[4]


def test_a_password_depends_on_the_secret_and_on_the_repository() -> None:
    made = {password(secret, of) for secret in ("a", "b") for of in ("host-h1", "redis")}
    assert len(made) == 4 and password("a", "redis") in made


def test_programs_read_what_is_rendered() -> None:
    base = with_service(stack(3), "api", volumes={"uploads": "/data"}, hosts=("h1.test",))
    told = {
        host: Settings.from_dict(json.loads(text))
        for host in ("h1.test", "h3.test")
        for path, text in rendered(with_archive(base, "alertmanager", "api.uploads"), host).items()
        if path == "config/host/archive/settings.json"
    }
    assert (told["h1.test"].volumes, told["h3.test"].volumes) == (("api.uploads",), ("alertmanager",))
    assert told["h1.test"].repository == "10.0.0.3:8434" and told["h1.test"].redis_port == 6379
    assert (told["h1.test"].keeps, len(told["h3.test"].keeps)) == ((), 4)


@pytest.mark.parametrize(
    ("archive", "secrets", "expected"),
    [
        ({"volumes": ["alertmanger"]}, {}, "archive/volumes/0: alertmanger is no volume.*Did you mean alert"),
        ({"volumes": ["postgres"]}, {}, "archive/volumes/0: postgres is no volume.*a way of its own"),
        ({"volumes": ["web.uploads"]}, {}, "archive/volumes/0: web.uploads is no volume to archive"),
        ({"keep_days": 0}, {}, "archive/keep_days: is 0, out of range"),
        ({"at": "3"}, {}, "archive/at: .*a time of day"),
        ({"when": "03:00"}, {}, "archive/when: is not a known key"),
        ({}, {"archive_password": {"generate": 32}}, "secrets/archive_password: has a name the platform"),
    ],
)  # fmt: skip
def test_what_cannot_be_archived_is_refused(
    definition: dict[str, Any], hosts: Any, archive: Any, secrets: Any, expected: str
) -> None:
    definition["components"] = {"backup": {"archive": archive}}
    definition["secrets"] = secrets
    with pytest.raises(InvalidInputError, match=expected):
        parse_stack(definition, hosts)


def test_the_smallest_declaration_keeps_a_week_and_the_silences(
    definition: dict[str, Any], hosts: Any
) -> None:
    definition["components"] = {"backup": {"archive": {}}}
    backup = parse_stack(definition, hosts).components.backup
    assert backup and backup.archive
    assert (backup.archive.keep_days, backup.archive.volumes) == (7, ("alertmanager",))
    for off in ({"backup": {}}, {"backup": {"archive": False}}):
        definition["components"] = off
        backup = parse_stack(definition, hosts).components.backup
        assert backup and backup.archive is None


def test_every_host_archives_and_the_keeper_deletes() -> None:
    declared = {"components": {"backup": {"archive": {"at": "04:30"}}}}
    told = {host: host_stack(declared, host, ["a", "b"], VARIABLES) for host in ("a", "b")}
    assert told["a"]["archive"] == {"take": "*-*-* 04:30:00 UTC", "keep": "", "second": ""}
    assert told["b"]["archive"]["keep"].endswith(":30:00 UTC") and told["b"]["archive"]["second"] == ""
    assert "8434" in told["a"]["peer_ports"]


@pytest.mark.parametrize(
    ("what", "on", "expected"),
    [
        ("redis", "", ("h1.test",)),
        ("redis", "h2.test", ("h2.test",)),
        ("files", "", ("h1.test", "h2.test", "h3.test")),
        ("volume:alertmanager", "", ("h3.test",)),
        ("volume:api.uploads", "h2.test", ("h2.test",)),
    ],
)
def test_something_comes_back_on(what: str, on: str, expected: tuple[str, ...]) -> None:
    base = with_service(stack(3), "api", volumes={"uploads": "/data"})
    assert restoring(with_archive(base, "alertmanager", "api.uploads"), what, on) == expected


@pytest.mark.parametrize(
    ("what", "on", "expected"),
    [
        ("postgres", "", "cannot be restored"),
        ("volume:prometheus", "", "is not archived"),
        ("volume:alertmanager", "h1.test", "of h1.test is not archived"),
        ("volume:api.uploads", "", "is on several hosts"),
    ],
)
def test_what_cannot_come_back_is_refused(what: str, on: str, expected: str) -> None:
    base = with_service(stack(3), "api", volumes={"uploads": "/data"})
    with pytest.raises(SlipwayError, match=expected):
        restoring(with_archive(base, "alertmanager", "api.uploads"), what, on)


KEEP, SECOND = "slipway-archive-keep", "slipway-archive-second"
COPYING = {"archive_second", "archive_copy"}


@pytest.mark.parametrize(
    ("archive", "unwanted", "metrics"),
    [
        pytest.param(
            None,
            {"slipway-archive", KEEP, SECOND},
            {"archive", "archive_keep", "archive_take", *COPYING},
            id="none-at-all",
        ),
        pytest.param(
            {"take": "03:00", "keep": "", "second": ""},
            {KEEP, SECOND},
            {"archive", "archive_keep", *COPYING},
            id="another-host-keeps",
        ),
        pytest.param(
            {"take": "03:00", "keep": "*:30", "second": ""}, {SECOND}, COPYING, id="there-is-no-second-place"
        ),
        pytest.param({"take": "03:00", "keep": "*:30", "second": "*:50"}, set(), set(), id="all-of-them"),
    ],
)
def test_services_of_archives_go_with_their_timers_and_with_what_they_told(
    archive: dict[str, str] | None, unwanted: set[str], metrics: set[str]
) -> None:
    loader = DataLoader()
    variables = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)
    known = {**variables, "host_stack": {} if archive is None else {"archive": archive}}
    templar = Templar(loader=loader, variables=known)
    told = templar.template(variables["_host_archive_units_unwanted"])
    assert set(told) == {f"{name}.{kind}" for name in unwanted for kind in ("service", "timer")}
    assert set(templar.template(variables["_host_archive_metrics_unwanted"])) == metrics
    wanted = {f"{name}.timer" for name in {"slipway-archive", KEEP, SECOND} - unwanted}
    assert set(templar.template(variables["_host_archive_timers"])) == wanted
