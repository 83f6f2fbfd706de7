"""Archives in a second place, a real SFTP server or a real S3 store: copied, deleted, fetched back."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core import archive_second
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_plan import Snapshot
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_restore import restore
from ansible_collections.slipway.compose.plugins.module_utils._core.archive_second import Second
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.model_components import S3, Sftp
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from archive_cluster import ArchiveCluster
from backup_cluster import docker
from images import newest
from whole_stack import stack, with_second

NAME = f"archive-second-try-{os.getpid()}"
SUBNET = "10.98.86"
PLACE = f"{SUBNET}.40"
LIMIT = 60
BUCKET = "shop-archives"
# As a host of Debian 13 has them; the image is of Debian 13, too. radosgw is S3 without a cluster.
PACKAGES = {"sftp": "openssh-client openssh-server", "s3": "openssh-client radosgw"}
SSHD = """
id keeper || useradd --create-home --password '*' keeper
install -d -o keeper -m 0700 ~keeper/.ssh /srv/shop
install -o keeper -m 0600 /place/key.pub ~keeper/.ssh/authorized_keys
mkdir -p /run/sshd
# Who fails on purpose is not to be punished.
exec /usr/sbin/sshd -D -e -f /dev/null -o PerSourcePenalties=no -o HostKey=/place/host \\
  -o HostKey=/place/host-ecdsa -o UsePAM=no -o PidFile=none \\
  -o PasswordAuthentication=no -o Subsystem='sftp internal-sftp' -p 2222
"""
RADOSGW = """
cat > /tmp/ceph.conf <<'END'
[client.radosgw]
auth_supported = none
rgw_backend_store = dbstore
rgw_config_store = dbstore
dbstore_db_dir = /tmp
dbstore_config_uri = file:/tmp/config.db
rgw_data = /tmp
run_dir = /tmp
admin_socket =
mon_host = 127.0.0.1
rgw_frontends = beast ssl_port=8443 ssl_certificate=/place/store.pem
END
set -- -c /tmp/ceph.conf -n client.radosgw --no-mon-config
radosgw-admin "$@" user info --uid=keeper ||
  radosgw-admin "$@" user create --uid=keeper --display-name=keeper --access-key=access --secret-key=hidden
