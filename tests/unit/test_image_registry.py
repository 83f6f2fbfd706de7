"""The registry: asked over real TLS with client certificates, kept running, and trusted."""

from __future__ import annotations

import http.server
import os
import ssl
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_builder import Item
from ansible_collections.slipway.compose.plugins.module_utils._core.images.image_stages import (
    Memory,
    Site,
    in_registry,
    pin_upstream,
    trust_registry,
    trusts_registry,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.images.registry_client import (
    RegistryClient,
    UnreachableError,
    client_context,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.images.registry_host import (
    Identity,
    RegistryProject,
    changed_files,
    trust_files,
)
from ansible_collections.slipway.compose.plugins.plugin_utils.pki import issue, new_ca
from ansible_collections.slipway.compose.plugins.plugin_utils.registry_files import (
    registry_address,
    registry_project,
)
from whole_stack import stack

SHA = "sha256:" + "0" * 64
ME = os.geteuid()
COMPOSE = Path(__file__).parents[2] / "compose"
CA = new_ca("test", datetime.now(UTC))
OTHER_CA = new_ca("other", datetime.now(UTC))
HOST = issue(CA, ["localhost", "127.0.0.1"], datetime.now(UTC))
IDENTITY = Identity(CA.certificate, HOST.certificate, HOST.key)
IMAGE = "slipway/registry:0123456789ab"


class Registry(http.server.BaseHTTPRequestHandler):
    """As much of a registry as is asked of one: it has one image."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = self.path in ("/v2/", "/v2/slipway/redis/manifests/abc")
        self._answer(200 if known else 404, {}, b'{"layers": []}')

    def do_HEAD(self) -> None:
        known = self.path == "/v2/slipway/redis/manifests/abc" and "oci.image.index" in self.headers["Accept"]
        self._answer(200 if known else 404, {"Docker-Content-Digest": SHA} if known else {})

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A builder that trusts a registry that runs on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    for name, text in (("ca", CA.certificate), ("crt", HOST.certificate), ("key", HOST.key)):
        (tmp_path / name).write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca"))
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Site(f"127.0.0.1:{server.server_address[1]}", IDENTITY, tmp_path / "work", tmp_path / "certs.d", ME)
    server.shutdown()
    thread.join()
    server.server_close()


def item(name: str) -> Item:
    return Item(name, f"slipway/{name}", "abc", {}, True)


def test_the_registry_is_asked_for_what_it_has(site):
    trust_registry(site)
    assert in_registry(site, [item("redis"), item("nginx")]) == {"redis": SHA}


def test_a_manifest_is_read_where_there_is_one(site):
    trust_registry(site)
    with RegistryClient(site.address, client_context(site.certificates)) as registry:
        assert registry.manifest("slipway/redis", "abc") == {"layers": []}
        assert registry.manifest("slipway/redis", SHA) is None


def test_who_shows_no_certificate_gets_no_answer(site):
    trust_registry(site)
    context = ssl.create_default_context(cafile=str(site.certificates / "ca.crt"))
    with RegistryClient(site.address, context) as registry, pytest.raises(UnreachableError):
        registry.check()


def test_a_registry_of_another_environment_is_not_believed(site):
    stranger = Site(
        site.address, Identity(OTHER_CA.certificate, HOST.certificate, HOST.key), site.folder, site.trust, ME
    )
    trust_registry(stranger)
    with (
        RegistryClient(site.address, client_context(stranger.certificates)) as registry,
        pytest.raises(UnreachableError, match="certificate verify failed"),
    ):
        registry.check()


def test_a_registry_that_is_away_is_named_with_a_remedy(site):
    trust_registry(site)
    with (
        RegistryClient("127.0.0.1:1", client_context(site.certificates)) as registry,
        pytest.raises(
            UnreachableError, match=r"127\.0\.0\.1:1 cannot be reached: .*refused.*Check that it runs"
        ),
    ):
        registry.check()


def test_trust_is_written_once_and_the_key_is_roots_alone(site):
    assert trust_registry(site)
    assert trusts_registry(site)
    assert not trust_registry(site)
    assert (site.certificates / "client.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_may_read_is_not_as_wanted(site):
    trust_registry(site)
    (site.certificates / "client.key").chmod(0o644)
    assert [file.path for file in changed_files(site.certificates, trust_files(IDENTITY, ME))] == [
        "client.key"
    ]


def answers(reference: str) -> str | None:
    known = {"shop:1": f"shop@{SHA}"}
    if reference == "away:1":
        raise UnreachableError("registry away cannot be reached", "Wait")
    return known.get(reference)


@pytest.mark.parametrize(
    ("references", "known", "pinned", "warned"),
    [
        pytest.param(["shop:1"], {}, {"shop:1": f"shop@{SHA}"}, [], id="a-tag-becomes-a-digest"),
        pytest.param([f"shop@{SHA}"], {}, {}, [], id="a-digest-needs-no-answer"),
        pytest.param(
            ["away:1"],
            {},
            {},
            ["away:1: registry away cannot be reached; using the tag as it is"],
            id="away-and-never-seen",
        ),
        pytest.param(
            ["away:1"],
            {"away:1": f"away@{SHA}"},
            {"away:1": f"away@{SHA}"},
            [f"away:1: registry away cannot be reached; using away@{SHA}"],
            id="away-but-remembered",
        ),
        pytest.param(
            ["gone:1"],
            {},
            {},
            ["gone:1: its registry does not know this tag; using the tag as it is"],
            id="gone",
        ),
    ],
)
def test_upstream_references_are_pinned_where_they_can_be(references, known, pinned, warned):
    assert pin_upstream(references, known, answers) == (pinned, warned)


def test_answers_are_remembered_beside_earlier_ones(tmp_path):
    memory = Memory(tmp_path / "upstream.json")
    memory.add({"a:1": "a@1"})
    memory.add({"b:1": "b@1"})
    assert memory.read() == {"a:1": "a@1", "b:1": "b@1"}


def project(identity: Identity = IDENTITY, image: str = IMAGE, *, built: bool = True) -> RegistryProject:
    return registry_project(stack(), identity, image, built, COMPOSE)


def rendered(given: RegistryProject) -> Any:
    return yaml.safe_load(next(file.content for file in given.files if file.path.endswith("prod.yml")))


def test_the_registry_is_published_on_its_hosts_private_address_only():
    service = rendered(project())["services"]["registry"]
    address = registry_address(stack())
    assert service["ports"] == [f"{address}:5000", f"{address.split(':')[0]}:5001:5001"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "10001:10001"
    assert service["pull_policy"] == "never"


def test_the_registry_asks_for_certificates_and_the_key_is_its_own():
    files = {file.path: file for file in project().files}
    config = yaml.safe_load(files["config/config.yml"].content)
    assert config["http"]["tls"]["clientcas"] == ["/config/tls/ca.crt"]
    assert (files["config/tls/tls.key"].mode, files["config/tls/tls.key"].owner) == (0o400, 10001)
    assert HOST.key not in files["docker-compose.prod.yml"].content


def test_any_change_gives_the_container_another_label():
    other = Identity(CA.certificate, HOST.certificate, HOST.key + "\n")
    digests = {project().digest, project(other).digest, project(image="slipway/registry:other").digest}
    assert len(digests) == 3
    assert rendered(project())["services"]["registry"]["labels"] == {"io.slipway.digest": project().digest}


def test_an_upstream_image_gets_its_own_command():
    assert rendered(project(built=False))["services"]["registry"]["command"][0] == "serve"


@pytest.mark.parametrize(
    ("told", "steps"),
    [
        pytest.param("{digest}\trunning\tUp 3 hours (healthy)\n", 0, id="as-it-should-be"),
        pytest.param("", 1, id="not-there"),
        pytest.param("0123\trunning\tUp 3 hours (healthy)\n", 1, id="another-configuration"),
        pytest.param("{digest}\trunning\tUp 3 hours (unhealthy)\n", 1, id="unhealthy"),
        pytest.param("{digest}\trunning\tUp 1 second (health: starting)\n", 1, id="starting"),
        pytest.param("{digest}\texited\tExited (1)\n", 1, id="exited"),
    ],
)
def test_the_registry_is_started_when_it_does_not_run_as_it_should(monkeypatch, told, steps):
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    given = project()
    unwritten = RegistryProject(given.name, given.folder, given.image, True, given.digest, ())

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        assert argv[:2] == ["docker", "ps"]
        return 0, told.format(digest=given.digest), ""

    assert len(unwritten.steps(run)) == steps


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("unhealthy", "Read its log, correct the cause"),
        (
            "listen tcp4 192.0.2.11:5000: bind: cannot assign requested address",
            "Set slipway_address to an address",
        ),
    ],
)
def test_a_registry_that_does_not_start_shows_its_log(tmp_path, said, remedy):
    given = project()
    own = RegistryProject(given.name, tmp_path, IMAGE, True, given.digest, ())

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if "logs" in argv:
            return 0, "open /config/tls/tls.key: permission denied", ""
        return (1, "", said) if "up" in argv else (0, "", "")

    with pytest.raises(SlipwayError, match=f"{said}\nopen /config/tls/tls.key: permission denied") as refused:
        own.bring_up(run, 10)
    assert refused.value.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("status", "restarted"), [("Up 3 hours (unhealthy)", 1), ("Up 1 second (health: starting)", 0)]
)
def test_a_registry_that_was_unhealthy_is_looked_at_anew(tmp_path, monkeypatch, status, restarted):
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    given, asked = project(), []

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        asked.append(next((word for word in ("restart", "up") if word in argv), argv[1]))
        return 0, f"{given.digest}\trunning\t{status}\n" if argv[1] == "ps" else "", ""

    RegistryProject(given.name, tmp_path, IMAGE, True, given.digest, ()).bring_up(run, 10)
    assert [word for word in asked if word in ("restart", "up")] == ["restart"] * restarted + ["up"]
