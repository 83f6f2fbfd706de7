"""A stack definition becomes a stack, or a list of every fault in it with path and remedy."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.schema import (
    schema,
    schema_service,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.kinds import (
    Entries,
    ListOf,
    Table,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack import ports
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Tls
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import (
    Resources,
    Route,
)
from hypothesis import given
from hypothesis import strategies as st

ABSENT = object()
WEB = "services/web"
DATABASE = {"image": "a/b:1", "port": 80, "health_path": "/", "database": "shop", "migrations": "m"}


def changed(definition: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split("/")
    table = definition
    for key in parents:
        table = table.setdefault(key, {})
    if value is ABSENT:
        del table[last]
    else:
        table[last] = value
    return definition


def complaints(definition: Any, hosts: list[Host]) -> list[str]:
    try:
        parse_stack(definition, hosts)
    except InvalidInputError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_defaults_are_safe_for_production(definition, hosts):
    stack = parse_stack(definition, hosts)
    names = tuple(host.name for host in hosts)
    web, parts = stack.services["web"], stack.components
    assert (web.replicas, web.hosts, web.resources) == (2, names, Resources(0.5, 256 << 20))
    assert (web.drain, web.start_timeout, web.user, web.protocol) == (30, 60, 10001, "http")
    assert web.route == Route("shop.example.com", "/")
    assert (parts.edge.hosts, parts.edge.https_port, parts.edge.public_https_port) == (names[:2], 443, 443)
    assert (parts.edge.tls, parts.edge.hsts_max_age) == (Tls(None, None), 63072000)
    assert parts.postgres and parts.redis
    assert (parts.etcd.hosts, parts.postgres.hosts, parts.redis.hosts) == (names, names, names)
    assert (parts.postgres.synchronous, parts.postgres.max_replica_lag) == (True, 16 << 20)
    assert (parts.registry.hosts, parts.monitoring.hosts) == (names[2:], names[2:])
    assert (parts.monitoring.retention, stack.keep_releases) == (30 * 86400, 5)


@pytest.mark.parametrize(("count", "voters"), [(1, 1), (2, 1), (3, 3), (6, 3)])
def test_etcd_has_an_odd_number_of_members_by_default(definition, count, voters):
    hosts = [Host(f"h{number}", f"192.0.2.{number}") for number in range(1, count + 1)]
    assert len(parse_stack(definition, hosts).components.etcd.hosts) == voters


def test_one_more_host_moves_nothing_that_has_data(definition):
    changed(definition, "components/backup", {})
    three, four = (
        parse_stack(definition, [Host(f"h{number}", f"192.0.2.{number}") for number in range(1, count + 1)])
        for count in (3, 4)
    )
    for part in ("etcd", "postgres", "redis", "registry", "monitoring", "backup"):
        assert getattr(three.components, part).hosts == getattr(four.components, part).hosts, part


@pytest.mark.parametrize("part", ["postgres", "redis"])
def test_a_part_may_be_switched_off(definition, hosts, part):
    changed(definition, f"components/{part}", False)
    assert getattr(parse_stack(definition, hosts).components, part) is None


def test_scalars_become_text(definition, hosts):
    changed(definition, f"{WEB}/environment", {"DEBUG": True, "SIZE": 5, "RATE": 0.5, "NAME": ""})
    changed(definition, "components/postgres", {"parameters": {"jit": False, "work_mem": "8MB"}})
    stack = parse_stack(definition, hosts)
    assert stack.services["web"].environment == {"DEBUG": "true", "SIZE": "5", "RATE": "0.5", "NAME": ""}
    assert stack.components.postgres
    assert stack.components.postgres.parameters == {"jit": "off", "work_mem": "8MB"}


FAULTS = [
    ("an-unknown-key", f"{WEB}/prot", 1, "stack/services/web/prot: is not a known key. Did you mean port"),
    ("an-unknown-component", "components/postgers", {}, "Did you mean postgres"),
    (
        "nothing-like-it",
        "components/kafka",
        {},
        "stack/components/kafka: is not a known key. Known here: edge,",
    ),
    ("a-wrong-type", f"{WEB}/port", "8080", 'stack/services/web/port: is "8080", not a whole number'),
    ("a-boolean-for-a-number", f"{WEB}/port", True, "port: is true, not a whole number"),
    ("text-for-a-table", f"{WEB}/route", "/", "stack/services/web/route: is text, not a table"),
    ("text-for-a-list", f"{WEB}/hosts", "app-1", "hosts: is text, not a list"),
    ("a-port-too-high", f"{WEB}/port", 70000, "is 70000, out of range. Write a whole number from 1 to 65535"),
    ("a-port-too-low", f"{WEB}/port", 0, "stack/services/web/port: is 0, out of range"),
    ("a-port-beyond-words", f"{WEB}/port", 10**5000, "web/port: is a number, out of range"),
    ("too-many-replicas", f"{WEB}/replicas", 51, "replicas: is 51, out of range"),
    ("too-many-cpus", f"{WEB}/resources", {"cpus": 1000}, "resources/cpus: is 1000, out of range"),
    ("not-a-number", f"{WEB}/resources", {"cpus": float("nan")}, "resources/cpus: is nan, out of range"),
    ("a-size-without-unit", f"{WEB}/resources", {"memory": 256}, "memory: is 256, not a size with a unit"),
    ("a-size-too-small", f"{WEB}/resources", {"memory": "1M"}, 'memory: is "1M", out of range'),
    ("a-duration-without-unit", f"{WEB}/drain", 30, "drain: is 30, not a duration with a unit"),
    ("a-missing-name", "name", ABSENT, "stack/name: is missing. Add it: a name of lower-case letters"),
    ("no-services", "services", {}, "stack/services: is empty"),
    (
        "a-name-that-is-not-one",
        "name",
        "My Shop",
        'stack/name: is "My Shop", not a name of lower-case letters',
    ),
    ("a-service-name-that-is-not-one", "services/Web_1", {}, 'Web_1: has a name that is "Web_1", not a name'),
    ("a-name-of-the-platform", "services/postgres", DATABASE, "has a name the platform uses itself"),
    ("a-domain-that-is-a-url", "domain", "https://shop", 'stack/domain: is "https://shop", not a domain'),
    ("a-domain-with-a-space", "domain", "shop example.com", "not a domain in lower case"),
    ("a-domain-of-one-label", "domain", "shop", 'stack/domain: is "shop", not a domain'),
    ("a-domain-that-is-an-address", "domain", "192.0.2.1", "not a domain in lower case"),
    ("a-routed-domain-that-is-not-one", f"{WEB}/route/domain", "x_y.z", "route/domain: is"),
    (
        "an-image-without-tag",
        f"{WEB}/image",
        "example.com:5000/web",
        "not an image reference with a tag or a",
    ),
    (
        "an-image-with-half-a-digest",
        f"{WEB}/image",
        "web@sha256:12",
        "not an image reference with a tag or a",
    ),
    ("an-image-in-capitals", f"{WEB}/image", "Web/App:1", "not an image reference"),
    ("neither-image-nor-build", f"{WEB}/image", ABSENT, "stack/services/web: has neither image nor build"),
    ("both-image-and-build", f"{WEB}/build", "apps/web", "stack/services/web: has both image and build"),
    (
        "no-health-path",
        f"{WEB}/health_path",
        ABSENT,
        "stack/services/web/health_path: is missing. Add a path",
    ),
    ("a-health-path-without-slash", f"{WEB}/health_path", "ready", 'health_path: is "ready", not a path'),
    ("a-path-for-grpc", f"{WEB}/protocol", "grpc", "health_path: is a path, but the protocol is grpc"),
    ("an-unknown-protocol", f"{WEB}/protocol", "htpp", "Did you mean http?"),
    ("no-replicas-on-a-route", f"{WEB}/replicas", 0, "replicas: is 0, but the service has a route"),
    ("a-route-without-slash", f"{WEB}/route/path", "api", "route/path: is"),
    ("an-unknown-host", f"{WEB}/hosts", ["app-1.exmple.com"], "Did you mean app-1.example.com?"),
    ("a-host-twice", f"{WEB}/hosts", ["app-1.example.com"] * 2, 'hosts/1: names "app-1.example.com" again'),
    ("a-component-on-no-host", "components/edge", {"hosts": []}, "edge/hosts: is an empty list"),
    ("a-component-elsewhere", "components/redis", {"hosts": ["x"]}, "redis/hosts/0: x is not a host of this"),
    (
        "an-even-vote",
        "components/etcd",
        {"hosts": ["app-1.example.com", "app-2.example.com"]},
        "names 2 hosts",
    ),
    ("redis-switched-off", f"{WEB}/redis", True, "web/redis: needs Redis, which is switched off"),
    (
        "a-database-switched-off",
        f"{WEB}/database",
        "shop",
        "web/database: needs PostgreSQL, which is switched off",
    ),
    ("migrations-of-nothing", f"{WEB}/migrations", "m", "migrations: has no database to apply to"),
    ("a-database-of-the-platform", f"{WEB}/database", "postgres", "postgres is the platform's own"),
    ("an-undeclared-secret", f"{WEB}/secrets", ["api_key"], "secrets/0: api_key is not declared. Declare it"),
    ("a-foreign-secret", f"{WEB}/secrets_in_environment", ["x"], "x is not one of the service's secrets"),
    (
        "a-secret-of-the-platform",
        "secrets/database_x",
        {},
        "secrets/database_x: has a name the platform uses",
    ),
    ("a-weak-generator", "secrets/x", {"generate": 8}, "stack/secrets/x/generate: is 8, out of range"),
    ("a-variable-that-is-not-one", f"{WEB}/environment", {"A-B": 1}, "environment/A-B: has a name that is"),
    ("a-variable-without-value", f"{WEB}/environment", {"A": None}, "environment/A: is empty, which no"),
    ("a-variable-of-the-platform", f"{WEB}/environment", {"SLIPWAY_POOL": "x"}, "is set by Slipway itself"),
    (
        "a-password-in-the-open",
        f"{WEB}/environment",
        {"DB_PASSWORD": "x9"},
        "DB_PASSWORD: looks like a secret",
    ),
    (
        "a-password-in-a-url",
        f"{WEB}/environment",
        {"Q": "amqp://a:b@q"},
        "environment/Q: looks like a secret",
    ),
    (
        "a-port-of-the-platform",
        f"{WEB}/publish_base",
        5430,
        "ports 5430 to 5433, of which postgres takes port",
    ),
    ("ports-above-all", f"{WEB}/publish_base", 65534, "takes ports 65534 to 65537, above 65535"),
    ("one-port-for-both", "components/edge", {"http_port": 443}, "https_port: takes port 443, of which"),
    (
        "the-port-of-ssh",
        "components/registry",
        {"port": 22},
        "registry/port: takes port 22, of which SSH takes",
    ),
    ("a-certificate-alone", "components/edge", {"tls": {"certificate": "c"}}, "edge/tls: has no key"),
    ("a-key-alone", "components/edge", {"tls": {"key": "k"}}, "edge/tls: has no certificate"),
    (
        "an-origin-with-path",
        "components/edge",
        {"cors": {"origins": ["https://a.b/c"]}},
        "cors/origins/0: is",
    ),
    ("any-origin", "components/edge", {"cors": {"origins": ["*"]}}, 'origins/0: is "*", not an origin'),
    ("an-unknown-eviction", "components/redis", {"eviction": "lru"}, "redis/eviction: is"),
    (
        "a-parameter-with-a-key",
        "components/postgres",
        {"parameters": {"max_connections": 9}},
        "a key of its own",
    ),
    (
        "a-parameter-of-the-platform",
        "components/postgres",
        {"parameters": {"ssl": "off"}},
        "by Slipway itself",
    ),
    (
        "an-image-nobody-uses",
        "images/ngnix",
        "a/b:1",
        "images/ngnix: is not an image of the platform. Did you",
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), [pytest.param(*it[1:], id=it[0]) for it in FAULTS])
def test_a_fault_is_named_once_with_its_path(definition, hosts, path, value, expected):
    if "switched off" in expected:
        definition["components"] = {"postgres": False, "redis": False}
    found = complaints(changed(definition, path, value), hosts)
    assert any(expected in complaint for complaint in found), found
    assert len(found) == (1 if path != "services/Web_1" else 2), found


def test_two_services_on_one_route(definition, hosts):
    other = {**definition["services"]["web"], "route": {"path": "/", "domain": "shop.example.com"}}
    assert complaints(changed(definition, "services/other", other), hosts) == [
        "stack/services/other/route: takes shop.example.com/, which service web has already. "
        "Give one of them another path or domain."
    ]


def test_two_services_migrate_one_database(definition, hosts):
    changed(definition, "services/a", dict(DATABASE))
    (complaint,) = complaints(changed(definition, "services/b", dict(DATABASE)), hosts)
    assert "would migrate database shop, which service a migrates" in complaint


def test_two_services_on_overlapping_ports(definition, hosts):
    changed(definition, f"{WEB}/publish_base", 21000)
    other = {**DATABASE, "publish_base": 21003}
    (complaint,) = complaints(changed(definition, "services/other", other), hosts)
    assert "takes ports 21003 to 21006, of which service web takes ports 21000 to 21003" in complaint
    assert "Set publish_base to another one, for example 20000" in complaint


def test_pools_that_need_more_connections_than_there_are(definition, hosts):
    changed(definition, "components/postgres", {"max_connections": 30, "pool_size": 25})
    (complaint,) = complaints(changed(definition, "services/api", dict(DATABASE)), hosts)
    assert (
        "max_connections: is 30, too few for 1 database(s) with pool_size 25. Write 36 or more" in complaint
    )


def test_all_problems_are_listed_at_once(definition, hosts):
    changed(definition, "domain", "no domain")
    changed(definition, f"{WEB}/port", 0)
    changed(definition, f"{WEB}/replicas", 0)
    changed(definition, f"{WEB}/helth_path", "/")
    with pytest.raises(InvalidInputError) as caught:
        parse_stack(definition, hosts)
    assert str(caught.value).startswith("4 problems found, no host was touched:\n  - stack/domain: ")


def test_a_value_in_the_wrong_place_is_not_repeated_where_it_may_be_a_secret(definition, hosts):
    changed(definition, f"{WEB}/environment", {"API_TOKEN": "hunter2hunter2", "OTHER": ["hunter2hunter2"]})
    changed(definition, "secrets", {"api_token": {"x": "hunter2hunter2"}, "other": "hunter2hunter2"})
    found = complaints(definition, hosts)
    assert len(found) == 4
    assert "hunter2" not in " ".join(found)


@pytest.mark.parametrize(
    "harmless",
    [
        {"PUBLIC_KEY": "abc"},
        {"API_KEY": ""},
        {"TOKEN_TTL": 5},
        {"TLS_KEY": "/run/secrets/k"},
        {"MONKEY": "a"},
    ],
    ids=str,
)
def test_a_name_like_a_secrets_is_no_secret(definition, hosts, harmless):
    assert complaints(changed(definition, f"{WEB}/environment", harmless), hosts) == []


def test_grpc_may_ask_for_the_server_itself(definition, hosts):
    changed(definition, f"{WEB}/protocol", "grpc")
    assert complaints(changed(definition, f"{WEB}/health_path", ""), hosts) == []


@given(st.sets(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=20))
def test_a_services_ports_depend_on_its_name_alone(names):
    bases = {name: ports.publish_base(name) for name in names}
    assert all(20000 <= base <= 32690 and base % 10 == 0 for base in bases.values())
    assert bases == {name: 20000 + zlib.crc32(name.encode()) % 1270 * 10 for name in names}


def keys_of(kind: object) -> set[str]:
    if isinstance(kind, Table):
        return set(kind.keys) | {name for key in kind.keys.values() for name in keys_of(key.kind)}
    return keys_of(kind.item) if isinstance(kind, Entries | ListOf) else set()


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=3)
    | st.sampled_from(["30s", "256M", "/x", "a/b:1", "grpc", "x.yz", "10" * 3000])
)
# Known keys lead the junk deep into the schema; the others try its edges.
KEYS = st.sampled_from(sorted(keys_of(schema.STACK) | {"web", "api"})) | SCALARS
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


@given(JUNK, st.lists(st.builds(Host, st.text(max_size=5), st.text(max_size=5)), max_size=3))
def test_no_input_whatsoever_is_a_bug(junk, hosts):
    assert all(complaint.startswith(("stack", "inventory")) for complaint in complaints(junk, hosts))


@given(st.sampled_from(sorted(schema_service.SERVICE.keys)), JUNK)
def test_no_service_whatsoever_is_a_bug(key, junk):
    web = {"image": "a/b:1", "port": 80, "health_path": "/", key: junk}
    complaints({"name": "a", "domain": "a.b", "services": {"web": web}}, [Host("a", "192.0.2.1")])
