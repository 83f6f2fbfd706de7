"""One router's runtime API as a host asks it: over TLS, of one that answers late or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.routing import router
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_address import Address
from ansible_collections.slipway.compose.plugins.plugin_utils import pki

HERE = "127.0.0.1"


@contextmanager
def runtime_api(folder: Path, answers: Sequence[str | None]) -> Iterator[router.Router]:
    """One that answers so, connection by connection; None: it is reached and says nothing."""
    now = datetime.now(UTC)
    ca = pki.new_ca("test", now)
    own = pki.issue(ca, [HERE], now)
    for name, text in {"ca.crt": ca.certificate, "tls.crt": own.certificate, "tls.key": own.key}.items():
        (folder / name).write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
    context.load_cert_chain(str(folder / "tls.crt"), str(folder / "tls.key"))
    context.verify_mode = ssl.CERT_REQUIRED
    silent: list[socket.socket] = []

    def serve() -> None:
        for answer in answers:
            plain, _ = listener.accept()
            if answer is None:
                silent.append(plain)
                continue
            with context.wrap_socket(plain, server_side=True) as channel:
                channel.recv(1024)
                channel.sendall(answer.encode())

    with socket.create_server((HERE, 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        address = Address("router on h2", HERE, listener.getsockname()[1])
        yield router.Router(address, router.client_context(folder))
        serving.join(30)
        assert not serving.is_alive()
    for plain in silent:
        plain.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "TIMEOUT", 0.5)


def test_a_router_that_says_nothing_at_first_is_asked_again(tmp_path: Path) -> None:
    with runtime_api(tmp_path, [None, None, "1\n"]) as busy:
        assert busy.table() == "1\n"


def test_a_router_that_never_says_anything_is_named(tmp_path: Path) -> None:
    said = r"^router on h2 \(127.0.0.1:\d+\) does not answer: .*timed out"
    with runtime_api(tmp_path, [None] * router.TRIES) as silent, pytest.raises(SlipwayError, match=said):
        silent.table()


def test_a_router_that_refuses_to_connect_is_not_asked_again(tmp_path: Path) -> None:
    with runtime_api(tmp_path, []) as gone:
        pass
    with pytest.raises(SlipwayError, match="does not answer: .*Connection refused"):
        gone.table()


def test_a_command_that_is_refused_is_not_said_again(tmp_path: Path) -> None:
    with (
        runtime_api(tmp_path, ["No such server.\n"]) as answering,
        pytest.raises(SlipwayError, match="refuses `set server web/blue state drain`: No such server"),
    ):
        answering.set_state("web", "blue", "drain")
