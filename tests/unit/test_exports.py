"""Who else gets logs and traces: what a stack may say of them, and what hosts are told."""

from __future__ import annotations

import configparser
import json
from dataclasses import replace
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.otlp_intake import Destination
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.exports import (
    FOLDER,
    export_faults,
    export_headers,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, SecretRule
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_integrations import (
    Export,
    LogExport,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from host_programs import ROLE
from whole_stack import (
    CERTIFICATE,
    IMAGES,
    SECRETS,
    rendered,
    rules,
    stack,
    with_log_exports,
    with_logs,
    with_traces,
)

KEY = "hidden-trace$key"
UNIT = "slipway-log-export@.service"


@pytest.mark.parametrize("of", ["logs", "traces"])
@pytest.mark.parametrize(
    ("url", "headers", "secrets", "path"),
    [
        ("https://t.test/v1", "key", {}, "headers_secret"),
        ("https://t.test/v1", "key", {"key": SecretRule("key", 32)}, "headers_secret"),
        ("http://t.test/v1", "key", {"key": SecretRule("key", None)}, "url"),
        ("https://t.test:65536/v1", None, {}, "url"),
        ("http://t.test:4318/v1", None, {}, None),
        ("https://t.test/v1", "key", {"key": SecretRule("key", None)}, None),
    ],
    ids=["unknown secret", "generated secret", "secret in the clear", "no port", "no secret", "all well"],
)
def test_an_export_that_cannot_work_is_refused(
    of: str, url: str, headers: str | None, secrets: Any, path: str | None
) -> None:
    base = with_traces(stack(3), exports={"x": Export(url, headers)})
    if of == "logs":
        base = with_log_exports(with_logs(stack(3)), x=LogExport(url, headers))
    place = {"logs": "stack/components/logs/exports", "traces": "stack/components/logs/traces/exports"}[of]
    found = [problem.path for problem in export_faults(replace(base, secrets=secrets))]
    assert found == ([f"{place}/x/{path}"] if path else [])


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ({}, "x/url: is missing"),
        ({"url": "loki.test"}, "x/url: is"),
        ({"url": "https://a.test/", "header": "k"}, "x/header: is not a known key"),
        ({"url": "https://a.test/", "audit": "yes"}, "x/audit: is"),
        ({"url": "https://a.test/", "encoding": "grpc"}, "x/encoding: is"),
        ({"url": "https://a.test/", "headers_secret": "kye"}, "x/headers_secret: kye is not declared. Did"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(
    definition: dict[str, Any], hosts: list[Host], export: dict[str, Any], said: str
) -> None:
    definition |= {"secrets": {"key": {}}, "components": {"logs": {"exports": {"x": export}}}}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(definition, hosts)
    (problem,) = refused.value.problems
    assert f"stack/components/logs/exports/{said}" in str(problem)


def test_it_is_declared_by_an_address(definition: dict[str, Any], hosts: list[Host]) -> None:
    definition |= {
        "components": {"logs": {"exports": {"loki": {"url": "http://loki.test:3100/otlp/v1/logs"}}}}
    }
    logs = parse_stack(definition, hosts).components.logs
    assert logs and logs.exports == {
        "loki": LogExport("http://loki.test:3100/otlp/v1/logs", None, audit=False)
    }


def test_a_secret_that_is_no_list_of_headers_is_refused_without_being_told() -> None:
    assert export_headers("x", "A: b\n\nAuthorization:  Bearer c: d \n") == {
        "A": "b",
        "Authorization": "Bearer c: d",
    }
    with pytest.raises(SlipwayError, match="line 2") as refused:
        export_headers("x", "A: b\ns3cret")
    assert "s3cret" not in str(refused.value)
    with pytest.raises(SlipwayError, match="stack/secrets/x sets Content-type in line 1"):
        export_headers("x", "Content-type: text/plain")


def test_each_host_is_told_of_each_destination_as_root_alone(tmp_path: Any) -> None:
    base = with_log_exports(stack(3))
    laid = topology(base)
    images = dict.fromkeys([*IMAGES, *base.services], "registry.test/x@sha256:0")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {}, "staging")
    for host, view in laid.views.items():
        files = {it.path: it for it in render(laid, view, material)}
        own = {path: it for path, it in files.items() if path.startswith(f"{FOLDER}/")}
        assert own.keys() == {f"{FOLDER}/loki.json", f"{FOLDER}/lake-1.json"}
        assert {(it.mode, it.owner) for it in own.values()} == {(0o400, 0)}
        assert [path for path, it in files.items() if "DD-API-KEY" in it.content] == [f"{FOLDER}/loki.json"]
        # As the program on the host reads it.
        (tmp_path / "loki.json").write_text(own[f"{FOLDER}/loki.json"].content)
        read = Destination.read(tmp_path / "loki.json")
        assert read == Destination(
            "https://loki.test/otlp/v1/logs", {"DD-API-KEY": KEY}, "json", False, host, "wayfare", "staging"
        )
        assert json.loads(own[f"{FOLDER}/lake-1.json"].content)["audit"] is True


def test_a_stack_without_destinations_has_nothing_of_them() -> None:
    for base in (stack(3), with_logs(stack(3))):
        assert not [
            path for path in rendered(base, "h3.test") if "export" in path.rpartition("/")[2].split(".")
        ]
        assert not [path for path in rendered(base, "h3.test") if path.startswith(FOLDER)]
        assert not [rule for rule in rules(base) if rule["alert"].startswith("LogsExport")]


def test_hosts_run_a_program_for_each_destination_whose_name_is_one() -> None:
    def asked(logs: Any) -> Any:
        return host_stack({"components": {"logs": logs}}, "a", ["a"], {"a": {}}).get("logs")

    assert asked({"exports": {"loki": {}, "lake-1": None}}) == {"buffer": "1G", "exports": ["lake-1", "loki"]}
    assert asked({"exports": {"../x": {}, "a b": {}, 1: {}, "ok": {}}})["exports"] == ["ok"]
    assert asked({"exports": ["loki"]}) == asked({}) == {"buffer": "1G"}
    assert asked(None) is None


def unit(**outside: str) -> configparser.ConfigParser:
    template = jinja2.Template((ROLE / f"templates/{UNIT}.j2").read_text(), trim_blocks=True)
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.read_string(template.render(host_stack={"name": "shop"}, host_outside_environment=outside))
    return parsed


def test_the_service_has_a_place_of_its_own_for_each_destination_and_says_no_key() -> None:
    service = unit(https_proxy='http://p"x%y')["Service"]
    program = "/usr/bin/python3 -I /usr/local/lib/slipway/log_export"
    assert service["ExecStart"] == f"{program} /opt/shop /var/lib/slipway-log-export/%i %i"
    assert service["StateDirectory"] == "slipway-log-export/%i"
    assert service["Environment"] == '"https_proxy=http://p\\"x%%y"'


def test_every_destination_is_started_anew_when_any_part_of_the_program_changes() -> None:
    handlers = yaml.safe_load((ROLE / "handlers/main.yml").read_text())
    (handler,) = [it for it in handlers if it["listen"] == "Log exports changed"]
    told = handler["ansible.builtin.systemd_service"]
    assert (told["name"], told["state"]) == ("slipway-log-export@{{ __host_export }}", "restarted")
    assert handler["loop"] == "{{ _host_log_exports }}"
    tasks = yaml.safe_load((ROLE / "tasks/log_exports.yml").read_text())
    assert tasks[0]["notify"] == tasks[1]["notify"] == "Log exports changed"


def test_of_a_destination_that_goes_its_link_goes_last() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/no_log_exports.yml").read_text())
    steps = [
        task.get("ansible.builtin.systemd_service") or task.get("ansible.builtin.file") for task in tasks
    ]
    name = "slipway-log-export@{{ __host_export }}"
    assert steps[1] == {"name": name, "state": "stopped"}
    assert [it["path"].rpartition("/")[0] for it in steps[2:4]] == [
        "/opt/{{ host_stack.name }}/state/metrics",
        "/var/lib/slipway-log-export",
    ]
    assert steps[4] == {"name": name, "enabled": False}
    assert {task.get("loop", "") for task in tasks[1:5]} == {"{{ _host_log_exports_unwanted }}"}
