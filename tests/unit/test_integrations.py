"""Sentry and remote stores of metrics: what a stack may say of them, and what services and Prometheus get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_integrations import Sentry
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from whole_stack import CERTIFICATE, IMAGES, SECRETS, rendered, stack, with_stores

DSN = "https://3f2a9c@sentry.test:8443/base/42"
PLAIN = Sentry(DSN, None, None, None, 0.0, None)
HIDDEN = Sentry(None, "tracker_dsn", "store_ca", "blue$", 0.25, ("api",))
DIGEST = "77aa00ff11ee" + "0" * 52


def files(base: Stack, host: str = "h1.test") -> dict[str, Any]:
    laid = topology(base)
    images = dict.fromkeys([*IMAGES, *base.services], f"registry.test/shop@sha256:{DIGEST}")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {}, "staging")
    return {file.path: file for file in render(laid, laid.views[host], material)}


def environments(base: Stack) -> dict[str, dict[str, str]]:
    """Variables by container."""
    text = files(base)["docker-compose.prod.yml"].content
    return {name: it.get("environment", {}) for name, it in yaml.safe_load(text)["services"].items()}


def told(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith("SENTRY_")}


def test_every_service_is_told_where_it_reports_errors_and_as_which_release() -> None:
    seen = environments(replace(stack(), sentry=PLAIN))
    wanted = {
        "SENTRY_DSN": DSN,
        "SENTRY_ENVIRONMENT": "staging",
        "SENTRY_RELEASE": "wayfare@77aa00ff11ee",
        "SENTRY_TRACES_SAMPLE_RATE": "0",
    }
    assert told(seen["api-blue-1"]) == told(seen["worker-green-2"]) == wanted
    assert not any(told(seen[name]) for name in ("postgres", "edge", "router"))


def test_a_dsn_that_is_a_secret_is_a_file_of_those_who_report_only() -> None:
    base = replace(stack(), sentry=HIDDEN)
    seen, tree = environments(base), files(base)
    assert told(seen["api-blue-1"]) == {
        "SENTRY_DSN_FILE": "/run/secrets/sentry_dsn",
        "SENTRY_CA_FILE": "/run/secrets/sentry_ca",
        "SENTRY_ENVIRONMENT": "blue$$",
        "SENTRY_RELEASE": "wayfare@77aa00ff11ee",
        "SENTRY_TRACES_SAMPLE_RATE": "0.25",
    }
    assert told(seen["web-blue-1"]) == {}
    holding = {path: (it.mode, it.owner) for path, it in tree.items() if SECRETS["tracker_dsn"] in it.content}
    assert holding == {f"config/services/api-{pool}/sentry_dsn": (0o400, 10001) for pool in ("blue", "green")}


def test_a_stack_without_it_is_as_it_was() -> None:
    assert "SENTRY" not in rendered(stack())["docker-compose.prod.yml"]
    assert "remote_write" not in rendered(stack(), "h3.test")["config/prometheus/prometheus.yml"]


def test_prometheus_writes_to_each_store_with_its_own_secrets() -> None:
    base = with_stores(stack())
    tree = files(base, "h3.test")
    lake, mimir = yaml.safe_load(tree["config/prometheus/prometheus.yml"].content)["remote_write"]
    assert (mimir["name"], mimir["url"]) == ("mimir", "https://mimir.test/push")
    assert mimir["basic_auth"] == {"username": "shop", "password_file": "/config/secrets/store_password"}
    assert mimir["tls_config"] == {"ca_file": "/config/secrets/store_ca"}
    assert lake["authorization"] == {"type": "Bearer", "credentials_file": "/config/secrets/store_token"}
    host = {"target_label": "monitoring_host", "replacement": "h3.test"}
    kept = {"source_labels": ["__name__"], "regex": "slipway_.*|up", "action": "keep"}
    assert (mimir["write_relabel_configs"], lake["write_relabel_configs"]) == ([host], [host, kept])
    own = {path: (it.mode, it.owner) for path, it in tree.items() if "/prometheus/secrets/" in path}
    names = ("store_ca", "store_password", "store_token")
    assert own == {f"config/prometheus/secrets/{name}": (0o400, 10001) for name in names}
    assert not [path for path in files(base) if "/prometheus/" in path]


@pytest.mark.parametrize(
    ("sentry", "said"),
    [
        ({}, "stack/sentry: has no DSN"),
        ({"dsn": DSN, "dsn_secret": "dsn"}, "stack/sentry: has two DSNs"),
        ({"dsn": "https://sentry.test/42"}, "stack/sentry/dsn: is"),
        ({"dsn": "https://3f2a:77bb@sentry.test/42"}, "stack/sentry/dsn: holds a secret key"),
        ({"dsn_secret": "dns"}, "stack/sentry/dsn_secret: dns is not declared. Did you mean dsn"),
        ({"dsn_secret": "made"}, "made is generated, so nobody else knows it"),
        (
            {"dsn": DSN, "services": ["wbe"]},
            "stack/sentry/services/0: wbe is not a service. Did you mean web",
        ),
        ({"dsn": DSN, "environment": "a/b"}, "stack/sentry/environment: is"),
        ({"dsn": DSN, "traces_sample_rate": 2}, "stack/sentry/traces_sample_rate: is 2, out of range"),
    ],
)
def test_what_sentry_could_not_work_with_is_named_with_its_path(
    definition: dict[str, Any], hosts: list[Host], sentry: dict[str, Any], said: str
) -> None:
    definition |= {"sentry": sentry, "secrets": {"dsn": {}, "made": {"generate": 32}}}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(definition, hosts)
    assert any(said in str(problem) for problem in refused.value.problems), refused.value.problems


def test_what_a_service_says_of_sentry_itself_is_refused_unless_it_is_left_out(
    definition: dict[str, Any], hosts: list[Host]
) -> None:
    other = {**definition["services"]["web"], "route": None}
    definition["services"]["other"] = other
    definition["services"]["web"] |= {"environment": {"SENTRY_DEBUG": "1"}, "secrets": ["sentry_dsn"]}
    definition |= {"secrets": {"sentry_dsn": {}}, "sentry": {"dsn": DSN}}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(definition, hosts)
    assert sorted(problem.path for problem in refused.value.problems) == [
        "stack/services/web/environment/SENTRY_DEBUG",
        "stack/services/web/secrets/0",
    ]
    definition["sentry"]["services"] = ["other"]
    assert parse_stack(definition, hosts).sentry == replace(PLAIN, services=("other",))


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ({"url": "https://a/", "user": "shop"}, "/lake: has no password_secret"),
        ({"url": "https://a/", "password_secret": "pass"}, "/lake: has no user"),
        (
            {"url": "https://a/", "user": "shop", "password_secret": "pass", "token_secret": "pass"},
            "/lake: logs in in two ways",
        ),
        ({"url": "http://a/", "token_secret": "pass"}, "/lake/url: would show the secret"),
        ({"url": "https://a/", "token_secret": "psas"}, "/lake/token_secret: psas is not declared"),
        ({"token_secret": "pass"}, "/lake/url: is missing"),
    ],
)
def test_a_store_that_could_not_work_is_named_with_its_path(
    definition: dict[str, Any], hosts: list[Host], store: dict[str, Any], said: str
) -> None:
    definition |= {"secrets": {"pass": {}}, "components": {"monitoring": {"remote_write": {"lake": store}}}}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(definition, hosts)
    start = "stack/components/monitoring/remote_write"
    assert any(f"{start}{said}" in str(problem) for problem in refused.value.problems), refused.value.problems
