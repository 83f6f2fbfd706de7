"""A host's lines at others' intakes, by the real program: a real OpenTelemetry Collector's, and moodier ones.

In the journal's place is a file. The collector answers when what stands behind it has taken the lines: what
it acknowledged is not in its memory alone when it is killed.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import issue
from export_program import ExportProgram
from file_journal import FileJournal
from log_intakes import Collector, Moody, asked, flat, numbers, records, unpacked, victoria_logs
from sinks import Sink, eventually, serving

LINES = 5000
KEY = "hidden-key-of-ours"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OF_A_SERVICE = {
    "CONTAINER_NAME": "shop-api-blue-1-1",
    "COM_DOCKER_COMPOSE_SERVICE": "api-blue-1",
    "COM_DOCKER_COMPOSE_PROJECT_CONFIG_FILES": "/opt/shop/releases/99ac20d3e760/docker-compose.prod.yml",
    "SLIPWAY_SERVICE": "api",
    "SLIPWAY_POOL": "blue",
    "SLIPWAY_REPLICA": "api-blue-1",
    "_SYSTEMD_UNIT": "docker.service",
    "PRIORITY": "6",
}


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """Certificates by a CA that those trust who are told of its bundle."""
    folder = tmp_path / "tls"
    folder.mkdir()
    issue(folder, "sink.test", 90, issue(folder, "ca", 90))
    return folder


@pytest.fixture
def sink(tls: Path) -> Iterator[Sink]:
    with serving(Sink(tls)) as started:
        assert isinstance(started, Sink)
        yield started


class Bench:
    """A journal, and programs that send it."""

    def __init__(self, folder: Path, tls: Path) -> None:
        self.folder, self.tls = folder, tls
        self.journal = FileJournal(folder)
        self.programs: list[ExportProgram] = []

    def export(self, name: str, url: str, **settings: Any) -> ExportProgram:
        program = ExportProgram(self.folder, self.journal, name, url, **settings)
        self.programs.append(program)
        self.start(program)
        return program

    def start(self, program: ExportProgram) -> None:
        """As on a host whose bundle has the company's CA."""
        program.start(SSL_CERT_FILE=str(self.tls / "ca.crt"))


@pytest.fixture
def bench(tmp_path: Path, tls: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "host", tls)
    try:
        yield bench
    finally:
        for program in bench.programs:
            program.kill()


@pytest.fixture
def store() -> Iterator[str]:
    with victoria_logs() as address:
        yield address


@pytest.fixture
def collector(tmp_path: Path, tls: Path, sink: Sink) -> Iterator[Collector]:
    started = Collector(tmp_path / "collector", tls, sink)
    try:
        yield started
    finally:
        started.remove()


@pytest.mark.by_hand
def test_no_line_is_lost_while_a_collector_and_the_program_are_stopped_and_killed(
    bench: Bench, collector: Collector, sink: Sink
) -> None:
    def taken() -> Counter[int]:
        return Counter(number for got in list(sink.got) for number in numbers(unpacked(got)))

    def has_all() -> bool:
        return taken().keys() == set(range(1, bench.journal.written + 1))

    program = bench.export("lake", collector.url)

    def speak() -> None:
        while not silent.wait(0.02):  # so many lines, so often: they never wait for whoever sends them
            bench.journal.says(40)

    silent = threading.Event()
    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    for disturb in (
        lambda: collector.docker("restart", collector.name),
        lambda: (collector.docker("kill", collector.name), collector.docker("start", collector.name)),
        lambda: (program.kill(), bench.start(program)),
        lambda: (collector.docker("stop", collector.name), program.stop(), bench.start(program)),
    ):
        before = len(sink.got)
        assert eventually(lambda before=before: len(sink.got) > before), program.said
        disturb()
    collector.docker("start", collector.name)
    silent.set()
    speaker.join()
    assert "lines wait in the journal" in program.said
    assert eventually(has_all), (len(taken()), bench.journal.written, program.said)
    assert eventually(lambda: program.place == f"c{bench.journal.written}")
    twice = sum(count - 1 for count in taken().values())
    print(f"{bench.journal.written} lines, 0 lost, {twice} sent twice")
    assert eventually(lambda: program.told("refused_total") == 0)


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_a_collector_reads_all_that_is_told_of_a_line(
    bench: Bench, collector: Collector, sink: Sink, encoding: str
) -> None:
    said = {
        "level": "ERROR",
        "request_id": "3f2a",
        "trace_id": TRACE,
        "span_id": SPAN,
        "event": "späť \u2603",
    }
    bench.journal.says(1, MESSAGE=json.dumps(said, ensure_ascii=False), **OF_A_SERVICE)
    bench.journal.says(1, SYSLOG_FACILITY="10", MESSAGE="who did what")
    bench.journal.says(1, MESSAGE="the host", SYSLOG_IDENTIFIER="kernel", PRIORITY="4", _PID="77")
    bench.export("lake", collector.url, encoding=encoding)

    def heard() -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [one for got in list(sink.got) for one in records(unpacked(got))]

    assert eventually(lambda: len(heard()) == 2)
    (whose, line), (host, other) = sorted(heard(), key=lambda it: it[0]["service.name"])
    assert whose == {
        "service.name": "api",
        "service.instance.id": "api-blue-1",
        "host.name": "h1.test",
        "deployment.environment": "lab",
        "container.name": "shop-api-blue-1-1",
        "slipway.stack": "shop",
        "slipway.component": "api-blue-1",
        "slipway.source": "container",
        "slipway.pool": "blue",
        "slipway.release": "99ac20d3e760",
    }
    assert json.loads(line["body"]["stringValue"]) == said
    assert (line["severityText"], line["severityNumber"]) == ("ERROR", 17)
    assert (line["traceId"], line["spanId"]) == (TRACE, SPAN)
    assert line["timeUnixNano"].endswith("000")
    assert flat(line["attributes"])["request_id"] == "3f2a"
    assert (host["service.name"], other["body"]["stringValue"]) == ("kernel", "the host")
    assert other["severityNumber"] == 13
    assert flat(other["attributes"])["process.pid"] == "77"


