"""What databases and Redis get, and what every data container keeps: rendered, read back, and judged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import PORTS, topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import COMPOSE_FOLDER, Material, render
from whole_stack import CERTIFICATE, IMAGES, SECRETS, compose, rendered, stack, usual, with_service

DATA = ("etcd", "postgres", "pgbouncer", "redis", "sentinel", "local-router")
DATA_IMAGES = ("etcd", "postgres", "pgbouncer", "redis", "haproxy")
EVERY_HOST = [(count, host) for count in (1, 2, 3, 6) for host in range(1, count + 1)]
HEALTH = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}


def with_postgres(base: Stack, **changes: Any) -> Stack:
    assert base.components.postgres
    return replace(
        base, components=replace(base.components, postgres=replace(base.components.postgres, **changes))
    )


def dynamic(base: Stack) -> dict[str, Any]:
    """Patroni's cluster-wide settings."""
    parsed: dict[str, Any] = json.loads(rendered(base)["config/postgres/dynamic.json"])
    return parsed


def local(base: Stack) -> dict[str, Any]:
    """Patroni's settings of one member."""
    parsed: dict[str, Any] = yaml.safe_load(rendered(base)["config/postgres/patroni.yml"])
    return parsed


@pytest.mark.parametrize(("count", "host"), EVERY_HOST)
def test_every_container_is_hardened_limited_and_watched(count: int, host: int) -> None:
    services = {name: item for name, item in compose(count, host).items() if name in DATA}
    assert services
    for name, item in services.items():
        assert item["read_only"] is True, name
        assert item["init"] is True, name
        assert item["cap_drop"] == ["ALL"], name
        assert item["security_opt"] == ["no-new-privileges:true"], name
        assert item["restart"] == "unless-stopped", name
        assert item["user"] == f"{COMPONENTS[name].uid}:{COMPONENTS[name].uid}", name
        assert {"cpus", "mem_limit", "pids_limit"} <= item.keys(), name
        assert item["healthcheck"].keys() == HEALTH, name


@pytest.mark.parametrize(("count", "host"), EVERY_HOST)
def test_containers_publish_on_the_private_address_only(count: int, host: int) -> None:
    for name in DATA:
        for published in compose(count, host).get(name, {}).get("ports", []):
            assert published.startswith(f"10.0.0.{host}:"), f"{name}: {published}"


@pytest.mark.parametrize(("count", "host"), EVERY_HOST)
def test_no_secret_stands_in_the_compose_file(count: int, host: int) -> None:
    document = usual(count, host)["docker-compose.prod.yml"]
    assert [name for name, value in SECRETS.items() if value in document] == []


def test_secrets_are_readable_by_their_container_only() -> None:
    base = stack(3)
    laid = topology(base)
    images = dict.fromkeys([*IMAGES, *base.services], "image")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    files = render(laid, laid.views["h1.test"], Material(images, SECRETS, "CA", certificates, {}))
    holding = [file for file in files if any(value in file.content for value in SECRETS.values())]
    owners = {(file.path.split("/")[1], file.mode, file.owner) for file in holding}
    own = {(name, mode, owner) for name, mode, owner in owners if name in DATA}
    assert own == {
        (name, 0o400, COMPONENTS[name].uid) for name in ("postgres", "pgbouncer", "redis", "sentinel")
    }


def test_a_file_is_rendered_or_copied_never_both() -> None:
    """Of two with one name the last would be written, and no release would ever be seen as stored."""
    found = [path for path in (COMPOSE_FOLDER / "config").rglob("*") if path.is_file()]
    assert len({path.with_name(path.name.removesuffix(".j2")) for path in found}) == len(found)


@pytest.mark.parametrize(
    ("count", "members"),
    [pytest.param(1, 1, id="alone"), pytest.param(3, 3, id="three"), pytest.param(6, 3, id="six")],
)
def test_etcd_knows_all_members_from_the_start(count: int, members: int) -> None:
    files = usual(count, 1)
    script = files["config/etcd/start.sh"]
    expected = [f"h{index}.test=https://10.0.0.{index}:2380" for index in range(1, members + 1)]
    assert files["config/etcd/members"].splitlines() == expected
    assert "--client-cert-auth" in script
    assert "--peer-client-cert-auth" in script
    assert script.startswith("#!/bin/bash\n")
    assert ("step_aside &" in script) is (members > 1), "alone there is nobody to step aside for"


