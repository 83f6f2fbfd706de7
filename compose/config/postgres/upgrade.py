"""Bring a cluster to another major version of PostgreSQL: may-start, check, upgrade, look, choose.

Each version has its databases in a folder of its own in the volume. `upgrade` makes the new version's from a
copy, so that the old ones stay as they are to go back to; then `choose` tells etcd which of the two the
cluster goes on with: a member that holds others, or none, waits for one that has them. Who runs what, and
when, is in docs/runbooks/postgres-major-upgrade.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

HOME = Path("/var/lib/postgresql")
RUNBOOK = "docs/runbooks/postgres-major-upgrade.md"
# Patroni's own copy of the settings that etcd has.
SETTINGS = "patroni.dynamic.json"
# What a volume must have left beside a copy of the databases: a new cluster's catalogs, and its first WAL.
MARGIN = 512 << 20
PATIENCE = 20
# Seconds: the word of a member that was killed lives for `ttl` (12) in etcd.
SETTLED = 60
# As `bootstrap` in patroni.yml begins a cluster; the databases' own locales are the old one's.
INITDB = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C.UTF-8",
    "--auth-local=peer",
    "--auth-host=scram-sha-256",
)
# Nobody reaches it but through its container, and nothing of it gets into an archive.
PRIVATE = "-c listen_addresses= -c unix_socket_directories=/tmp -c archive_mode=off"

# Patroni is in the image.
INITIALIZED = """
from patroni.config import Config
from patroni.dcs import get_dcs
print(get_dcs(Config("/config/patroni.yml")).get_cluster().initialize or "")
"""
# Settings first: a member that comes between finds a cluster that has begun, or none.
CHOOSE = """
import sys
from patroni.config import Config
from patroni.dcs import get_dcs
dcs = get_dcs(Config("/config/patroni.yml"))
# Who was stopped said so; who was killed is there until its word expires.
running = [it.name for it in dcs.get_cluster().members if it.data.get("state") != "stopped"]
if running:
    print(", ".join(sorted(running)))
    sys.exit(3)
dcs.delete_cluster()
if not (dcs.set_config_value(sys.stdin.read()) and dcs.initialize(create_new=True, sysid=sys.argv[1])):
    sys.exit("etcd took no value")
