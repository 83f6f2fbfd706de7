"""Probes are asked side by side, again where that is wanted, and each failure says what to do."""

from __future__ import annotations

import json
import ssl
import threading

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health import Probe
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.probes import measure
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.probes_network import no_answer
from ansible_collections.slipway.compose.plugins.modules import health

PROBE = Probe("ready", "api", "tcp", {"host": "10.0.0.1", "port": 1})


def container(name, state="running", health="healthy"):
    facts = {
        "Name": f"/{name}",
        "State": {"Status": state, "Health": {"Status": health}},
        "Config": {"Labels": {}},
    }
    return json.dumps({**facts, "RestartCount": 0})


class Docker:
    """An engine whose answers follow one another; the last one is for ever."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.asked = []

    def __call__(self, argv, stdin=None):
        with self._lock:
            self.asked.append(list(argv))
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def looks(*names, **more):
    return [Probe(name, "api", "container", {"container": name}, **more) for name in names]


def test_all_containers_are_looked_at_with_one_command():
    docker = Docker(
        (1, f"{container('a')}\n{container('b', health='starting')}\n", "Error: No such container: c\n")
    )
    checks = measure(looks("b", "a", "c"), docker)
    assert [(check.name, check.status, check.detail) for check in checks] == [
        ("b", "fail", "running, starting"),
        ("a", "ok", "healthy"),
        ("c", "fail", "does not exist"),
    ]
    assert docker.asked == [["docker", "container", "inspect", "--format", "{{json .}}", "a", "b", "c"]]


def test_an_engine_that_does_not_answer_is_named():
    docker = Docker((1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."))
    (check,) = measure(looks("a"), docker)
    assert check.detail.startswith("docker does not answer: Cannot connect")
    assert "systemctl status docker" in check.remedy


def test_a_failed_probe_is_tried_again_as_often_as_it_says():
    starting, ready = (0, container("a", health="starting"), ""), (0, container("a"), "")
    docker = Docker(starting, starting, ready)
    pause = {"backoff": 0.45}
    assert measure(looks("a", retries=1, **pause), docker)[0].status == "fail"
    assert len(docker.asked) == 2
    assert measure(looks("a", retries=0, **pause), docker)[0].status == "ok"
    again = Docker(starting, starting, ready)
    assert measure(looks("a", retries=2, **pause), again)[0].status == "ok"


def test_waiting_goes_on_until_all_is_well():
    docker = Docker(*[(0, container("a", health="starting"), "")] * 2, (0, container("a"), ""))
    assert measure(looks("a", backoff=0.45), docker, wait=30)[0].status == "ok"
    assert len(docker.asked) == 3


def test_waiting_ends():
    docker = Docker((0, container("a", health="starting"), ""))
    assert measure(looks("a", backoff=0.1, deadline=0), docker, wait=0.5)[0].status == "fail"


def test_nothing_to_ask_is_nothing_found():
    assert measure([], Docker((0, "", ""))) == []


def verification_error():
    error = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ConnectionRefusedError(111, "refused"), "connection refused"),
        (TimeoutError("timed out"), "no answer within 2 s"),
        (TimeoutError("no complete answer within 2 s"), "no complete answer within 2 s"),
        (FileNotFoundError(2, "No such file or directory", "/ca.crt"), "/ca.crt: No such file or directory"),
        (verification_error(), "certificate refused: certificate has expired"),
        (OSError(113, "No route to host"), "no usable answer: [Errno 113] No route to host"),
        (EOFError(), "no usable answer: EOFError"),
    ],
    ids=["refused", "timeout", "slow", "file", "certificate", "route", "end"],
)
def test_a_connection_that_fails_says_why_and_what_to_do(error, detail):
    finding = no_answer(PROBE, error)
    assert (finding.status, finding.detail) == ("fail", detail)
    assert finding.remedy


@pytest.fixture
def call(monkeypatch, capsys):
    """The module's answer on a host whose engine says `said`."""

    def call(said, **arguments):
        monkeypatch.setattr(AnsibleModule, "run_command", lambda *_, **__: (0, said, ""))
        with patch_module_args(arguments), pytest.raises(SystemExit):
            health.main()
        return json.loads(capsys.readouterr().out)

    return call


LOOK = {"name": "container a", "component": "api", "kind": "container", "target": {"container": "a"}}


def test_the_module_returns_checks_and_one_table(call):
    found = call(container("a"), probes=[LOOK], host="h1", _ansible_check_mode=True)
    assert found["healthy"] and not found["changed"] and found["unhealthy"] == []
    assert found["table"][1].split() == [
        "h1",
        "ok",
        "api",
        "container",
        "a",
        str(found["checks"][0]["milliseconds"]),
        "healthy",
    ]


def test_the_module_fails_with_every_unhealthy_check_only_when_strict(call):
    failed = call(container("a", health="unhealthy"), probes=[LOOK])
    assert failed["failed"] and failed["msg"].startswith(
        "1 of 1 checks failed:\n  - api container a (a): running, unhealthy"
    )
    assert failed["checks"][0]["status"] == "fail"
    told = call(container("a", health="unhealthy"), probes=[LOOK], strict=False)
    assert not told.get("failed") and not told["healthy"]


def test_the_module_asks_nothing_of_a_list_that_is_wrong(call):
    refused = call("", probes=[{**LOOK, "target": {"contaner": "a"}}])
    assert "probes/container a/target/contaner: is unknown. Did you mean container?" in refused["msg"]
    assert "probes/container a/target/container: is missing" in refused["msg"]
