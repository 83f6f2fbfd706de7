"""Keys: who may log in to the hosts, and how the hosts prove who they are."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from .shell import run
from .state import Lab

USER = "deploy"
COMPANY_CAS = Path("/usr/local/share/ca-certificates")
REMEDY = "Install openssh-client"


def ensure_keys(lab: Lab) -> None:
    """A key pair for the operator and one per host, all made here: no host is ever trusted on first sight."""
    lab.folder.mkdir(parents=True, exist_ok=True)
    _ensure_key(lab.folder / "id_ed25519", f"lab {lab.name}")
    known = []
    for host, address in lab.hosts.items():
        _ensure_key(_host_key(lab, host), host)
        public = _public(_host_key(lab, host)).read_text().split()
        known.append(f"{host},{address} {public[0]} {public[1]}\n")
    (lab.folder / "known_hosts").write_text("".join(known))


def ssh(lab: Lab, host: str) -> list[str]:
    """The command line that reaches a host without a question."""
    options = {
        "IdentityFile": str(lab.folder / "id_ed25519"),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(lab.folder / "known_hosts"),
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "5",
        "LogLevel": "ERROR",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", *flags, f"{USER}@{lab.hosts[host]}"]


def seed(lab: Lab, host: str) -> bytes:
    """What cloud-init would bring: keys and the company's CAs; the marker that lets SSH start comes last."""
    key = _host_key(lab, host)
    files = [
        ("etc/ssh/ssh_host_ed25519_key", key.read_bytes(), 0o600, 0),
        ("etc/ssh/ssh_host_ed25519_key.pub", _public(key).read_bytes(), 0o644, 0),
        (f"home/{USER}/.ssh/authorized_keys", (lab.folder / "id_ed25519.pub").read_bytes(), 0o600, 1000),
    ]
    for path in sorted(COMPANY_CAS.rglob("*.crt")):
        files.append((f"usr/local/share/ca-certificates/{path.name}", path.read_bytes(), 0o644, 0))
    files.append(("etc/seeded", b"", 0o644, 0))
    return _tar(files)


def _host_key(lab: Lab, host: str) -> Path:
    return lab.folder / f"{host}.key"


def _public(key: Path) -> Path:
    return Path(f"{key}.pub")


def _ensure_key(path: Path, comment: str) -> None:
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], REMEDY)


def _tar(files: list[tuple[str, bytes, int, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo(f"home/{USER}/.ssh")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o700, 1000, 1000
        archive.addfile(folder)
        for name, content, mode, owner in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, owner, owner
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
