"""Roles and databases on a real server: made once, corrected where they differ, and logged in to."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import (
    postgres_report_sql,
    scram,
)
from ansible_collections.slipway.compose.plugins.modules import database as module
from conftest import run

ROLE = {"name": "shop", "password": "first-password", "settings": {"statement_timeout": "30s", "jit": False}}
DATABASE = {"name": "shop", "owner": "shop", "connect": ["monitor"], "extensions": ["pg_trgm"]}
MONITOR = {"name": "monitor", "member_of": ["pg_monitor"], "connection_limit": 5}


@pytest.fixture
def ensure(container, server, capsys):
    def ensure(**more):
        arguments = {"container": container, "roles": [ROLE, MONITOR], "databases": [DATABASE], "wait": 0}
        with patch_module_args({**arguments, **more}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return ensure


def logs_in(container, user, password):
    """Whether a client over TCP is let in."""
    client = [
        "docker",
        "exec",
        "-e",
        "PGPASSWORD",
        container,
        "psql",
        "-h",
        "127.0.0.1",
        "-U",
        user,
        "-d",
        "shop",
    ]
    environment = {**os.environ, "PGPASSWORD": password}
    return (
        subprocess.run(
            [*client, "-c", "SELECT 1"], env=environment, capture_output=True, check=False
        ).returncode
        == 0
    )


def test_what_is_missing_is_predicted_made_and_left_alone(ensure, server, container):
    predicted = ensure(_ansible_check_mode=True)
    assert predicted["changed"] and server.ask("SELECT count(*) FROM pg_roles WHERE rolname = 'shop';") == "0"
    made = ensure()
    assert made["steps"] == predicted["steps"]
    assert made["steps"] == [
        "create role shop",
        "set password of role shop",
        "set jit = off for role shop",
        "set statement_timeout = 30s for role shop",
        "create role monitor",
        "limit role monitor to 5 connections",
        "make role monitor a member of pg_monitor",
        "create database shop owned by shop",
        "close database shop to everybody but its owner",
        "let role monitor connect to database shop",
        "create extension pg_trgm in shop",
    ]
    assert "first-password" not in json.dumps({key: made[key] for key in ("steps", "diff")})
    again = ensure()
    assert again["changed"] is False and again["steps"] == []
    assert logs_in(container, "shop", "first-password")
    assert not logs_in(container, "shop", "another-password")


def test_what_differs_is_corrected(ensure, server, container):
    ensure()
    server.ask("""ALTER DATABASE shop OWNER TO postgres; GRANT CONNECT ON DATABASE shop TO PUBLIC;
        ALTER ROLE shop NOLOGIN; ALTER ROLE shop SET work_mem = '8MB';""")
    server.on("shop").ask("GRANT CREATE ON SCHEMA public TO PUBLIC; DROP EXTENSION pg_trgm;")
    changed = ensure(roles=[{**ROLE, "password": "second-password"}, MONITOR])
    assert changed["steps"] == [
        "allow login of role shop",
        "change password of role shop",
        "reset work_mem for role shop",
        "give database shop from postgres to shop",
        "close database shop to everybody but its owner",
        "close schema public of shop to everybody but its owner",
        "create extension pg_trgm in shop",
    ]
    assert logs_in(container, "shop", "second-password")
    assert not ensure(roles=[{**ROLE, "password": "second-password"}, MONITOR])["changed"]


def test_no_password_and_no_verifier_reaches_the_log(ensure, container):
    ensure()
    out, err = run(["docker", "logs", container])[1:]
    logged = out + err
    assert "shop" in logged
    assert "first-password" not in logged
    assert "SCRAM-SHA-256$4096" not in logged


@pytest.mark.parametrize(
    "password", ["simple", "with 'quotes' \\", "pässwörd", "Ⅸ\u00a0\u00ad", "\u0627\u0031", "x\u0007é"]
)
def test_the_server_and_we_make_the_same_of_a_password(server, password):
    assert server.send(f"CREATE ROLE twin PASSWORD E'{escaped(password)}';").ok
    stored = server.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'twin';")
    assert scram.matches(password, stored)
    assert not scram.matches(password + "x", stored)


def escaped(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")


def test_a_declaration_that_the_server_refuses_is_named(ensure):
    refused = ensure(databases=[{"name": "shop", "owner": "nobody-there"}])
    assert refused["failed"]
    assert refused["msg"].startswith("cannot create database shop owned by nobody-there: role")


TRAPS = """
SET ROLE shop;
CREATE FUNCTION public.trap(oid, integer) RETURNS boolean LANGUAGE plpgsql
    AS 'BEGIN RESET ROLE; ALTER ROLE shop SUPERUSER; RETURN false; END';
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = public.trap);
CREATE FUNCTION public.trap(integer, real) RETURNS real LANGUAGE plpgsql
    AS 'BEGIN RESET ROLE; ALTER ROLE shop SUPERUSER; RETURN 0; END';
CREATE OPERATOR public.- (LEFTARG = integer, RIGHTARG = real, FUNCTION = public.trap);
CREATE TABLE public.wares AS SELECT generate_series(1, 10) AS id;
ANALYZE public.wares;
"""


def test_no_operator_of_an_owner_is_used_by_whoever_looks_into_its_database(ensure, server):
    ensure()
    assert server.on("shop").send(TRAPS).ok
    ensure()
    postgres_report_sql.ask(server)
    assert server.ask("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop';") == "f"