@pytest.mark.parametrize(
    ("count", "synchronous", "mode"),
    [
        pytest.param(1, True, False, id="nobody-to-wait-for"),
        pytest.param(2, True, True, id="the-one-standby"),
        pytest.param(3, True, "quorum", id="any-of-two-standbys"),
        pytest.param(3, False, False, id="not-wanted"),
    ],
)
def test_commits_wait_for_a_standby_where_there_is_one(count: int, synchronous: bool, mode: object) -> None:
    assert dynamic(with_postgres(stack(count), synchronous=synchronous))["synchronous_mode"] == mode


def test_the_times_keep_patronis_own_rule() -> None:
    settings = dynamic(stack(3))
    # What the image makes the least that Patroni takes.
    assert 10 <= settings["ttl"] <= 15
    assert settings["loop_wait"] + 2 * settings["retry_timeout"] <= settings["ttl"]


def test_bootstrap_and_later_changes_say_the_same() -> None:
    assert local(stack(3))["bootstrap"]["dcs"] == dynamic(stack(3))


def test_the_users_parameters_win_where_patroni_takes_them() -> None:
    base = with_postgres(
        stack(3), parameters={"work_mem": "8MB", "jit": "on", "max_wal_senders": "20"}, max_connections=77
    )
    cluster_wide = dynamic(base)["postgresql"]["parameters"]
    assert cluster_wide["max_wal_senders"] == "20"
    assert cluster_wide["max_connections"] == 77
    assert "work_mem" not in cluster_wide
    own = local(base)["postgresql"]["parameters"]
    assert (own["work_mem"], own["jit"], own["shared_buffers"]) == ("8MB", "on", "64MB")


@pytest.mark.parametrize(
    ("own", "loaded"),
    [
        pytest.param({}, "pg_stat_statements", id="nothing-of-its-own"),
        pytest.param({"shared_preload_libraries": ""}, "pg_stat_statements", id="none"),
        pytest.param(
            {"shared_preload_libraries": "auto_explain, pg_cron"},
            "auto_explain,pg_cron,pg_stat_statements",
            id="others",
        ),
        pytest.param(
            {"shared_preload_libraries": "pg_stat_statements,pg_cron"},
            "pg_stat_statements,pg_cron",
            id="named-already",
        ),
    ],
)
def test_statements_are_counted_whatever_else_a_stack_loads(own: dict[str, str], loaded: str) -> None:
    parameters = local(with_postgres(stack(3), parameters=own))["postgresql"]["parameters"]
    assert parameters["shared_preload_libraries"] == loaded


def test_no_password_is_kept_with_the_statements() -> None:
    assert local(stack(3))["postgresql"]["parameters"]["pg_stat_statements.track_utility"] == "off"
    sql = usual(3, 1)["config/postgres/roles.sql"]
    assert 0 < sql.index("SET pg_stat_statements.track_utility = off;") < sql.index("PASSWORD")


@pytest.mark.parametrize(("count", "asked"), [(1, False), (2, True), (3, True)])
def test_a_member_that_cannot_write_is_not_promoted_where_there_is_another(count: int, asked: bool) -> None:
    tree = rendered(stack(count))
    assert ("pre_promote" in yaml.safe_load(tree["config/postgres/patroni.yml"])["postgresql"]) == asked
    assert "config/postgres/can-write.sh" in tree


def test_postgres_lets_nobody_in_without_tls_and_no_superuser_over_the_network() -> None:
    rules = [rule.split() for rule in local(stack(3))["postgresql"]["pg_hba"]]
    remote = [rule for rule in rules if rule[0] != "local"]
    assert {rule[0] for rule in remote} == {"hostssl"}
    assert remote[0][1:] == ["all", "postgres", "all", "reject"]
    assert {rule[-1] for rule in remote[1:]} == {"scram-sha-256"}


def test_postgres_lets_its_own_user_in_as_anybody_and_nobody_else() -> None:
    """Patroni, and whoever restores a copy, comes in before a map is asked, whatever became of that file."""
    settings = local(stack(3))["postgresql"]
    assert [rule for rule in settings["pg_hba"] if rule.startswith("local")] == [
        "local all postgres peer",
        "local all all peer map=slipway",
    ]
    assert settings["pg_ident"] == ["slipway postgres all"]


def test_passwords_are_quoted_as_each_file_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "database_wayfare", """it's "so" \\ """)
    tree = rendered(stack(1))
    assert """PASSWORD 'it''s "so" \\ ';""" in tree["config/postgres/roles.sql"]
    assert '"wayfare" "it\'s ""so"" \\ "' in tree["config/pgbouncer/userlist.txt"]


def test_pgbouncer_finds_its_member_without_a_name_server() -> None:
    # A name server of a site may say for hours that a member does not exist which was away for a second.
    (told,) = re.findall(
        r"^\w+ = host=(\S+) port=(\d+) ", rendered(stack(3))["config/pgbouncer/pgbouncer.ini"], re.M
    )
    assert ip_address(told[0]) and int(told[1]) == PORTS["postgres"]


