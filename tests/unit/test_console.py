"""One address for those who run a stack: who is let in, what it is told, which certificate it needs."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health_plan import probes_for
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.console import HASHES, users
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.console_rules import console_faults
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.sha512_crypt import crypted
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, SecretRule
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Tls
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils import (
    dashboard_files,
    input_files,
    pki,
    secrets,
)
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import edge_names, platform_secrets
from whole_stack import SECRETS, rendered, rules, stack, with_console, with_everything, with_logs

NOW = datetime(2026, 11, 28, tzinfo=UTC)
WITH = with_console(stack())
HASH = "$6$abcdefgh12345678$iSlNEf0aV/xdclt6IS4L"


def parsed(hosts: list[Host], **components: object) -> None:
    web = {"image": "a.test/web:1", "port": 80, "health_path": "/", "route": {"path": "/"}}
    own: dict[str, object] = {"name": "shop", "domain": "shop.test", "services": {"web": web}}
    return parse_stack({**own, "components": components}, hosts)


@pytest.fixture
def hosts() -> list[Host]:
    return [Host("h1.test", "10.0.0.1")]


def faults(hosts: list[Host], **console: object) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        parsed(hosts, console=console)
    return {problem.path: problem.problem for problem in caught.value.problems}


# By `openssl passwd -6`.
HASHED = {
    ("Hello world!", "saltstring"): "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLi"
    "BFdcbYEdFCoEOfaS35inz1",
    (6 * "0123456789abcdef", "0123456789abcdef"): "4/pQBm8surpz1e1aqWnYavCeypPaUWfFTIFhJMXGDTF5Sd.oLig7Rh0k"
    "44bOuGdXq/2.MB2hFMBQ7WouMpzmO.",
}


@pytest.mark.parametrize(("password", "salt"), HASHED)
def test_a_password_is_hashed_as_unix_does(password: str, salt: str) -> None:
    assert crypted(password, salt) == f"$6${salt}${HASHED[password, salt]}"


def test_there_is_one_unless_it_is_switched_off(hosts: list[Host]) -> None:
    assert parsed(hosts).components.console.domain == "ops.shop.test"
    assert parsed(hosts, console=False).components.console is None
    assert parsed(hosts, console={"domain": "eyes.test"}).components.console.domain == "eyes.test"


def test_a_domain_that_a_service_has_is_refused(hosts: list[Host]) -> None:
    assert "where service web is" in faults(hosts, domain="shop.test")["stack/components/console/domain"]


def test_what_is_no_network_and_an_undeclared_secret_are_refused(hosts: list[Host]) -> None:
    found = faults(hosts, networks=["10.0.0.1/8"], users={"ada": "ada_login"})
    assert found.keys() == {"stack/components/console/networks/0", "stack/components/console/users/ada"}


def test_a_generated_secret_is_no_hash_and_neither_is_a_password() -> None:
    base = with_console(stack(), ada="ada_login")
    generated = replace(base, secrets={"ada_login": SecretRule("ada_login", 32)})
    assert [problem.path for problem in console_faults(generated)] == ["stack/components/console/users/ada"]
    supplied = replace(base, secrets={"ada_login": SecretRule("ada_login", None)})
    assert list(console_faults(supplied)) == []
    (problem,) = secrets.problems({"user": {"ada_login": "a plain password it is"}}, supplied, "vault.yml")
    assert "is no hash" in problem.problem
    assert "plain" not in str(problem).replace("is no hash of a password", "")
    assert list(secrets.problems({"user": {"ada_login": HASH}}, supplied, "vault.yml")) == []


def test_the_operator_has_a_generated_password_and_named_users_have_theirs() -> None:
    name, stored = users(WITH, SECRETS).strip().split(":")
    assert name == "operator"
    assert re.fullmatch(HASHES, stored)
    assert users(WITH, SECRETS) == users(WITH, SECRETS)
    assert users(with_console(stack(), ada="ada_login"), {"ada_login": HASH}) == f"ada:{HASH}\n"
    assert {"console_password", "console_cookie"} <= set(platform_secrets(WITH))
    assert "console_password" not in platform_secrets(with_console(stack(), ada="ada_login"))
    assert not [name for name in platform_secrets(stack()) if name.startswith("console")]


def test_the_edges_own_certificate_covers_it() -> None:
    assert edge_names(WITH) == ["ops.wayfare.test", "wayfare.test"]
    assert edge_names(stack()) == ["wayfare.test"]


@pytest.mark.parametrize(
    ("names", "there"),
    [(["wayfare.test"], False), (["wayfare.test", "*.wayfare.test"], True), (["ops.wayfare.test"], True)],
)
def test_a_users_certificate_that_does_not_cover_it_leaves_it_out(
    names: list[str], there: bool, tmp_path: Path
) -> None:
    pair = pki.issue(pki.new_ca("Test", NOW), names, NOW)
    (tmp_path / "edge.crt").write_text(pair.certificate)
    (tmp_path / "edge.key").write_text(pair.key)
    own = with_console(stack(tls=Tls("edge.crt", "edge.key")))
    found, remarks = input_files.covered(own, tmp_path)
    assert (found.components.console is not None) is there
    assert bool(remarks) is not there
    assert all("ops.wayfare.test" in remark and "console: false" in remark for remark in remarks)


def test_a_domain_that_was_asked_for_is_refused_where_the_certificate_does_not_cover_it(
    tmp_path: Path,
) -> None:
    pair = pki.issue(pki.new_ca("Test", NOW), ["wayfare.test"], NOW)
    (tmp_path / "edge.crt").write_text(pair.certificate)
    (tmp_path / "edge.key").write_text(pair.key)
    own = with_console(stack(tls=Tls("edge.crt", "edge.key")))
    console = replace(own.components.console, domain="eyes.test")
    asked = replace(own, components=replace(own.components, console=console))
    found, remarks = input_files.covered(asked, tmp_path)
    assert (found, remarks) == (asked, ())
    assert any("does not cover eyes.test" in it.problem for it in input_files.problems(asked, tmp_path, NOW))


def test_every_alert_leads_to_a_dashboard_that_there_is() -> None:
    names = dashboard_files.platform()
    whole = rules(with_everything(stack()))
    assert whole
    for rule in whole:
        link = rule["annotations"]["dashboard"]
        found = re.fullmatch(r"https://ops\.wayfare\.test/#/([a-z]+)(?:\?(.+))?", link)
        assert found, link
        source = names[found[1]]
        chosen = re.findall(r"(\w+)=\{\{ \$labels\.(\w+) \}\}", found[2] or "")
        assert all(name == label and name in source["variables"] for name, label in chosen), link


def test_alerts_of_a_stack_without_it_have_no_such_link() -> None:
    assert not [rule for rule in rules(stack()) if "dashboard" in rule["annotations"]]


def test_the_port_stands_in_a_link_where_it_is_not_the_usual_one() -> None:
    (first, *_rest) = rules(with_console(stack(public_https_port=8443)))
    assert first["annotations"]["dashboard"].startswith("https://ops.wayfare.test:8443/#/")


def test_it_stands_on_the_monitoring_host_and_its_password_in_a_file_of_its_own() -> None:
    tree = rendered(WITH, "h3.test")
    assert tree["config/console/users"].startswith("operator:$6$")
    assert SECRETS["console_password"] not in "".join(tree.values())
    assert "config/console/users" not in rendered(WITH, "h1.test")
    assert "config/grafana/dashboards/hosts.json" not in tree
    services = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]
    assert services["console"]["ports"] == ["10.0.0.3:9430:8443"]
    assert services["console"]["read_only"] is True


def test_the_menu_has_what_there_is() -> None:
    def menu(base: object) -> dict[str, str]:
        told = json.loads(rendered(base, "h3.test")["config/console/page/dashboards.json"])
        return dict(told["menu"])

    assert menu(WITH) == {"Alerts": "#/alerts"}
    assert menu(with_logs(WITH)) == {"Alerts": "#/alerts", "Logs": "logs/search.html"}
    grafana = replace(WITH, images={"grafana": "docker.test/grafana:11.2.0"})
    assert menu(grafana)["Grafana"] == "grafana/dashboards"


def test_runbooks_are_there_to_be_read() -> None:
    tree = rendered(WITH, "h3.test")
    told = {rule["annotations"]["runbook_url"].partition("#")[0] for rule in rules(with_everything(stack()))}
    assert {f"config/console/page/{path}" for path in told} <= tree.keys()


def test_a_named_image_of_grafana_runs_behind_it_with_the_same_dashboards() -> None:
    tree = rendered(replace(WITH, images={"grafana": "docker.test/grafana:11.2.0"}), "h3.test")
    own = [path for path in tree if path.startswith("config/grafana/dashboards/")]
    shown = json.loads(tree["config/console/page/dashboards.json"])["dashboards"]
    assert {Path(path).stem for path in own} == {one["name"] for one in shown}
    service = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]["grafana"]
    assert "ports" not in service
    assert service["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert "location /grafana/" in tree["config/console/nginx.conf"]


def test_grafana_is_told_no_word_that_opens_the_console() -> None:
    logs = replace(with_logs(WITH), images={"grafana": "docker.test/grafana:11.2.0"})
    tree = rendered(logs, "h3.test", console_cookie="the-cookies-own-value")
    sources = tree["config/grafana/provisioning/datasources/slipway.yml"]
    (word,) = {
        one["secureJsonData"]["httpHeaderValue1"]
        for one in json.loads(sources)["datasources"]
        if "secureJsonData" in one
    }
    assert f'"{word}" 1;' in tree["config/console/nginx.conf"]
    assert not any("the-cookies-own-value" in text for path, text in tree.items() if "grafana" in path)


def test_the_edge_passes_it_on_and_lets_strangers_guess_slowly() -> None:
    tree = rendered(with_console(stack(), "10.0.0.0/8", "192.0.2.7"), "h1.test")
    conf = tree["config/edge/console.conf"]
    assert "server_name ops.wayfare.test;" in conf
    assert conf.index("allow 10.0.0.0/8;") < conf.index("allow 192.0.2.7;") < conf.index("deny all;")
    assert "limit_req zone=slipway_guesses" in conf
    assert "server 10.0.0.3:9430" in conf
    assert "deny all" not in rendered(WITH)["config/edge/console.conf"]
    assert "ops.wayfare.test;" in tree["config/edge/servers.conf"]


def test_other_origins_pages_may_not_read_it_whatever_cors_allows() -> None:
    tree = rendered(with_console(stack(cors_origins=("https://shop.test",))))
    headers = tree["config/edge/headers.conf"]
    assert re.search(r'map \$host \$slipway_origin \{\s+ops\.wayfare\.test "";', headers)
    assert "map $slipway_origin $slipway_cors_origin" in headers


def test_an_edge_without_it_is_as_it_was() -> None:
    tree = rendered(stack())
    assert "server {" not in tree["config/edge/console.conf"]
    assert "slipway_policy" not in tree["config/edge/headers.conf"]


def test_its_health_is_asked_through_the_edge_and_beside_it() -> None:
    laid = topology(WITH)
    names = {probe.name for probe in probes_for(laid, laid.views["h1.test"])}
    assert "serves ops.wayfare.test" in names
    own = {probe.name for probe in probes_for(laid, laid.views["h3.test"]) if probe.component == "console"}
    assert own == {"accepts", "certificate", "container console"}


def test_files_of_dashboards_that_are_no_good_are_refused(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("a: 1")
    (tmp_path / "bad.yml").write_text("a: [")
    (tmp_path / "typo.yml").write_text("title: T\nabout: A\nrows: []\n")
    base = with_console(stack())
    files = ("gone.yml", "hosts.yml", "bad.yml", "typo.yml")
    console = replace(base.components.console, dashboards=files)
    own = replace(base, components=replace(base.components, console=console))
    found = {it.path: it.problem for it in dashboard_files.problems(own, tmp_path)}
    path = "stack/components/console/dashboards"
    assert found[f"{path}/0"] == "gone.yml is not a file"
    assert found[f"{path}/1"] == "hosts.yml has the name of another dashboard"
    assert found["bad.yml"].startswith("is not YAML")
    assert found["typo.yml/rows"] == "is an empty list"


def test_the_chart_library_is_the_published_one() -> None:
    # dist/uPlot.iife.min.js and .min.css of npm's uplot 1.6.32, unchanged.
    page = Path(__file__).resolve().parents[2] / "compose/config/console/page"
    sums = {
        "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }
    for name, expected in sums.items():
        assert hashlib.sha256((page / name).read_bytes()).hexdigest() == expected
