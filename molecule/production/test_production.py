"""What an operator sees from outside, once `ansible-playbook deploy.yml -l production` has ended."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOMAIN = "wayfare.example.com"


def on_machine(number: int, command: str) -> str:
    argv = [str(CHECKOUT / "lab/lab"), "ssh", str(number), command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def curl(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A client that knows the domain's address and trusts the environment's CA, and no other."""
    ports = json.loads((CHECKOUT / ".lab" / os.environ["SLIPWAY_LAB"] / "lab.json").read_text())
    authority = tmp_path_factory.mktemp("tls") / "ca.crt"
    authority.write_text(on_machine(1, "sudo cat /opt/wayfare/config/host/tls/ca.crt"))
    return [
        *("curl", "--silent", "--show-error", "--fail", "--max-time", "60"),
        *("--cacert", str(authority), "--capath", "/nowhere"),
        *("--connect-to", f"{DOMAIN}:443:127.0.0.1:{ports['https_port']}"),
        *("--connect-to", f"{DOMAIN}:80:127.0.0.1:{ports['http_port']}"),
    ]


def ask(curl: list[str], *arguments: str) -> str:
    return subprocess.run([*curl, *arguments], capture_output=True, text=True, check=True, timeout=90).stdout


def test_the_page_loads_over_verified_tls(curl: list[str]) -> None:
    page = ask(curl, f"https://{DOMAIN}/")
    assert "<title>" in page and "Wayfare" in page


def test_the_api_answers_from_the_database(curl: list[str]) -> None:
    answer = json.loads(ask(curl, f"https://{DOMAIN}/api/places"))
    assert answer


def test_plain_http_is_sent_to_https(curl: list[str]) -> None:
    told = ask(
        curl, "--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}", f"http://{DOMAIN}/"
    )
    assert told in (f"301 https://{DOMAIN}/", f"308 https://{DOMAIN}/")


def test_images_were_built_on_the_registrys_host() -> None:
    label = "sudo docker images --quiet --filter label=io.slipway.image=postgres"
    assert on_machine(3, label)
    assert on_machine(3, "command -v mmdebstrap")


def test_no_host_has_anything_of_the_lab() -> None:
    for number in (1, 2, 3):
        settings = on_machine(number, "cat /etc/docker/daemon.json")
        assert '"172.28.0.1/24"' in settings, "the bridge is not the role's default"
