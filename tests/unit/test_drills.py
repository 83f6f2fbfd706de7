"""Drills: who is hit, what a fault is made of, and what must not have come of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.drill import (
    drill_backup,
    drill_host,
    drill_report,
    drill_table,
    ledger_report,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.drill_host import DrillHost
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.drills import (
    AT_ONCE,
    DRILLS,
    FILL,
    HANG,
    KILL,
    LAST,
    LEADS,
    PARTITION,
    STOP,
    SUSPEND,
    VANISH,
    Drill,
    candidates,
    container,
    drill_of,
    failures,
    hosts,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger import (
    Proof,
    Row,
    Write,
    prove,
    read,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release import handover
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Objectives
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import stack, with_backup

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/drills.md"
HOSTS = ("h1", "h2", "h3")
USUAL = Objectives(rto=30, rpo=0)


# Who is hit


def test_an_unknown_drill_is_told_what_was_meant() -> None:
    with pytest.raises(SlipwayError) as told:
        drill_of("primary_kil")
    assert "primary_kill" in told.value.remedy


@pytest.mark.parametrize(
    ("victim", "expected"), [pytest.param(LEADS, HOSTS, id="leads"), pytest.param(LAST, ("h3",), id="last")]
)
def test_who_leads_is_asked_of_all_and_the_last_is_known(victim: str, expected: Sequence[str]) -> None:
    assert tuple(candidates(Drill("", VANISH, "edge", victim, 5), HOSTS)) == expected


@pytest.mark.parametrize(
    ("fault", "refused"),
    [
        pytest.param(KILL, False, id="it-comes-back"),
        pytest.param(HANG, True, id="hangs"),
        pytest.param(VANISH, True, id="lost"),
        pytest.param(PARTITION, True, id="cut-off"),
        pytest.param(SUSPEND, True, id="not-looked-after"),
    ],
)
def test_the_only_host_is_not_taken_away(fault: str, refused: bool) -> None:
    drill = Drill("", fault, "postgres", LEADS, 5)
    if not refused:
        assert candidates(drill, ["h1"]) == ["h1"]
        return
    with pytest.raises(SlipwayError, match="h1 alone has postgres"):
        candidates(drill, ["h1"])


def test_what_users_are_served_without_may_hang_where_there_is_one() -> None:
    assert candidates(Drill("", HANG, "registry", LAST, 5, spared=True), ["h1"]) == ["h1"]


def test_the_registry_has_a_project_of_its_own() -> None:
    assert container("shop", "registry") == "shop-registry-registry-1"
    assert container("shop", "etcd") == "shop-etcd-1"


@pytest.mark.parametrize("name", DRILLS)
def test_every_drill_is_of_what_there_is_ends_by_itself_and_is_described(name: str) -> None:
    drill = DRILLS[name]
    assert (drill.seconds > 0) == (drill.fault not in AT_ONCE)
    assert f"`{name}`" in DOCUMENT.read_text(encoding="utf-8")
    laid = topology(with_backup(stack(3)))
    assert hosts(laid, drill.component)
    if drill.victim == LEADS:
        probe = handover.own_leader(laid, laid.views["h1.test"], drill.component)
        assert probe["expect"] in ({"role": "leader"}, {"role": "master"})


# What a fault is made of


class Host:
    """Keeps the commands, and answers as the real ones do."""

    def __init__(self, interfaces: Sequence[str] = ("eth0",)) -> None:
        self.told: list[list[str]] = []
        self._interfaces = interfaces

    def __call__(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        self.told.append(list(argv))
        if argv[0] == "ip":
            return 0, json.dumps([{}, *({"ifname": name} for name in self._interfaces)]), ""
        if argv[0] == "systemctl":
            return 3, "", ""  # nothing is at work any more
        return 0, "4711\n" if "inspect" in argv else "", ""

    def strike(self, fault: str, container: str = "shop-etcd-1") -> float:
        return DrillHost(self, container, "10.0.0.1", ["10.0.0.3", "10.0.0.2"]).strike(fault, 45)


def test_postgres_is_killed_inside_its_container_and_others_from_outside() -> None:
    host = Host()
    host.strike(KILL, "shop-postgres-1")
    assert host.told[0][:3] == ["docker", "exec", "shop-postgres-1"]
    host.strike(KILL, "shop-redis-1")
    assert host.told[-1] == ["kill", "-KILL", "4711"]


def test_a_fault_that_did_not_begin_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_host, "BEGUN", tmp_path / "begun")
    host = DrillHost(Host(), "shop-etcd-1", "10.0.0.1")
    host.require_begun(KILL)  # told by its own end
    with pytest.raises(SlipwayError, match="never began"):
        host.require_begun(HANG)
    (tmp_path / "begun").touch()
    host.require_begun(HANG)
    assert not (tmp_path / "begun").exists(), "the next drill would take it for its own"


def test_a_container_that_hangs_goes_on_by_itself() -> None:
    host = Host()
    host.strike(HANG)
    (argv,) = host.told
    assert argv[0] == "systemd-run"
    assert argv[-1] == f"sleep 2.0; docker pause shop-etcd-1 && touch {drill_host.BEGUN} && sleep 45"
    assert "--property=ExecStopPost=-/bin/sh -c 'docker unpause shop-etcd-1'" in argv


def test_a_container_that_is_stopped_is_started_again() -> None:
    host = Host()
    host.strike(STOP)
    (argv,) = host.told
    assert "docker stop shop-etcd-1 && " in argv[-1]
    assert "ExecStopPost=-/bin/sh -c 'docker stop shop-etcd-1; docker start shop-etcd-1'" in " ".join(argv)


def test_a_patroni_that_hangs_goes_on_by_itself_and_its_server_never_stops() -> None:
    host = Host()
    host.strike(SUSPEND, "shop-postgres-1")
    (argv,) = host.told
    hang, go_on = (
        f"docker exec shop-postgres-1 pkill -{signal} -f patroni./config/patroni.yml"
        for signal in ("STOP", "CONT")
    )
    assert argv[-1] == f"sleep 2.0; {hang} && touch {drill_host.BEGUN} && sleep 45"
    # By the engine of the host, when the time is over, and when whoever let it begin is gone.
    assert f"--property=ExecStopPost=-/bin/sh -c '{go_on}'" in argv
    pattern = re.compile(go_on.split()[-1])
    assert pattern.search("/usr/bin/python3 /usr/bin/patroni /config/patroni.yml")
    assert not pattern.search("postgres: shop: checkpointer ")
    assert not pattern.search("/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main")


def test_a_disk_that_is_full_has_room_again() -> None:
    host = Host()
    host.strike(FILL)
    (argv,) = host.told
    assert "docker exec shop-etcd-1 sh -c 'ls /proc" in argv[-1] and "--fsize=1048576:" in argv[-1]
    heal = next(word for word in argv if word.startswith("--property=ExecStopPost"))
    assert "--fsize=unlimited:" in heal
    assert not set("$%") & set(heal + argv[-1]), "systemd would put something in its place"


def test_a_host_that_vanishes_loses_one_interface_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_host, "RULES", tmp_path / "rules")
    host = Host()
    host.strike(VANISH)
    assert 'iifname "eth0" drop' in (tmp_path / "rules").read_text()
    assert "--property=ExecStopPost=-/bin/sh -c 'nft delete table inet slipway_drill'" in host.told[-1]


def test_a_host_that_is_cut_off_hears_all_but_its_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_host, "RULES", tmp_path / "rules")
    host = Host(())
    host.strike(PARTITION)
    told = (tmp_path / "rules").read_text()
    assert "ip saddr { 10.0.0.2, 10.0.0.3 } drop" in told and "ip daddr { 10.0.0.2, 10.0.0.3 } drop" in told
    assert "iifname" not in told


@pytest.mark.parametrize("interfaces", [(), ("eth0", "eth1")])
def test_an_address_that_no_or_two_interfaces_have_is_refused(interfaces: Sequence[str]) -> None:
    host = Host(interfaces)
    with pytest.raises(SlipwayError, match="network interfaces have 10.0.0.1"):
        host.strike(VANISH)
    assert all(argv[0] == "ip" for argv in host.told)


@pytest.mark.parametrize(
    ("code", "refused"), [pytest.param(0, True, id="there"), pytest.param(1, False, id="none")]
)
def test_a_copy_that_somebody_may_need_is_not_removed_by_a_drill(code: int, refused: bool) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        asked.append(argv)
        return code, "", ""

    if refused:
        with pytest.raises(SlipwayError, match="shop-postgres-1-restore is on this host"):
            drill_table.refuse_beside(run, "shop-postgres-1")
    else:
        drill_table.refuse_beside(run, "shop-postgres-1")
    assert asked[0][-1] == "shop-postgres-1-restore"


class BackupHost(Host):
    """Of a backup it has these files, and pgBackRest knows none at all."""

    def __init__(self, files: str = "") -> None:
        super().__init__()
        self._files = files

    def __call__(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if "info" in argv:
            return 0, "[]", ""
        if "find" in argv:
            return 0, self._files, ""
        return super().__call__(argv, stdin)

    def damage(self) -> drill_backup.Damage:
        return drill_backup.damage(self, "shop-backup-repository-1", "shop", "20261126-020412F")


def test_a_backup_is_damaged_where_it_is_read_and_stays_as_it_is() -> None:
    folder = "/var/lib/pgbackrest/backup/shop/20261126-020412F"
    found = BackupHost(f"9 {folder}/small\n8192 {folder}/bundle/1\n100 {folder}/middle\n").damage()
    copied, mounted = found.begin.split(" && ")
    assert f"cp {folder}/bundle/1 {drill_backup.COPY}; " in copied and "seek=4096 conv=notrunc" in copied
    assert f"of={drill_backup.COPY} " in copied, "never the file itself"
    assert mounted == f"mount --namespace 4711 --bind {drill_backup.COPY} {folder}/bundle/1"
    unmounted, removed = found.end.rsplit("; ", 1)
    assert unmounted.startswith("python3 -c ") and unmounted.endswith(f" 4711 {folder}/bundle/1")
    assert removed == f"docker exec shop-backup-repository-1 rm -f {drill_backup.COPY}"


def test_where_nothing_can_be_damaged_it_says_so() -> None:
    with pytest.raises(SlipwayError, match="no backup to damage"):
        drill_backup.newest(BackupHost(), "shop-backup-repository-1", "shop")
    with pytest.raises(SlipwayError, match="has no file below 64M"):
        BackupHost().damage()


# What must not have come of it


def ledger(gap: float = 0.0, lost: int = 0, blind: float = 0.0) -> tuple[Any, Proof]:
    """Two writes a second for 10 s, none in the `gap` seconds after the third; the last ones are lost.

    As many reads, none in the `blind` seconds after the third.
    """
    moments = [at for at in (second / 2 for second in range(1, 20)) if not 3 < at < 3 + gap]
    reads = [at for at in (second / 2 for second in range(1, 20)) if not 3 < at < 3 + blind]
    head = {"event": "begun", "at": 1000.0, "run": "r", "session": "s", "reads": 2.0}
    events: list[Mapping[str, Any]] = [head, *({"event": "read", "at": 1000 + at} for at in reads)]
    events += [
        {"event": "acknowledged", "at": 1000 + at, "seq": number, "row": f"id{number}", "tries": 1}
        for number, at in enumerate(moments)
    ]
    events += [{"event": "mark", "at": 1003.0, "text": "killed"}, {"event": "ended", "at": 1010.0}]
    found = read(events)
    rows = [
        Row(f"id{number}", Write("r", number).mark, Write("r", number).key)
        for number in range(len(moments) - lost)
    ]
    return found, prove(found, rows)


def told(
    gap: float = 0.0, lost: int = 0, objectives: Objectives = USUAL, blind: float = 0.0
) -> drill_report.Told:
    found, proof = ledger(gap, lost, blind)
    figures = ledger_report.report(found, proof)
    return drill_report.Told(
        "primary_kill", "lab", found, figures, 5.5, objectives, failures(figures, objectives)
    )


@pytest.mark.parametrize(
    ("gap", "lost", "objectives", "expected"),
    [
        pytest.param(0, 0, USUAL, [], id="nothing-happened"),
        pytest.param(3, 0, USUAL, [], id="short-enough"),
        pytest.param(3, 0, Objectives(2, 0), ["writes came back after"], id="too-long"),
        pytest.param(20, 0, USUAL, ["writes did not come back"], id="never"),
        pytest.param(0, 2, USUAL, ["2 acknowledged writes of 0.5 s are lost, 0 s are allowed"], id="lost"),
        pytest.param(0, 2, Objectives(30, 1), [], id="as-much-as-is-allowed"),
        pytest.param(3, 1, Objectives(2, 0), ["came back", "lost"], id="all-reasons"),
    ],
)
def test_a_drill_fails_where_it_costs_more_than_is_allowed(
    gap: float, lost: int, objectives: Objectives, expected: Sequence[str]
) -> None:
    found = told(gap, lost, objectives).failures
    assert len(found) == len(expected)
    assert all(part in failure for part, failure in zip(expected, found, strict=True)), found


@pytest.mark.parametrize(
    ("blind", "bound", "expected"),
    [
        pytest.param(4, 5, [], id="short-enough"),
        pytest.param(
            4, 3, ["no read was answered for 4.0 s, 3 s are allowed (read_gap)"], id="longer-than-is-allowed"
        ),
        pytest.param(20, 60, ["reads did not come back"], id="never"),
    ],
)
def test_a_drill_fails_where_nothing_can_be_read_for_too_long(
    blind: float, bound: int, expected: Sequence[str]
) -> None:
    assert told(blind=blind, objectives=replace(USUAL, read_gap=bound)).failures == expected


def test_a_drill_in_which_nobody_read_says_nothing_of_reads() -> None:
    figures = dict(told().figures) | {"reads": None}
    assert failures(figures, USUAL) == ["no read was answered, so nothing is known of reads"]


def test_the_report_says_for_how_long_nothing_was_read() -> None:
    blind = told(blind=4)
    text, page = drill_report.markdown(blind), drill_report.page(blind)
    assert "| longest time without a read | 4.0 s, 12 answered, 0 failed | 10 s |" in text
    assert "Without a read for more than 1 s:" in text and "Without a write" not in text
    assert page.count("<title>reads</title>") == 2, "answered, and the gap"
    assert drill_report.picture(told()).count("<title>reads</title>") == 1
    assert "4.00 s without one" in "".join(drill_report.lines(blind))
    assert blind.to_dict()["objectives"] == {"rto": 30, "rpo": 0, "read_gap": 10}


def test_the_report_says_and_shows_it() -> None:
    failed = told(3, 1, Objectives(2, 0))
    text, page = drill_report.markdown(failed), drill_report.page(failed)
    assert text.startswith("# Drill primary_kill on lab: FAILED\n")
    assert "| time to recovery (RTO) | 3.0 s | 2 s |" in text
    assert "failed</span>" in page and page.count("<rect") == 11
    assert failed.to_dict()["passed"] is False
    never = replace(failed, whole=None)
    assert "| until all was well again | never |" in drill_report.markdown(never)
    assert "all was well again: never" in drill_report.page(never)
    passed = told()
    assert "passed" in drill_report.markdown(passed).splitlines()[0]
    assert drill_report.picture(passed).count("<title>") == 2