"""


def refuse(problem: str) -> NoReturn:
    raise SystemExit(f"upgrade: {problem}. See {RUNBOOK}")


def say(what: str) -> None:
    print(f"upgrade: {what}", flush=True)


def data(version: str) -> Path:
    return HOME / version / "main"


def program(version: str, name: str) -> str:
    path = Path("/usr/lib/postgresql") / version / "bin" / name
    if not path.exists():
        refuse(f"this image has no PostgreSQL {version}")
    return str(path)


def control(version: str, folder: Path) -> Mapping[str, str]:
    """What pg_controldata says of databases."""
    argv = [program(version, "pg_controldata"), "-D", str(folder)]
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, timeout=PATIENCE)
    told = (line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in told}


def identifier(folder: Path) -> str:
    """The first field of the control file of every version, also of one that the image no longer has."""
    return str(int.from_bytes((folder / "global/pg_control").read_bytes()[:8], sys.byteorder))


def state(version: str) -> str:
    return control(version, data(version))["Database cluster state"]


def told(argv: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """What a question to etcd is answered with."""
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=PATIENCE)


def initialized() -> str:
    """The identifier of the cluster that etcd knows; "": of none."""
    while True:
        try:
            asked = told(["python3", "-c", INITIALIZED])
        except subprocess.TimeoutExpired:
            say(f"etcd does not answer within {PATIENCE} s")
            continue
        if asked.returncode == 0:
            return asked.stdout.strip()
        say(f"etcd does not answer: {asked.stderr.strip()[-200:]}")
        time.sleep(3)  # before etcd is asked again: without it Patroni would wait, too


def may_start(home: Path = HOME, ask: Callable[[], str] = initialized) -> int:
    """Whether Patroni may start here: without databases of its version it begins a cluster, or is cloned."""
    own = Path(os.environ["PGDATA"])
    if (own / "PG_VERSION").exists():
        return 0
    others = sorted(path.parent for path in home.glob("*/main/PG_VERSION"))
    if not others:
        return 0
    # Before a first start etcd knows of none: then the others here are all that there is.
    chosen = ask()
    if chosen and chosen not in {identifier(folder) for folder in others}:
        return 0
    held, release = ", ".join(folder.parent.name for folder in others), own.parent.name
    say(f"the databases are of PostgreSQL {held}, and this release is of {release}: see {RUNBOOK}")
    return 1


def check(old: str, new: str) -> int:
    """While the old version serves: whether pg_upgrade would take it. What it tries is removed again."""
    found = state(old)
    if found != "in production":
        refuse(f"PostgreSQL {old} here is {found!r}: this is for the member that leads")
    room(data(old))
    trial = HOME / new / "check"
    begin(old, new, trial, "--no-sync")
    try:
        return pg_upgrade(old, new, data(old), trial, "--check", "--retain") or rehearse(new, trial)
    finally:
        shutil.rmtree(trial)


def rehearse(new: str, trial: Path) -> int:
    """Restore the schemas, which pg_upgrade's own check does not try, and where it fails most."""
    with running(new, trial):
        argv = [program(new, "pg_dumpall"), "-h", "/run/postgresql", "-U", "postgres", "--schema-only"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as dump:
            load = [program(new, "psql"), "-h", "/tmp", "-U", "postgres", "-Xqd", "postgres"]
            done = subprocess.run(load, stdin=dump.stdout, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if re.search(r"\b(?:ERROR|FATAL):", line)]
    # It is in every new cluster.
    problems = [line for line in said if 'role "postgres" already exists' not in line]
    for line in problems[:20]:
        print(line, flush=True)
    if problems or dump.returncode or done.returncode:
        refuse(f"PostgreSQL {new} does not take the schemas of now, see above")
    say(f"PostgreSQL {new} takes the schemas of now")
    return 0


@contextmanager
def running(version: str, folder: Path) -> Iterator[None]:
    """A server that nobody reaches but through this container."""
    pg_ctl = [program(version, "pg_ctl"), "-D", str(folder), "-s", "-w", "-t", "600"]
    subprocess.run([*pg_ctl, "-l", "/tmp/upgrade.log", "-o", PRIVATE, "start"], check=True)
    try:
        yield
    finally:
        subprocess.run([*pg_ctl, "-m", "fast", "stop"], check=True)


def upgrade(old: str, new: str) -> int:
    """Make the new version's databases of a copy of the old one's, and choose them."""
    source, target = data(old), data(new)
    copy, making = target.with_name("copy"), target.with_name("making")
    if target.exists():
        refuse(f"{target} is there already, from an earlier attempt")
    found = state(old)
    # One that followed lacks what the leader wrote last.
    if found != "shut down" or (source / "postmaster.pid").exists():
        refuse(f"PostgreSQL {old} here is {found!r}, not 'shut down' as the one that led and stopped last is")
    if not (source / SETTINGS).exists():
        refuse(f"{source / SETTINGS} is missing: Patroni never ran on these databases")
    room(source)
    shutil.rmtree(copy, ignore_errors=True)  # of an attempt that was ended
    say(f"copying {source}")
    begin(old, new, making)
    subprocess.run(["cp", "--archive", "--reflink=auto", str(source), str(copy)], check=True)
    if pg_upgrade(old, new, copy, making, "--link", "--old-options=-c archive_mode=off"):
        shutil.rmtree(copy)
        refuse(f"pg_upgrade failed, see above; {source} is as it was")
    # It would delete what is deleted next.
    target.with_name("delete_old_cluster.sh").unlink(missing_ok=True)
    shutil.rmtree(copy)
    shutil.copy2(source / SETTINGS, making)
    if (kept := source.with_name("promotions.json")).exists():
        shutil.copy2(kept, target.with_name(kept.name))
    making.rename(target)
    return choose(new)


def room(source: Path) -> None:
    """Refuse where the volume has no room for a copy."""
    # Files come and go while it serves: the exit status says so.
    argv = ["du", "--summarize", "--block-size=1", str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    needed = int(done.stdout.split()[0]) + MARGIN
    free = shutil.disk_usage(HOME).free
    if free < needed:
        refuse(f"the volume has {free >> 20} MB left, and a copy needs {needed >> 20} MB")
    say(f"the copy takes {needed - MARGIN >> 20} MB of {free >> 20} MB that are free")


def begin(old: str, new: str, target: Path, *more: str) -> None:
    """An empty cluster of the new version, as pg_upgrade wants it."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    sums = control(old, data(old))["Data page checksum version"] != "0"
    asked = "--data-checksums" if sums else "--no-data-checksums"
    argv = [program(new, "initdb"), "-D", str(target), asked, *INITDB, *more]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def pg_upgrade(old: str, new: str, source: Path, target: Path, *how: str) -> int:
    argv = [program(new, "pg_upgrade"), f"--old-bindir={Path(program(old, 'postgres')).parent}"]
    argv += [f"--new-bindir={Path(program(new, 'postgres')).parent}", f"--old-datadir={source}"]
    argv += [f"--new-datadir={target}", "--username=postgres", "--socketdir=/tmp", *how]
    # It leaves files with commands to run afterwards.
    code = subprocess.run(argv, check=False, cwd=target.parent).returncode
    tell(target / "pg_upgrade_output.d", failed=bool(code))
    return code


def tell(folder: Path, *, failed: bool) -> None:
    """What pg_upgrade has put into files: what is to be looked after, and why it failed."""
    for listing in sorted(folder.rglob("*.txt")):
        print(f"{listing.name}:\n{listing.read_text(encoding='utf-8')}", flush=True)
    for log in sorted(folder.rglob("*.log")) if failed else ():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in [it for it in lines if re.search(r"\b(?:error|ERROR|FATAL|PANIC):", it)][-5:]:
            print(f"{log.name}: {line}", flush=True)


def look(version: str, *arguments: str) -> int:
    """psql on databases that nobody else sees: the member is stopped."""
    with running(version, data(version)):
        psql = [program(version, "psql"), "-h", "/tmp", "-U", "postgres", *arguments]
        return subprocess.run(psql, check=False).returncode


def choose(version: str) -> int:
    """Have the cluster go on with the databases of this version here, once members start."""
    settings = (data(version) / SETTINGS).read_text(encoding="utf-8")
    argv = ["python3", "-c", CHOOSE, identifier(data(version))]
    # What the other version's WAL of the same name was told to be: archived.
    shutil.rmtree(HOME / "spool", ignore_errors=True)
    until = time.monotonic() + SETTLED
    while True:
        try:
            done = told(argv, settings)
        except subprocess.TimeoutExpired:
            refuse(f"etcd does not answer within {PATIENCE} s; once it does: choose {version}")
        if done.returncode == 0:
            say(f"the cluster goes on with {data(version)}")
            return 0
        if done.returncode != 3:
            refuse(f"etcd was not told: {done.stderr.strip()[-300:]}")
        if time.monotonic() > until:
            refuse(f"members run still: {done.stdout.strip()}; stop them, then: choose {version}")
        time.sleep(2)  # until the word of a killed member has expired


def main(arguments: Sequence[str]) -> int:
    verb, rest = (arguments or ["help"])[0], list(arguments[1:])
    if verb == "may-start" and not rest:
        return may_start()
    if verb == "check" and len(rest) == 2:
        return check(*rest)
    if verb == "upgrade" and len(rest) == 2:
        return upgrade(*rest)
    if verb == "look" and rest:
        return look(*rest)
    if verb == "choose" and len(rest) == 1:
        return choose(*rest)
    print("usage: upgrade.py check OLD NEW | upgrade OLD NEW | look VERSION [psql's] | choose VERSION")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