exec radosgw "$@" -f
"""


class Keeper(ArchiveCluster):
    """Files of h1 and h2, no Redis; h2 keeps, and copies to the place."""

    kind = "sftp"

    def start(self) -> None:
        self.own = self.folder / "place"
        self.own.mkdir()
        self._build()
        self._prepare()
        self.lay()
        seen = [f"--volume={path}:{path}" for path in (self.folder, "/var/lib/docker/volumes")]
        near = ["--detach", "--init", "--user=0", f"--network={self.name}"]
        docker("run", *near, *seen, "--name", self.tools, self.image, "sleep", "infinity")
        script = SSHD if self.kind == "sftp" else RADOSGW
        inside = [f"--volume={self.own}:/place:ro", "--ip", PLACE, "--name", self.place]
        docker("run", *near, *inside, self.image, "bash", "-ec", script)
        self.run("archive-repository", 2)
        self._ready()

    @property
    def image(self) -> str:
        return f"slipway-test/{self.kind}:{newest('archive-repository').rpartition(':')[2]}"

    @property
    def tools(self) -> str:
        return f"{self.name}-tools"

    @property
    def place(self) -> str:
        return f"{self.name}-place"

    def command(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        """As a host of Debian 13 runs it."""
        if argv[0] == "docker":
            return process(argv, stdin)
        return process(["docker", "exec", "--interactive", self.tools, *argv], stdin)

    def _build(self) -> None:
        install = f"apt-get update && apt-get install --yes --no-install-recommends {PACKAGES[self.kind]}"
        recipe = f"FROM {newest('archive-repository')}\nUSER 0\nRUN {install}\n"
        argv = ["docker", "build", "--quiet", "--tag", self.image, "-"]
        subprocess.run(argv, input=recipe, text=True, check=True, capture_output=True, timeout=900)

    def _prepare(self) -> None:
        """Keys of a server that shows two, and of its user."""
        for name, kind in (("host", "ed25519"), ("host-ecdsa", "ecdsa"), ("key", "ed25519")):
            command = ["ssh-keygen", "-q", "-N", "", "-t", kind, "-f", str(self.own / name)]
            subprocess.run(command, check=True)
        # Not the one that ssh would choose by itself.
        fingerprint = self.fingerprint("host-ecdsa")
        sftp = Sftp(PLACE, 2222, "keeper", "place_key", fingerprint)
        self.declare(sftp=sftp)
        self.secrets["place_key"] = (self.own / "key").read_text().rstrip("\n")

    def fingerprint(self, name: str) -> str:
        key = (self.own / f"{name}.pub").read_text().split()[1]
        return hashlib.sha256(base64.b64decode(key)).hexdigest()

    def declare(self, **place: object) -> None:
        """Another place, seen by the host as soon as it is rendered."""
        parts, backup = self.stack.components, self.stack.components.backup
        assert backup and backup.second
        second = replace(backup.second, **place)
        self.stack = replace(self.stack, components=replace(parts, backup=replace(backup, second=second)))

    def _ready(self) -> None:
        limit = time.monotonic() + LIMIT
        while True:
            try:
                return Second(self.archive(2).host).reachable()
            except SlipwayError:
                assert time.monotonic() < limit, docker("logs", self.place, check=False)
                time.sleep(0.3)  # between two looks

    def take(self) -> None:
        for host in (1, 2):
            self.archive(host).take(lambda _line: None)

    def copy(self) -> list[str]:
        said: list[str] = []
        self.archive(2).copy(said.append)
        return said

    def there(self) -> dict[str, list[Snapshot]]:
        return archive_second.listed(self.archive(2).host)

    def here(self) -> dict[str, list[Snapshot]]:
        return self.archive(2).listed()

    def restic(self, repository: str, *arguments: str) -> str:
        """Standard output of restic on what is there."""
        second = Second(self.archive(2).host)
        code, out, err = second._ask(repository, *arguments)
        assert not code, err
        return out

    def lose(self) -> None:
        """What is kept here is gone, as with its host; an empty repository takes its place."""
        docker("rm", "--force", self.container("archive-repository", 2))
        docker("volume", "rm", self.volume("archive-repository", 2))
        self.run("archive-repository", 2)

    def refill(self) -> list[str]:
        said: list[str] = []
        archive_second.refill(self.archive(2).host, said.append)
        return said

    def files(self, folder: Path) -> dict[str, tuple[int, int, str]]:
        """Mode, owner and digest of everything below."""
        return {
            str(path.relative_to(folder)): (
                path.lstat().st_mode,
                path.lstat().st_uid,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in folder.rglob("*")
        }

    def metrics(self, name: str) -> str:
        return (self.folder / f"h2/state/metrics/{name}.prom").read_text()

    @contextmanager
    def changed(self, **place: object) -> Iterator[None]:
        before = self.stack
        self.declare(**place)
        self.render()
        try:
            yield
        finally:
            self.stack = before
            self.render()


class StoreKeeper(Keeper):
    """The same with an S3 store, whose certificate a company's CA signed."""

    kind = "s3"

    def _prepare(self) -> None:
        now = datetime.now(UTC)
        self.authority = pki.new_ca("a company", now)
        pair = pki.issue(self.authority, [PLACE], now)
        (self.own / "store.pem").write_text(pair.certificate + pair.key)
        (self.own / "ca.crt").write_text(self.authority.certificate)
        self.secrets |= {"place_access": "access", "place_secret": "hidden"}
        store = S3(f"{PLACE}:8443", BUCKET, "default", True, "place_access", "place_secret")
        self.declare(s3=store)

    def _ready(self) -> None:
        trust = "cat > /usr/local/share/ca-certificates/company.crt; update-ca-certificates"
        docker("exec", "-i", self.tools, "sh", "-c", trust, stdin=self.authority.certificate)
        super()._ready()
        # Whoever has it already has it again.
        ask = ["curl", "--silent", "--show-error", "--fail", "--user", "access:hidden"]
        ask += ["--aws-sigv4", "aws:amz:default:s3", "--request", "PUT"]
        docker("exec", self.tools, *ask, f"https://{PLACE}:8443/{BUCKET}")


def made(kind: type[Keeper], folder: Path) -> Keeper:
    base = replace(with_second(stack(2)), name=NAME)
    hosts = tuple(Host(host.name, f"{SUBNET}.{10 + index}") for index, host in enumerate(base.hosts, 1))
    parts = base.components
    assert parts.backup and parts.backup.second and parts.backup.archive
    second = replace(parts.backup.second, path="/srv/shop", s3=None, sftp=None)
    backup = replace(parts.backup, second=second, archive=replace(parts.backup.archive, volumes=()))
    declared = replace(base, hosts=hosts, components=replace(parts, redis=None, backup=backup))
    return kind(declared, folder, name=NAME, built=("archive-repository",))


