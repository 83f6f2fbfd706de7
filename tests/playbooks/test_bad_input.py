"""Bad input is refused by a real run: every problem listed, no host contacted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from conftest import Site, Unsafe


def web(site: Site) -> dict:
    return site.stack["services"]["web"]


def other_service(site: Site) -> None:
    site.stack["services"]["other"] = {**web(site), "migrations": None}


def in_two_environments(site: Site) -> None:
    site.inventory["environments"]["children"]["rehearsal"] = {"hosts": {"app-1.example.com": None}}


def one_machine_in_two_environments(site: Site) -> None:
    twin = {"ansible_host": "192.0.2.1", **site.inventory["environments"]["children"]["live"]["vars"]}
    site.inventory["environments"]["children"]["rehearsal"] = {"hosts": {"other-name.example.com": twin}}


def engine(site: Site, proxy: object) -> None:
    hosts = site.inventory["environments"]["children"]["live"]["hosts"]
    hosts["app-2.example.com"]["host_engine_settings"] = {"userland-proxy": proxy}


def certificate(site: Site, *, of_another_key: bool, ago: timedelta) -> None:
    now = datetime.now(UTC) - ago
    ca = pki.new_ca("Test", now)
    pair, other = (pki.issue(ca, ["shop.example.com"], now) for _ in range(2))
    (site.folder / "group_vars/c.pem").write_text(pair.certificate)
    (site.folder / "group_vars/k.pem").write_text(other.key if of_another_key else pair.key)
    tls = {"certificate": "group_vars/c.pem", "key": "group_vars/k.pem"}
    site.stack["components"] = {"edge": {"tls": tls}}


def rule(site: Site, **changes: str) -> None:
    own = {"name": "OrdersWait", "expr": "orders_waiting > 100", "for": "5m", "severity": "warning"}
    own |= {"summary": "Over 100 orders wait", "runbook_url": "https://wiki.example.com/orders"}
    monitoring = site.stack.setdefault("components", {}).setdefault("monitoring", {})
    monitoring.setdefault("alerts", {}).setdefault("rules", []).append({**own, **changes})


CASES: list[tuple[str, Callable[[Site], object], str]] = [
    (
        "an-unknown-key",
        lambda s: web(s).update(replica=2),
        "web/replica: is not a known key. Did you mean replicas",
    ),
    ("a-wrong-type", lambda s: web(s).update(port="8080"), 'web/port: is "8080", not a whole number'),
    ("a-missing-secret", lambda s: s.stack["secrets"].update(mail=None), "/user/mail: is missing"),
    ("an-undeclared-secret", lambda s: s.stack.pop("secrets"), "session_key is not declared"),
    (
        "two-services-on-one-route",
        other_service,
        "other/route: takes shop.example.com/, which service web has",
    ),
    ("no-health-path", lambda s: web(s).pop("health_path"), "web/health_path: is missing"),
    ("a-host-in-two-environments", in_two_environments, "belongs to the environments live, rehearsal"),
    ("a-machine-in-two-environments", one_machine_in_two_environments, "lists as other-name.example.com"),
    (
        "an-engine-without-its-proxy",
        lambda s: engine(s, False),
        "app-2.example.com/host_engine_settings/userland-proxy: is false",
    ),
    ("a-port-out-of-range", lambda s: web(s).update(port=70000), "web/port: is 70000, out of range"),
    (
        "a-domain-that-is-not-one",
        lambda s: s.stack.update(domain="a b"),
        'stack/domain: is "a b", not a domain',
    ),
    (
        "an-image-without-tag",
        lambda s: web(s).update(image="a/b", build=None),
        "an image reference with a tag or",
    ),
    (
        "no-replicas-on-a-route",
        lambda s: web(s).update(replicas=0),
        "web/replicas: is 0, but the service has a",
    ),
    (
        "a-gap-in-the-migrations",
        lambda s: [(s.folder / f"group_vars/app/000003_x.{way}.sql").touch() for way in ("up", "down")],
        "000002 is missing before 000003",
    ),
    (
        "a-duplicate-migration",
        lambda s: [(s.folder / f"group_vars/app/000001_x.{way}.sql").touch() for way in ("up", "down")],
        "number 000001 is used by users and x",
    ),
    (
        "a-certificate-of-another-key",
        lambda s: certificate(s, of_another_key=True, ago=timedelta()),
        "edge/tls: the certificate does not match its key",
    ),
    (
        "an-expired-certificate",
        lambda s: certificate(s, of_another_key=False, ago=timedelta(days=800)),
        "edge/tls: the certificate expired on",
    ),
    (
        "a-rule-whose-promql-does-not-parse",
        lambda s: rule(s, expr="sum(orders_waiting"),
        "alerts/rules/0/expr: is not PromQL: unclosed left parenthesis. Correct it",
    ),
    (
        "a-rule-with-a-name-of-the-platforms",
        lambda s: rule(s, name="HostDown"),
        "alerts/rules/0/name: HostDown is the name of an alert of the platform's. Choose another",
    ),
    ("an-undefined-variable", lambda s: s.stack.update(domain="{{ nowhere }}"), "stack: does not resolve"),
    ("no-dockerfile", lambda s: (s.folder / "group_vars/app/Dockerfile").unlink(), "app holds no Dockerfile"),
]


@pytest.mark.parametrize(("spoil", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_input_is_refused_before_any_host_is_contacted(site, spoil, expected):
    spoil(site)
    done = site.run("check")
    assert done.status == 2
    assert expected in done.output
    assert "1 problem found, no host was touched" in done.output


def test_everything_wrong_is_listed_in_one_run(site):
    for case in CASES:
        if not case[0].startswith(("a-host-in", "an-undefined", "an-undeclared")):
            case[1](site)
    done = site.run("check")
    assert "18 problems found, no host was touched" in done.output


@pytest.mark.parametrize("limit", ["", "all"])
def test_a_run_over_several_environments_is_refused(site, limit):
    site.inventory["environments"]["children"]["rehearsal"] = {"hosts": {"other.example.com": None}}
    done = site.run("check", limit=limit)
    assert done.status == 2
    assert "spans the environments live, rehearsal. Choose one with -l" in done.output


def test_a_host_of_no_environment_is_refused(site):
    site.inventory["strays"] = {"hosts": {"stray.example.com": None}}
    assert "inventory/stray.example.com: belongs to no environment" in site.run("check", limit="").output


def test_a_part_of_an_environment_is_refused(site):
    assert (
        "leaves out app-2.example.com, app-3.example.com"
        in site.run("check", limit="app-1.example.com").output
    )


def test_secrets_are_generated_once_and_never_shown(site):
    predicted = site.run("secrets", "--check", "--diff")
    assert "+platform/postgres_superuser" in predicted.output
    assert not site.secrets.exists()
    first = site.run("secrets", "--diff", "-vvv")
    assert "changed=1" in first.output
    assert site.secrets.read_text().startswith("$ANSIBLE_VAULT;")
    assert "PRIVATE KEY" not in first.output
    before = site.secrets.read_bytes()
    assert "changed=0" in site.run("secrets").output
    assert site.secrets.read_bytes() == before
    assert site.run("check").status == 0


def test_a_wrong_vault_password_is_named(site):
    site.run("secrets")
    (site.folder / "password.txt").write_text("another\n")
    done = site.run("check")
    assert done.status == 2
    assert "secrets.vault.yml: cannot be read" in done.output


def test_what_prometheus_is_to_fill_in_must_not_be_ansibles(site):
    rule(site, summary="{{ $value }} orders wait")
    done = site.run("check")
    assert done.status == 2
    assert "stack: does not resolve: " in done.output
    assert "Write !unsafe before a text that Prometheus is to fill in" in done.output


def test_ansible_leaves_alone_what_prometheus_is_to_fill_in(site):
    rule(site, summary=Unsafe("{{ $value }} orders wait"))
    done = site.run("check")
    assert done.status == 0, done.output


def test_settings_of_an_engine_that_do_not_resolve_are_refused(site):
    engine(site, "{{ nowhere }}")
    told = site.run("check").output
    assert "inventory/app-2.example.com/host_engine_settings: does not resolve" in told, told


def test_a_good_stack_is_checked_without_contacting_hosts(site):
    assert site.run("check").status == 0


@pytest.mark.parametrize(
    ("spoil", "host", "expected"),
    [
        pytest.param(lambda site: None, "app-4.example.com", "no host of this environment", id="unknown"),
        pytest.param(
            lambda site: site.stack.update(components={"edge": {"hosts": ["app-1.example.com"]}}),
            "app-1.example.com",
            "app-1.example.com: is the last edge",
            id="the-last-edge",
        ),
        pytest.param(
            lambda site: site.stack["services"]["web"].update(hosts=["app-1.example.com"]),
            "app-1.example.com",
            "app-1.example.com: alone runs the service web",
            id="the-last-replicas",
        ),
    ],
)
def test_a_host_that_cannot_be_spared_stays_in_service(site, spoil, host, expected):
    site.run("secrets")
    spoil(site)
    done = site.run("maintenance", "-e", f"host={host}", "-e", "state=out")
    assert done.status == 2
    assert expected in done.output, done.output
    assert "no host was touched" in done.output


@pytest.mark.parametrize("asked", [["refill=true"], ["list=true", "repository=2"]])
def test_a_second_place_that_is_not_declared_is_asked_for_nothing(site, asked):
    site.stack["components"] = {"backup": {"archive": {}}}
    site.run("secrets")
    done = site.run("archive", *(word for it in asked for word in ("-e", it)))
    assert done.status == 2
    assert "the stack shop has no second place" in done.output, done.output
