"""What the local router gets: rendered, read back, and judged."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import SECRETS, compose, rendered, stack, with_service

DATA = {"etcd", "postgres", "pgbouncer", "redis", "sentinel", "local-router"}


def without(base: Stack, *components: str) -> Stack:
    services = {name: replace(item, database=None, redis=False) for name, item in base.services.items()}
    absent: dict[str, Any] = dict.fromkeys(components)
    return replace(base, services=services, components=replace(base.components, **absent))


def section(configuration: str, head: str) -> str:
    """The lines of one HAProxy section."""
    found = re.search(rf"^{re.escape(head)}$\n((?:(?:[ \t].*)?\n)*)", configuration, re.MULTILINE)
    assert found, f"no section {head!r}"
    return found.group(1)


def router(base: Stack) -> str:
    return rendered(base)["config/local-router/haproxy.cfg"]


def test_replicas_find_everything_by_name() -> None:
    networks = compose(3, 1)["local-router"]["networks"]
    assert networks["app"]["aliases"] == ["postgres", "redis", "web", "api", "updates", "journeys", "worker"]
    bare = yaml.safe_load(rendered(without(stack(3), "postgres", "redis"))["docker-compose.prod.yml"])
    assert {"postgres", "redis"}.isdisjoint(bare["services"]["local-router"]["networks"]["app"]["aliases"])
    assert DATA & bare["services"].keys() == {"local-router"}


@pytest.mark.parametrize("absent", [("postgres",), ("redis",), ("postgres", "redis")], ids="-and-".join)
def test_the_router_serves_what_there_is(absent: tuple[str, ...]) -> None:
    configuration = router(without(stack(3), *absent))
    for name, port in (("postgres", 5432), ("postgres", 5433), ("redis", 6379)):
        assert (f"bind :{port}\n" in configuration) is (name not in absent)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_router_knows_every_replica_and_member(count: int) -> None:
    base = stack(count)
    configuration = router(base)
    for name in base.services:
        servers = re.findall(
            r"^    server (\S+) (\S+)", section(configuration, f"backend {name}"), re.MULTILINE
        )
        expected = [(it.server, f"{it.host.address}:{it.port}") for it in topology(base).replicas_of(name)]
        assert servers == expected
    for backend in ("postgres-primary", "postgres-replicas", "redis-master"):
        members = re.findall(r"^    server (\S+)", section(configuration, f"backend {backend}"), re.MULTILINE)
        assert members == [f"h{index}.test" for index in range(1, min(count, 3) + 1)]


def test_services_on_one_port_are_told_apart_by_name_and_strangers_refused() -> None:
    lines = section(router(stack(3)), "frontend services-8080").splitlines()
    assert "    acl known req.hdr(host),field(1,:) -i web api updates journeys worker" in lines
    assert sum("use_backend" in line for line in lines) == 5
    (refusal,) = (line for line in lines if "status 421" in line)
    assert refusal.endswith(" unless known")


def test_a_service_alone_on_its_port_answers_to_any_name() -> None:
    alone = section(router(with_service(stack(3), "journeys", port=9090)), "frontend services-9090")
    assert "default_backend journeys" in alone
    assert "421" not in alone


def test_grpc_health_is_asked_for_the_named_service() -> None:
    sent = re.search(r"send-binary ([0-9a-f]+)\n", section(router(stack(3)), "backend journeys"))
    assert sent
    rest = bytes.fromhex(sent.group(1)).removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    frames = []
    while rest:
        size = int.from_bytes(rest[:3], "big")
        frames.append((rest[3], rest[4], int.from_bytes(rest[5:9], "big"), rest[9 : 9 + size]))
        rest = rest[9 + size :]
    assert [frame[:3] for frame in frames] == [(4, 0, 0), (1, 4, 1), (0, 1, 1)]
    assert b"\x1c/grpc.health.v1.Health/Check" in frames[1][3]
    assert frames[2][3] == b"\x00\x00\x00\x00\x12\x0a\x10wayfare.Journeys"


def test_writes_go_to_exactly_one_server() -> None:
    configuration = router(stack(3))
    for frontend, backend in (("postgres-write", "postgres-primary"), ("redis", "redis-master")):
        lines = section(configuration, f"frontend {frontend}")
        assert f"content accept if {{ nbsrv({backend}) eq 1 }}" in lines
        assert "content reject if WAIT_END" in lines


def test_members_that_know_one_password_of_the_monitoring_user_or_both_are_asked_alike() -> None:
    sent = re.search(r"send-binary ([0-9a-f]+)\n", section(router(stack(3)), "backend redis-master"))
    assert sent
    words = bytes.fromhex(sent.group(1)).decode().split("\r\n")
    said = [word for word in words if word and word[0] not in "*$"]
    assert said == ["AUTH", "monitor", SECRETS["redis_monitor"], "AUTH", "monitor", SECRETS["redis"]]


def test_reads_fall_back_to_the_primary() -> None:
    lines = section(router(stack(3)), "frontend postgres-read")
    assert "use_backend postgres-replicas if { nbsrv(postgres-replicas) gt 0 }" in lines
    assert "default_backend postgres-primary" in lines
    assert "/replica?lag=1048576 " in section(router(stack(3)), "backend postgres-replicas")


def test_the_runtime_api_is_for_certificates_of_this_environment_only() -> None:
    configuration = router(stack(3))
    sockets = re.findall(r"^    stats socket (\S+)", configuration, re.MULTILINE)
    assert sockets == ["/run/haproxy/admin.sock", "/run/haproxy/api.sock"]
    bind = next(line for line in section(configuration, "frontend api").splitlines() if "bind" in line)
    assert bind.strip().startswith("bind :9998 ssl ")
    assert bind.endswith("ca-file /config/tls/ca.crt verify required")