def test_a_store_finds_lines_by_what_was_told_of_them(bench: Bench, store: str) -> None:
    bench.journal.says(LINES, **OF_A_SERVICE)
    ids = {"request_id": "3f2a", "trace_id": TRACE}
    bench.journal.says(1, MESSAGE=json.dumps(ids), **OF_A_SERVICE)
    program = bench.export("lake", f"{store}/insert/opentelemetry/v1/logs", encoding="protobuf")
    assert eventually(lambda: program.place == f"c{LINES + 1}"), program.said

    def found(query: str) -> list[dict[str, str]]:
        rows = asked(f"{store}/select/logsql/query", query=query)
        return [json.loads(row) for row in rows.splitlines()]

    def counted() -> int:
        (row,) = found('"service.name":=api | stats count_uniq("log.record.uid") lines')
        return int(row["lines"])

    assert eventually(lambda: counted() == LINES + 1), counted()
    # This VictoriaLogs (1.112) shows the sixteen bytes of a trace's id as they are, which are no text.
    (line,) = found('request_id:="3f2a" | fields "slipway.release", "host.name"')
    assert line == {"slipway.release": "99ac20d3e760", "host.name": "h1.test"}


def test_one_that_hangs_keeps_nothing_from_another(bench: Bench, tls: Path) -> None:
    going_on = threading.Event()
    with serving(Sink(tls)) as stuck, serving(Sink(tls)) as well:
        assert isinstance(stuck, Sink) and isinstance(well, Sink)
        stuck.before = going_on.wait
        first = bench.export("stuck", stuck.url)
        second = bench.export("well", well.url)
        bench.journal.says(LINES)
        assert eventually(lambda: stuck.got)
        assert eventually(lambda: second.place == f"c{LINES}"), second.said
        assert first.place == ""
        going_on.set()
        assert eventually(lambda: first.place == f"c{LINES}"), first.said


def test_one_that_refuses_is_told_again_what_it_may_take_and_not_what_it_never_will(
    bench: Bench, sink: Sink
) -> None:
    moody = Moody(sink)
    bench.journal.says(20)
    program = bench.export("moody", f"{sink.url}/otlp/v1/logs", headers={"X-Key": KEY})
    assert eventually(lambda: moody.heard.keys() == set(range(1, 21))), program.said
    # The next answer is 401, and then all is well.
    bench.journal.says(20)
    bench.journal.says(1, MESSAGE="poison")
    bench.journal.says(20)
    good = set(range(1, 62)) - {41}
    assert eventually(lambda: moody.heard.keys() == good), program.said
    assert eventually(lambda: program.place == "c61")
    assert eventually(lambda: program.told("refused_total") == 1 + 2), program.said
    assert eventually(lambda: program.told("lines_total") == 60 - 2)
    assert program.told("failures_total") == 3
    assert "it answers 429" in program.said
    assert "two are too old" in program.said
    assert {headers["x-key"] for _path, headers, _body in sink.got} == {KEY}
    assert KEY not in program.said + program.seen_by_others


def test_a_key_is_mended_while_it_runs(bench: Bench, sink: Sink) -> None:
    def judge() -> None:
        sink.status = 200 if sink.got[-1][1]["x-key"] == "the-new-key" else 403

    sink.before = judge
    bench.journal.says(5)
    program = bench.export("lake", sink.url, headers={"X-Key": "the-old-key"})
    assert eventually(lambda: "it answers 403" in program.said)
    told = json.loads(program.settings.read_text())
    # By rename, as a release is brought live.
    fresh = program.settings.with_suffix(".new")
    fresh.write_text(json.dumps({**told, "headers": {"X-Key": "the-new-key"}}))
    fresh.rename(program.settings)
    assert eventually(lambda: program.place == "c5"), program.said


def test_a_server_that_the_hosts_bundle_does_not_vouch_for_is_told_nothing(
    bench: Bench, sink: Sink, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    issue(other, "ca", 90)
    bench.journal.says(5)
    program = ExportProgram(bench.folder, bench.journal, "lake", sink.url)
    bench.programs.append(program)
    program.start(SSL_CERT_FILE=str(other / "ca.crt"))
    assert eventually(lambda: "TLS: " in program.said)
    assert sink.got == []
    assert program.place == ""