@pytest.fixture(scope="module", params=[Keeper, pytest.param(StoreKeeper, marks=pytest.mark.by_hand)])
def keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    built = made(request.param, tmp_path_factory.mktemp("second"))
    trusted = os.environ.get("SSL_CERT_FILE")
    # This machine is a host that trusts the company's CA.
    os.environ["SSL_CERT_FILE"] = str(built.folder / "place/ca.crt")
    try:
        built.start()
        built.take()
        yield built
    finally:
        os.environ.pop("SSL_CERT_FILE")
        os.environ.update({"SSL_CERT_FILE": trusted} if trusted else {})
        built.remove()
        listed = docker("ps", "--all", "--quiet", "--filter", f"name=^{NAME}-").split()
        docker("rm", "--force", "--volumes", *listed, check=False) if listed else None
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name=^{NAME}_").split()
        docker("volume", "rm", "--force", *volumes, check=False)


@pytest.fixture(scope="module")
def copied(keeper: Keeper) -> list[str]:
    return keeper.copy()


def test_all_archives_are_copied(keeper: Keeper, copied: list[str]) -> None:
    assert copied == [f"host-h{host}.test: 1 copied to the second place" for host in (1, 2)]
    here, there = keeper.here(), keeper.there()
    for name, (one,) in here.items():
        (other,) = there[name]
        assert (other.original, other.time, other.host, other.paths) == (
            one.id,
            one.time,
            one.host,
            one.paths,
        )
        told = keeper.metrics("archive_second")
        label = f'{{of="{name.removeprefix("host-")}"}}'
        assert f"slipway_archive_second_newest_seconds{label} {one.time.timestamp():.0f}\n" in told
        assert f"slipway_archives_second{label} 1\n" in told
    assert 'last_ok{what="copy"} 1' in keeper.metrics("archive_copy")


def test_what_is_there_already_is_not_copied_again(keeper: Keeper, copied: list[str]) -> None:
    assert keeper.copy() == []
    before = keeper.there()
    big = keeper.folder / "h1/config/big"
    big.write_bytes(os.urandom(4 << 20))
    keeper.archive(1).take(lambda _line: None)
    (keeper.folder / "h1/config/small").write_text("added")
    keeper.archive(1).take(lambda _line: None)
    assert keeper.copy() == ["host-h1.test: 2 copied to the second place"]
    now = keeper.there()
    assert [it.id for it in now["host-h1.test"]][:1] == [it.id for it in before["host-h1.test"]]
    assert now["host-h2.test"] == before["host-h2.test"]
    # The big one once, though two archives have it.
    stored = json.loads(keeper.restic("host-h1.test", "stats", "--mode=raw-data", "--json"))
    assert 4 << 20 < stored["total_size"] < 6 << 20


def test_no_hosts_own_password_opens_what_is_there(keeper: Keeper, copied: list[str]) -> None:
    own = keeper.folder / "h1/config/host/archive/host-h1.test.password"
    where = Second(keeper.archive(2).host)
    code, _out, err = where._restic((f"{where.place.url}/host-h1.test", own), "snapshots")
    assert code == 12 and "wrong password" in err


def test_what_is_old_is_deleted_there(keeper: Keeper, copied: list[str]) -> None:
    old = ["--host=h1.test", "--time=2020-01-01 00:00:00", str(keeper.folder / "h1/config/small")]
    keeper.restic("host-h2.test", "backup", *old)
    assert keeper.copy() == ["host-h2.test: 1 deleted in the second place"]
    assert [it.original for it in keeper.there()["host-h2.test"]] == [
        it.id for it in keeper.here()["host-h2.test"]
    ]


def test_a_changed_password_is_named(keeper: Keeper, copied: list[str]) -> None:
    right = keeper.secrets["archive_password"]
    keeper.secrets["archive_password"] = "another"
    keeper.render()
    try:
        with pytest.raises(SlipwayError, match=r"second place: .*`platform/archive_password`") as told:
            keeper.there()
    finally:
        keeper.secrets["archive_password"] = right
        keeper.render()
    assert "Put the old one back" in told.value.remedy


def test_keys_that_are_not_taken_are_named(keeper: Keeper, copied: list[str]) -> None:
    if keeper.kind == "s3":
        name, wrong, expected = "place_secret", "not-this", "the store refuses the keys"
    else:
        other = keeper.own / "other"
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(other)], check=True)
        name, wrong, expected = "place_key", other.read_text(), "does not take the user's key"
    right = keeper.secrets[name]
    keeper.secrets[name] = wrong
    keeper.render()
    try:
        with pytest.raises(SlipwayError, match=expected):
            keeper.copy()
    finally:
        keeper.secrets[name] = right
        keeper.render()
    assert 'last_ok{what="copy"} 0' in keeper.metrics("archive_copy")