def test_every_database_has_one_owner_and_one_pool() -> None:
    tree = rendered(with_service(stack(3), "journeys", database="wayfare"))
    roles = tree["config/postgres/roles.sql"]
    assert re.findall(r'CREATE DATABASE "(\w+)" OWNER "(\w+)"', roles) == [("wayfare", "wayfare")]
    assert tree["config/pgbouncer/pgbouncer.ini"].count("\nwayfare = ") == 1
    users = re.findall(r'^"(\w+)"', tree["config/pgbouncer/userlist.txt"], re.MULTILINE)
    assert users == ["monitor", "wayfare"]


@pytest.mark.parametrize(
    ("count", "quorum", "stops_alone"),
    [
        pytest.param(1, 1, False, id="alone"),
        pytest.param(2, 2, False, id="two-must-not-stop-each-other"),
        pytest.param(3, 2, True, id="three"),
    ],
)
def test_redis_fails_over_by_majority(count: int, quorum: int, stops_alone: bool) -> None:
    tree = usual(count, 1)
    assert f"sentinel monitor wayfare @MASTER@ 6379 {quorum}\n" in tree["config/sentinel/sentinel.conf"]
    assert ("min-replicas-to-write 1" in tree["config/redis/redis.conf"]) is stops_alone


def sentinel_milliseconds(tree: dict[str, str], setting: str) -> int:
    found = re.search(rf"^sentinel {setting} wayfare (\d+)$", tree["config/sentinel/sentinel.conf"], re.M)
    assert found
    return int(found[1])


def test_a_master_that_is_cut_off_takes_no_write_any_more_once_there_can_be_another() -> None:
    tree = usual(3, 1)
    (lag,) = re.findall(r"^min-replicas-max-lag (\d+)$", tree["config/redis/redis.conf"], re.M)
    # The reports and who counts them: each up to a second.
    assert 1000 * (int(lag) + 2) <= sentinel_milliseconds(tree, "down-after-milliseconds")


def test_a_planned_move_waits_longer_than_sentinel_may_take() -> None:
    tree = usual(3, 1)
    move = tree["config/redis/move-master.sh"]
    seconds = {name: int(number) for name, number in re.findall(r"^([A-Z_]+)=(\d+)$", move, re.M)}
    (answer,) = {int(told) for told in re.findall(r"timeout (\d+) redis-cli", move)}
    pause = seconds.pop("PAUSE") / 1000
    assert seconds["DECIDED"] > 2 * sentinel_milliseconds(tree, "failover-timeout") / 1000
    # A look that begins in time may end an answer later.
    assert pause > sum(wait + answer for wait in seconds.values())


def test_what_watches_redis_does_not_know_the_applications_password() -> None:
    tree = usual(3, 1)
    for path in ("config/redis/monitor.auth", "config/redis-exporter/passwords.json"):
        assert SECRETS["redis_monitor"] in tree[path]
        assert f'"{SECRETS["redis"]}"' not in tree[path]
    (application,) = re.findall(r"^user default .+$", tree["config/redis/redis.conf"], re.M)
    assert SECRETS["redis_monitor"] not in application


def test_redis_speaks_tls_only_and_keeps_administration_from_the_application() -> None:
    settings = usual(3, 1)["config/redis/redis.conf"].splitlines()
    assert "port 0" in settings
    assert "tls-port 6379" in settings
    (application,) = (line for line in settings if line.startswith("user default "))
    assert "-@admin -@dangerous -publish" in application
    assert SECRETS["redis_admin"] not in application


def test_redis_and_sentinel_ask_for_the_master_in_the_same_way() -> None:
    tree = usual(3, 2)
    for name in ("current-master.sh", "settings", "sentinel.auth"):
        assert tree[f"config/redis/{name}"].strip() == tree[f"config/sentinel/{name}"].strip()
    assert 'MEMBERS="10.0.0.1 10.0.0.2 10.0.0.3"' in tree["config/redis/settings"]


@pytest.mark.parametrize("image", DATA_IMAGES)
def test_an_image_is_built_from_the_versions_written_in_one_place(image: str) -> None:
    folder: Path = COMPOSE_FOLDER / "images"
    versions = yaml.safe_load((folder / "versions.yml").read_text(encoding="utf-8"))[image]
    recipe = (folder / image / "Dockerfile").read_text(encoding="utf-8")
    wanted = re.findall(r"^ARG (\w+_VERSION)$", recipe, re.MULTILINE)
    assert sorted(wanted) == sorted(versions)
    for name in wanted:
        assert f"={'${'}{name}:?}}" in recipe
