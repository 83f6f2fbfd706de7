"""What all hosts say is in one place, and stays complete when that place was away."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from edge import Edge
from waiting import eventually

from lab import Lab

# What waits on a host goes out within seconds; on a busy machine later.
SENT = 60.0
REQUESTS = 200


def ask(lab: Lab, query: str, store: str = "logs") -> list[dict[str, Any]]:
    path = {"logs": "", "audit-logs": "/audit"}[store]
    url = f"http://127.0.0.1:9428{path}/select/logsql/query"
    command = f"curl --fail --silent --show-error --data-urlencode {shlex.quote(f'query={query}')} {url}"
    told = lab.in_container(lab.host_of("logs"), store, command)
    return [json.loads(line) for line in told.splitlines() if line.strip()]


@pytest.fixture(scope="module", autouse=True)
def declared(lab: Lab) -> None:
    assert lab.stack["components"]["logs"], "the lab has no log store"


@contextmanager
def without(lab: Lab, component: str) -> Iterator[None]:
    host, name = lab.host_of(component), f"{lab.stack['name']}-{component}-1"
    lab.hosts[host].check_output("docker stop %s", name)
    try:
        yield
    finally:
        lab.hosts[host].check_output("docker start %s", name)


def test_a_request_is_found_by_its_id_in_what_edge_and_application_say(lab: Lab, edge: Edge) -> None:
    one = secrets.token_hex(16)
    assert edge.get("/api/places", X_Request_ID=one).status == 200

    def speakers() -> set[str]:
        told = lab.playbook("playbooks/logs.yml", "-e", f"request={one}").stdout
        lines = [line.split(" ") for line in told.splitlines() if one in line and line.count(" ") >= 3]
        return {words[2].partition("-")[0] for words in lines if words[1] in lab.hosts}

    assert eventually(speakers, lambda found: {"edge", "api"} <= found, SENT) >= {"edge", "api"}


def test_a_line_says_of_which_service_pool_and_release_it_is(lab: Lab, edge: Edge) -> None:
    one = secrets.token_hex(16)
    edge.get("/api/places", X_Request_ID=one)
    query = f'service:=api "{one}"'
    (found,) = eventually(lambda: ask(lab, query), lambda rows: len(rows) == 1, SENT)
    current = lab.hosts[found["host"]].check_output("ls /opt/%s/releases", lab.stack["name"]).split()
    assert found["release"] in current
    assert found["pool"] in ("blue", "green")
    assert found["replica"] == found["component"]
    assert found["request_id"] == one


def test_nothing_is_missing_of_what_was_said_while_the_store_was_away(lab: Lab, edge: Edge) -> None:
    run = secrets.token_hex(8)
    with without(lab, "logs"):
        for number in range(REQUESTS):
            assert edge.get("/api/places", X_Request_ID=f"{run}-{number:04d}").status == 200

    def heard() -> dict[str, int]:
        rows = ask(lab, f'"{run}" | fields component, request_id')
        return {
            part: len({row["request_id"] for row in rows if row["component"].startswith(part)})
            for part in ("edge", "api")
        }

    complete = {"edge": REQUESTS, "api": REQUESTS}
    assert eventually(heard, lambda found: found == complete, SENT) == complete
    # Nor is anything there twice.
    assert len(ask(lab, f'"{run}" component:=edge | fields seq')) == REQUESTS


def test_who_did_what_is_kept_apart(lab: Lab) -> None:
    mark, host = secrets.token_hex(16), next(iter(lab.hosts))
    lab.hosts[host].check_output("logger --priority authpriv.notice %s", mark)
    lab.hosts[host].check_output("logger --priority daemon.notice %s", f"{mark}-daemon")
    # Not what `sudo` says of the commands above.
    query = f'_msg:in("{mark}", "{mark}-daemon")'
    both = eventually(lambda: ask(lab, query), lambda rows: len(rows) == 2, SENT)
    assert {row["host"] for row in both} == {host}
    (kept,) = eventually(lambda: ask(lab, query, "audit-logs"), lambda rows: len(rows) == 1, SENT)
    assert kept["_msg"] == mark


def test_every_host_sends(lab: Lab) -> None:
    told = ask(lab, "_time:1d | stats by (host) count() lines")
    assert {row["host"] for row in told} == set(lab.hosts)
    for host in lab.hosts.values():
        assert host.service("slipway-log-shipper").is_running
        assert host.service("slipway-log-shipper").is_enabled


def test_whoever_has_no_certificate_is_told_nothing(lab: Lab) -> None:
    url = f"https://{lab.addresses[lab.host_of('logs')]}:9428/select/logsql/query?query=*"
    script = (
        "import ssl, urllib.request, urllib.error\n"
        "context = ssl._create_unverified_context()\n"
        "try:\n"
        f"    urllib.request.urlopen('{url}', context=context, timeout=30)\n"
        "    print('told')\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(error.code, error.read().decode())\n"
    )
    for host in lab.hosts:
        assert "No required SSL certificate was sent" in lab.as_root(
            host, f"python3 - <<'EOF'\n{script}EOF\n"
        )