def test_a_bucket_that_is_not_there_is_named(keeper: Keeper, copied: list[str]) -> None:
    backup = keeper.stack.components.backup
    assert backup and backup.second
    if store := backup.second.s3:
        wrong = replace(store, bucket="another")
        with keeper.changed(s3=wrong), pytest.raises(SlipwayError, match="the store has no such bucket"):
            keeper.copy()


def test_a_server_that_is_another_one_is_not_trusted(
    keeper: Keeper, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if keeper.kind == "s3":
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(SlipwayError, match="a certificate that this host does not trust"):
            keeper.copy()
        return
    backup = keeper.stack.components.backup
    assert backup and backup.second and backup.second.sftp
    wrong = replace(backup.second.sftp, fingerprint="0" * 64)
    with keeper.changed(sftp=wrong), pytest.raises(SlipwayError, match="another host key") as told:
        keeper.copy()
    assert keeper.fingerprint("host") in told.value.problem
    assert "second/sftp/fingerprint" in told.value.remedy
    # Also where the server became another one later.
    known = keeper.folder / "h2/state/archive/known_hosts"
    before = known.read_text()
    assert len(before.splitlines()) == 1
    key = (keeper.own / "host.pub").read_text().split()[1]
    known.write_text(f"[{PLACE}]:2222 ssh-ed25519 {key}\n")
    again = replace(backup.second.sftp, fingerprint=keeper.fingerprint("host"))
    (keeper.own / "host").rename(keeper.own / "gone")
    docker("restart", keeper.place)
    try:
        with keeper.changed(sftp=again), pytest.raises(SlipwayError, match="another host key"):
            keeper.copy()
    finally:
        (keeper.own / "gone").rename(keeper.own / "host")
        docker("restart", keeper.place)
        known.write_text(before)
        keeper._ready()


def test_a_place_that_is_away_is_named_and_archives_go_on_here(keeper: Keeper, copied: list[str]) -> None:
    docker("stop", keeper.place)
    try:
        with pytest.raises(SlipwayError, match="the second place: cannot be reached: it does not answer"):
            keeper.copy()
        before = len(keeper.here()["host-h1.test"])
        keeper.take()
        keeper.archive(2).keep(lambda _line: None)
        assert len(keeper.here()["host-h1.test"]) == before + 1
        assert 'last_ok{what="keep"} 1' in keeper.metrics("archive_keep")
        assert 'last_ok{what="copy"} 0' in keeper.metrics("archive_copy")
        assert 'slipway_archives_second{of="h1.test"} 3\n' in keeper.metrics("archive_second")
    finally:
        docker("start", keeper.place)
        keeper._ready()
    assert keeper.copy() == [f"host-h{host}.test: 1 copied to the second place" for host in (1, 2)]
    assert 'last_ok{what="copy"} 1' in keeper.metrics("archive_copy")


def test_after_the_keeper_was_lost_exactly_the_same_comes_back(keeper: Keeper, copied: list[str]) -> None:
    """Last: what was archived here is new afterwards."""
    root = keeper.folder / "h1"
    before, config = keeper.here(), keeper.files(root / "config")
    keeper.lose()
    assert keeper.here() == {name: [] for name in before}
    # A stack made anew archives at once what it has, which is not what was lost.
    (root / "config/small").write_text("spoiled")
    keeper.archive(1).take(lambda _line: None)
    assert keeper.copy() == ["host-h1.test: 1 copied to the second place"]

    assert keeper.refill() == [
        f"{name}: {len(those)} came back from the second place" for name, those in before.items()
    ]
    now = keeper.here()
    for name, those in before.items():
        back = [(it.original, it.time, it.host, it.paths) for it in now[name] if it.original]
        assert back == [(it.origin, it.time, it.host, it.paths) for it in those]
    assert keeper.refill() == []
    assert keeper.copy() == []

    done = restore(keeper.archive(1).host, "files", "refilled")
    assert done.snapshot == archive_second.returned(keeper.archive(2).host)["host-h1.test"]
    restored = root / f"restored-{done.snapshot.short}" / root.relative_to("/")
    assert keeper.files(restored / "config") == config
    latest = restore(keeper.archive(1).host, "files", "latest").snapshot
    assert latest.time > done.snapshot.time and not latest.original
    keeper.archive(2).host.locally("host-h1.test", "check", "--read-data")
