"""What changes without a release, and nobody notices: settings, certificates, restarts, a patched host."""

from __future__ import annotations

import time
from pathlib import Path

import yaml
from edge import Edge
from fleet_under_test import Fleet
from steady_load import Load

from lab import Lab

# Load that runs well before and after shows what the change alone does.
BEFORE_AND_AFTER = 4.0


def assert_unnoticed(load: Load) -> None:
    time.sleep(BEFORE_AND_AFTER)
    assert load.failed == 0, f"{load}\n" + "\n".join(load.failures)
    assert load.truncated == 0


def served(edge: Edge) -> bytes:
    """The edge's certificate, as a new client is shown it."""
    with edge.context().wrap_socket(edge.socket(), server_hostname=edge.domain) as secured:
        return secured.getpeercert(binary_form=True) or b""


def forget_certificate(lab: Lab, name: str, folder: Path) -> None:
    """What makes the next deployment issue another one, as it does when the old one is about to expire."""
    vault, plain = lab.folder / "secrets.vault.yml", folder / "plain.yml"
    lab.run(["ansible-vault", "decrypt", "--output", str(plain), str(vault)], timeout=60)
    document = yaml.safe_load(plain.read_text())
    del document["pki"]["certificates"][name]
    plain.write_text(yaml.safe_dump(document))
    lab.run(["ansible-vault", "encrypt", "--output", str(vault), str(plain)], timeout=60)
    plain.unlink()


def test_a_change_of_settings_alone(fleet: Fleet, load: Load, edge: Edge) -> None:
    stack = fleet.site.stack
    stack["services"]["web"]["rate_limit"] = {"requests": 6001, "window": "1m"}
    stack["components"]["edge"]["hsts_max_age"] = "12345s"
    stack["components"]["edge"]["public_https_port"] = edge.https_port
    before = {service: fleet.running(service) for service in stack["services"]}
    time.sleep(BEFORE_AND_AFTER)
    run = fleet.deploy(stack)
    assert run.status == 0, run.problem
    assert edge.get("/").headers["Strict-Transport-Security"] == "max-age=12345"
    assert {service: fleet.running(service) for service in stack["services"]} == before
    assert_unnoticed(load)


def test_a_new_certificate(fleet: Fleet, load: Load, edge: Edge, lab: Lab, tmp_path: Path) -> None:
    assert fleet.deploy().status == 0
    before = served(edge)
    forget_certificate(lab, "edge", tmp_path)
    run = fleet.deploy()
    assert run.status == 0, run.problem
    assert served(edge) != before
    assert_unnoticed(load)
