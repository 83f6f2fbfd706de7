"""What edge and router get: rendered, read back, and judged."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import (
    RateLimit,
    Route,
)
from whole_stack import SECRETS, compose, rendered, stack, topology, usual, with_service

NGINX = usual(3, 1)["config/edge/servers.conf"]
HEADERS = usual(3, 1)["config/edge/headers.conf"]
HAPROXY = usual(3, 1)["config/router/haproxy.cfg"]


def section(configuration: str, head: str) -> str:
    """The lines of one HAProxy section, its head line included."""
    found = re.search(rf"^{head}$\n(?:(?:[ \t].*)?\n)*", configuration, re.MULTILINE)
    assert found, f"no section {head!r}"
    return found.group()


def server(configuration: str, domain: str) -> str:
    """The HTTPS server of one domain."""
    blocks = [block for block in configuration.split("\nserver {\n") if "listen 8443 ssl;" in block]
    return next(block for block in blocks if f"server_name {domain};" in block)


def location(block: str, path: str) -> str:
    """The directives of the one location for a path."""
    found = re.findall(
        rf"^    location {re.escape(path)} \{{\n(.*?)^    \}}", block, re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1, f"{len(found)} locations {path!r}"
    return str(found[0])


@pytest.mark.parametrize(
    ("port", "target"),
    [
        pytest.param(443, "https://$host$request_uri", id="standard-port-is-not-written"),
        pytest.param(8443, "https://$host:8443$request_uri", id="other-port-is-written"),
    ],
)
def test_plain_http_is_redirected_to_the_public_port(port: int, target: str) -> None:
    servers = rendered(stack(public_https_port=port))["config/edge/servers.conf"]
    assert f"return 308 {target};" in servers


def test_headers_are_set_in_one_place_only() -> None:
    """nginx drops all inherited headers wherever a block adds one of its own."""
    tree = rendered(stack(cors_origins=("https://app.test",)))
    files = {path: text for path, text in tree.items() if path.startswith("config/edge/")}
    adding = {path for path, text in files.items() if re.search(r"^\s*add_header", text, re.MULTILINE)}
    assert adding == {"config/edge/headers.conf"}
    lines = re.findall(r"^.*add_header.*;$", files["config/edge/headers.conf"], re.MULTILINE)
    assert [line for line in lines if not line.endswith(" always;")] == []


@pytest.mark.parametrize(
    "header",
    [
        "Strict-Transport-Security",
        "Content-Security-Policy",
        "X-Frame-Options",
        "X-Content-Type-Options",
        "Referrer-Policy",
        "Permissions-Policy",
        "X-Request-ID",
    ],
)
def test_every_response_carries(header: str) -> None:
    assert f"\nadd_header {header} " in HEADERS


@pytest.mark.parametrize("part", ["Service", "Pool", "Replica"])
def test_what_the_router_tells_is_logged_and_taken_off(part: str) -> None:
    assert f"proxy_hide_header X-Slipway-{part};" in HEADERS
    assert f"grpc_hide_header X-Slipway-{part};" in HEADERS
    assert f"$upstream_http_x_slipway_{part.lower()}" in usual(3, 1)["config/edge/logging.conf"]
    assert f"set-header X-Slipway-{part} " in section(HAPROXY, "backend web")


def test_a_quote_in_the_content_security_policy_stays_inside_its_value() -> None:
    headers = rendered(stack(content_security_policy='x "y" \\'))["config/edge/headers.conf"]
    assert 'add_header Content-Security-Policy "x \\"y\\" \\\\" always;' in headers


def test_a_dollar_sign_in_the_content_security_policy_is_one_and_begins_no_variable() -> None:
    headers = rendered(stack(content_security_policy="x $host"))["config/edge/headers.conf"]
    assert 'add_header Content-Security-Policy "x ${slipway_dollar}host" always;' in headers
    assert 'geo $slipway_dollar {\n    default "$";\n}' in headers


def test_without_cors_origins_the_services_answer_for_themselves() -> None:
    assert "Access-Control" not in HEADERS
    assert re.search(r"slipway_cors_preflight \{\s+default 0;", HEADERS)


def test_cors_names_each_origin_and_hides_what_services_say() -> None:
    headers = rendered(stack(cors_origins=("https://a.test", "https://b.test")))["config/edge/headers.conf"]
    assert '"https://a.test" $http_origin;' in headers
    assert '"https://b.test" $http_origin;' in headers
    assert "proxy_hide_header Access-Control-Allow-Origin;" in headers


def test_a_client_cannot_say_who_it_is() -> None:
    proxy = usual(3, 1)["config/edge/proxy.conf"]
    for kind in ("proxy", "grpc"):
        assert f"{kind}_set_header X-Forwarded-For $remote_addr;" in proxy
        assert f"{kind}_set_header X-Real-IP $remote_addr;" in proxy
    assert "proxy_add_x_forwarded_for" not in proxy


def test_tls_is_modern_and_forgets_its_sessions() -> None:
    tls = usual(3, 1)["config/edge/tls.conf"]
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in tls
    assert "ssl_session_tickets off;" in tls
    assert re.search(r"ssl_ciphers (ECDHE-[A-Z0-9-]+(GCM-SHA\d+|POLY1305):?)+;", tls)


def test_each_protocol_goes_its_way() -> None:
    block = server(NGINX, "wayfare.test")
    assert "proxy_pass http://router;" in location(block, "/")
    assert "proxy_read_timeout 1h;" in location(block, "/ws/")
    assert "proxy_read_timeout" not in location(block, "/api/")
    assert "grpc_pass grpc://router_grpc;" in location(block, "/wayfare.Journeys/")


def test_a_domain_without_a_service_at_its_root_still_has_an_answer() -> None:
    base = with_service(stack(), "web", route=Route("www.wayfare.test", "/"))
    servers = rendered(base)["config/edge/servers.conf"]
    assert "server_name wayfare.test www.wayfare.test;" in servers
    for domain in ("wayfare.test", "www.wayfare.test"):
        assert "proxy_pass http://router;" in location(server(servers, domain), "/")


def test_a_websocket_service_may_have_the_root() -> None:
    base = with_service(stack(), "updates", route=Route("live.wayfare.test", "/"))
    block = server(rendered(base)["config/edge/servers.conf"], "live.wayfare.test")
    assert "proxy_read_timeout 1h;" in location(block, "/")


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_router_knows_every_replica_of_every_routed_service(count: int) -> None:
    configuration = usual(count, 1)["config/router/haproxy.cfg"]
    for name in ("web", "api", "updates", "journeys"):
        backend = section(configuration, f"backend {name}")
        servers = re.findall(r"^    server (\S+) (\S+) weight 100 check", backend, re.MULTILINE)
        replicas = topology(stack(count)).replicas_of(name)
        assert servers == [(item.server, f"{item.host.address}:{item.port}") for item in replicas]
        assert len(servers) == 2 * 2 * count, "both pools"
    assert "backend worker" not in configuration


@pytest.mark.parametrize(("hosts", "asked"), [(1, 0), (2, 0), (3, 2)])
def test_an_edge_asks_whether_it_is_cut_off_where_two_others_can_say(hosts: int, asked: int) -> None:
    files = rendered(stack(hosts))
    ready = location("\n" + files["config/edge/servers.conf"], "= /.well-known/slipway/ready")
    assert ("proxy_pass http://unix:/run/router/reach.sock:/;" in ready) == bool(asked)
    told = re.findall(r"acl reached srv_is_up\([^.]+[.](.+)\)", files["config/router/haproxy.cfg"])
    assert len(set(told)) == asked
    assert ("monitor fail unless reached" in files["config/router/haproxy.cfg"]) == bool(asked)


def test_the_longest_path_is_tried_first() -> None:
    rules = re.findall(r"use_backend (\w+)", section(HAPROXY, "frontend http_in"))
    assert rules == ["api", "updates", "web"]


def test_a_path_without_a_slash_ends_at_a_segment() -> None:
    base = with_service(stack(), "api", route=Route("wayfare.test", "/api"))
    rules = section(rendered(base)["config/router/haproxy.cfg"], "frontend http_in")
    assert "{ path /api }" in rules
    assert "{ path_beg /api/ }" in rules


def test_grpc_health_is_asked_in_frames_whose_lengths_are_right() -> None:
    backend = section(HAPROXY, "backend journeys")
    frames = [bytes.fromhex(frame) for frame in re.findall(r"send-binary (\S+)", backend)][1:]
    assert [int.from_bytes(frame[:3], "big") for frame in frames] == [len(frame) - 9 for frame in frames]
    message = b"\x0a\x10wayfare.Journeys"
    assert frames[-1][9:] == b"\x00" + len(message).to_bytes(4, "big") + message
    assert "expect binary 00000000020801" in backend
    assert "proto h2" in backend


def test_a_rate_limit_counts_in_its_window_and_says_when_to_return() -> None:
    base = with_service(stack(), "api", rate_limit=RateLimit(600, 60))
    configuration = rendered(base)["config/router/haproxy.cfg"]
    backend = section(configuration, "backend api")
    assert "store http_req_rate(60s)" in backend
    assert "hdr Retry-After 60 if { sc_http_req_rate(0) gt 600 }" in backend
    assert "stick-table" not in section(configuration, "backend web")


def test_the_runtime_api_wants_a_certificate() -> None:
    """HAProxy 3.0 takes `ssl` on a stats socket and ignores it: the socket must be a local file."""
    assert re.findall(r"^    stats socket (\S+)", HAPROXY, re.MULTILINE) == ["/tmp/admin.sock"]
    binds = re.findall(r"^    bind :9999 (.*)$", HAPROXY, re.MULTILINE)
    assert binds == ["ssl crt /config/tls/tls.pem ca-file /config/tls/ca.crt verify required"]


def test_only_reading_is_sent_again_once_a_replica_has_it() -> None:
    for name in ("web", "api", "updates"):
        backend = section(HAPROXY, f"backend {name}")
        assert "retry-on conn-failure empty-response" in backend
        assert "http-request disable-l7-retry unless { method GET HEAD }" in backend
    assert "empty-response" not in section(HAPROXY, "backend journeys"), "every gRPC call is a POST"
    base = with_service(stack(), "api", retry="unsent")
    configuration = rendered(base)["config/router/haproxy.cfg"]
    assert "empty-response" not in section(configuration, "backend api")
    assert "retry-on conn-failure\n" in section(configuration, "defaults")


@pytest.mark.parametrize("router", ["router", "local-router"])
def test_what_waits_for_a_vanished_host_ends_within_seconds(router: str) -> None:
    defaults = section(rendered(stack(3))[f"config/{router}/haproxy.cfg"], "defaults")
    idle, interval, count = (
        int(re.findall(rf"^    srvtcpka-{name} (\d+)", defaults, re.MULTILINE)[0])
        for name in ("idle", "intvl", "cnt")
    )
    assert "    option srvtcpka\n" in defaults
    assert idle + interval * count <= 6
    assert compose(3, 1)[router]["sysctls"] == {"net.ipv4.tcp_retries2": 4}


def test_the_probes_secret_itself_stands_on_no_host() -> None:
    digest = sha256(SECRETS["edge_probe"].encode()).hexdigest()
    assert digest in HAPROXY
    for host in (1, 2, 3):
        assert not [path for path, text in usual(3, host).items() if SECRETS["edge_probe"] in text]


def test_what_names_a_replica_is_read_once_and_never_passed_on() -> None:
    for name in ("http_in", "grpc_in"):
        frontend = section(HAPROXY, f"frontend {name}")
        assert frontend.index("set-var(txn.probe)") < frontend.index(
            "http-request del-header x-slipway- -m beg"
        )
        assert frontend.index("use_backend %[var(txn.probe)") < frontend.index(
            "use_backend ", 1 + frontend.index("use_backend")
        )


def test_no_log_holds_headers_of_a_request() -> None:
    logging = usual(3, 1)["config/edge/logging.conf"]
    assert set(re.findall(r"\$http_\w+", logging)) == {"$http_user_agent"}
    assert not re.search(r"^\s*(log|capture|option httplog)\b", HAPROXY, re.MULTILINE)


def test_a_probe_has_no_rate_limit() -> None:
    base = with_service(stack(), "api", rate_limit=RateLimit(600, 60))
    backend = section(rendered(base)["config/router/haproxy.cfg"], "backend api")
    assert re.search(r"track-sc0 .* unless \{ var\(txn.probe\) -m found \}", backend)


def test_without_sticky_services_there_is_no_cookie() -> None:
    assert "Set-Cookie" not in HAPROXY and ":sticky" not in HAPROXY


def test_a_sticky_service_has_a_backend_for_each_pool_that_checks_nothing_itself() -> None:
    configuration = rendered(with_service(stack(), "api", sticky=True))["config/router/haproxy.cfg"]
    for pool in ("blue", "green"):
        backend = section(configuration, f"backend api:{pool}")
        servers = re.findall(r"^    server (\S+):sticky \S+ track api/(\S+)$", backend, re.MULTILINE)
        own = [it.server for it in topology(stack()).replicas_of("api") if it.pool == pool]
        assert servers == [(server, server) for server in own]
        assert not re.search(r"^    (server .*|option http|http-|tcp-)check", backend, re.MULTILINE)
    rules = re.findall(r"use_backend (\S+) if .*path_beg /api/", configuration)
    assert rules == ["api:blue", "api:green", "api"]
