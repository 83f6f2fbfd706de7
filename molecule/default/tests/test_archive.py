"""An archive of the lab, by its playbook: taken, listed; Redis, files and silences brought back from it."""

from __future__ import annotations

import json
import re

import pytest

from lab import Lab

KEY = "slipway-test:archive"


class Kept:
    """The lab, as this looks at it: its hosts, the repository, Redis."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.stack: str = lab.stack["name"]
        self.root = f"/opt/{self.stack}"
        self.keeper = lab.host_of("archive-repository")
        told = lab.hosts[self.keeper].check_output(f"cat {self.root}/config/host/archive/settings.json")
        self.url = f"https://{json.loads(told)['repository']}"

    def play(self, *extra: str, check: bool = True) -> str:
        done = self.lab.playbook(
            "playbooks/archive.yml", *(word for it in extra for word in ("-e", it)), check=check
        )
        assert check or done.returncode, done.stdout
        return " ".join(done.stdout.split())

    def redis(self, command: str) -> str:
        """What the master answers."""
        script = f"""
            set -euo pipefail
            container={self.stack}-redis-1
            master=$(docker exec "$container" /config/current-master.sh 10)
            password=$(cat {self.root}/config/host/archive/redis_admin)
            printf 'AUTH slipway "%s"\\n%s\\n' "$password" '{command}' |
              docker exec -i "$container" redis-cli --tls --cacert /config/tls/ca.crt -h "$master" |
              tail -n +2
        """
        return self.lab.as_root(self.lab.host_of("redis"), script).strip()

    def curl(self, *arguments: str, certificate: bool = True) -> tuple[int, str]:
        """curl's status, and the status of the answer; from a container: hosts need not have curl."""
        pair = "--cert /config/tls/tls.crt --key /config/tls/tls.key" if certificate else ""
        command = f"curl -sS -m 20 -o /dev/null -w '%{{http_code}}' --cacert /config/tls/ca.crt {pair}"
        inside = f"docker exec {self.stack}-archive-repository-1 {command} {' '.join(arguments)}"
        asked = self.lab.hosts[self.keeper].run(f"sudo {inside}")
        return int(asked.rc), str(asked.stdout).strip()

    def stored(self, repository: str) -> list[str]:
        """The archives of a repository, as its files tell."""
        listed = self.lab.in_container(
            self.keeper, "archive-repository", f"ls /var/lib/archive/{repository}/snapshots"
        )
        return listed.split()


@pytest.fixture(scope="module")
def kept(lab: Lab) -> Kept:
    return Kept(lab)


@pytest.fixture(scope="module")
def taken(kept: Kept) -> str:
    """A key was written, then everything archived; the id of Redis's archive."""
    assert kept.redis(f"SET {KEY} before EX 3600") == "OK"
    told = kept.play()
    assert told.count("files: archive") == len(kept.lab.hosts), told
    (archive,) = re.findall(r"redis: archive ([0-9a-f]{8})", told)
    return str(archive)


def test_what_was_archived_is_listed(kept: Kept, taken: str) -> None:
    told = kept.play("list=true")
    assert re.search(rf"UTC {taken} redis, taken on ", told), told
    for host in kept.lab.hosts:
        assert f" {host}, taken on {host}" in told


def test_a_restore_without_consent_touches_nothing(kept: Kept, taken: str) -> None:
    told = kept.play("restore=redis", check=False)
    assert f"-e confirm={kept.stack}" in told
    # Nor is anybody else kept waiting.
    assert "Lock the environment" not in told


def test_a_key_that_was_deleted_is_back_and_one_that_came_later_stays(kept: Kept, taken: str) -> None:
    assert kept.redis(f"DEL {KEY}") == "1"
    assert kept.redis(f"SET {KEY}:later stays EX 3600") == "OK"
    told = kept.play("restore=redis", f"snapshot={taken}", f"confirm={kept.stack}")
    assert re.search(r"\d+ of \d+ keys are in Redis again", told), told
    assert kept.redis(f"GET {KEY}") == "before"
    assert 0 < int(kept.redis(f"TTL {KEY}")) <= 3600
    assert kept.redis(f"GET {KEY}:later") == "stays"
    kept.redis(f"DEL {KEY} {KEY}:later")


def test_files_come_back_beside_what_serves(kept: Kept, taken: str) -> None:
    told = kept.play("restore=files", f"on={kept.keeper}", f"confirm={kept.stack}")
    (folder,) = re.findall(rf"the files are below ({kept.root}/restored-[0-9a-f]{{8}})", told)
    host = kept.lab.hosts[kept.keeper]
    host.check_output(f"cmp {folder}{kept.root}/config/host/tls/tls.key {kept.root}/config/host/tls/tls.key")
    host.check_output(f"rm -r {folder}")


def test_silences_come_back(kept: Kept, taken: str) -> None:
    host = kept.lab.hosts[kept.lab.host_of("alertmanager")]
    volume = host.check_output(
        f"docker volume inspect -f '{{{{.Mountpoint}}}}' {kept.stack}_alertmanager"
    ).strip()
    host.check_output(f"touch {volume}/came-later")
    told = kept.play("restore=volume:alertmanager", f"confirm={kept.stack}")
    assert "volume alertmanager is back, containers started again: 1" in told, told
    assert not host.file(f"{volume}/came-later").exists
    host.check_output(f"rm -r {volume.removesuffix('_data')}before-*")


def test_a_client_without_a_certificate_is_refused(kept: Kept, taken: str) -> None:
    refused, status = kept.curl(f"{kept.url}/redis/config", certificate=False)
    assert refused and status == "000"
    assert kept.curl(f"{kept.url}/redis/config") == (0, "200")


def test_nothing_is_deleted_from_outside(kept: Kept, taken: str) -> None:
    before = kept.stored("redis")
    for name in before:
        _code, status = kept.curl("-X DELETE", f"{kept.url}/redis/snapshots/{name}")
        assert status == "403"
    assert kept.stored("redis") == before


def test_timers_stand_where_they_should_and_do_their_work(kept: Kept, taken: str) -> None:
    for name, host in kept.lab.hosts.items():
        timers = host.check_output("systemctl list-timers --all --no-legend 'slipway-archive*'")
        assert "slipway-archive.timer" in timers
        assert ("slipway-archive-keep.timer" in timers) == (name == kept.keeper)
        host.check_output("systemctl start slipway-archive.service")
        metrics = host.file(f"{kept.root}/state/metrics/archive_take.prom").content_string
        assert 'slipway_archive_last_ok{what="take"} 1' in metrics
    keeper = kept.lab.hosts[kept.keeper]
    keeper.check_output("systemctl start slipway-archive-keep.service")
    told = keeper.file(f"{kept.root}/state/metrics/archive.prom").content_string
    assert told.count("slipway_archive_newest_seconds{") == len(kept.lab.hosts) + 1
    assert not re.search(r"newest_seconds\S+ 0$", told, re.MULTILINE)
