"""The environment's secrets file: one Ansible-Vault file with all its secrets and keys.

platform: {name: value}      generated
user: {name: value}          generated where the stack says so, else supplied by the user
pki:
  ca: {certificate, key}
  certificates: {host name or `edge`: {certificate, key}}
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ansible.errors import AnsibleError

from ..module_utils._core.errors import Problem, SlipwayError
from ..module_utils._core.monitoring.console import HASHES
from ..module_utils._core.stack.model import Stack
from ..module_utils._core.wording import did_you_mean, listed, type_of
from .native import native
from .pki import Pair

Document = dict[str, Any]

VAULT_HEADER = b"$ANSIBLE_VAULT;"
# Of what is made here; and of what others issue, which nobody here can make longer.
SHORTEST, SHORTEST_ISSUED = 16, 8
# Parents before what they hold.
_PARTS: tuple[tuple[str, ...], ...] = (
    (),
    ("platform",),
    ("user",),
    ("pki",),
    ("pki", "ca"),
    ("pki", "certificates"),
)
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(me|it)|replace[-_ ]?me|placeholder|your[-_ ]?(secret|password|token)", re.I
)
_GENERATE = "Run playbooks/secrets.yml for this environment"


class Loader(Protocol):
    """What is used of Ansible's DataLoader, which decrypts what it reads."""

    def get_text_file_contents(self, file_name: str) -> str: ...

    def load(self, data: str, file_name: str | None = None, show_content: bool = True) -> Any: ...


@dataclass(frozen=True)
class Keyring:
    """What a rendering takes from the secrets file: secrets by name, the CA, certificates with their keys."""

    secrets: Mapping[str, str]
    ca: str
    certificates: Mapping[str, tuple[str, str]]


def load(path: Path, loader: Loader) -> Document:
    """The decrypted file; empty when there is none yet."""
    if not path.exists():
        return {}
    if not path.read_bytes().startswith(VAULT_HEADER):
        raise SlipwayError("is not encrypted", f"Encrypt it: ansible-vault encrypt {path}")
    try:
        # Its content must not appear in the message of a YAML error.
        document = native(
            loader.load(loader.get_text_file_contents(str(path)), str(path), show_content=False)
        )
    except AnsibleError as error:
        reason = error.message.splitlines()[0].rstrip(".") if error.message else type(error).__name__
        remedy = "Put the password it was encrypted with into .vault-password, or name its file in "
        remedy += (
            "SLIPWAY_VAULT_PASSWORD_FILE; if the password is right, correct the file with ansible-vault edit"
        )
        raise SlipwayError(f"cannot be read ({reason})", remedy) from error
    return _shaped(document)


def _shaped(document: object) -> Document:
    """The document, once its parts are known to be tables or absent."""
    for keys in _PARTS:
        part: Any = document or {}
        for key in keys:
            part = part.get(key) or {}
        if not isinstance(part, dict):
            remedy = "Give it the tables platform, user and pki by ansible-vault edit, or begin anew"
            raise SlipwayError("is not laid out as a secrets file", remedy)
    return document if isinstance(document, dict) else {}


def save(path: Path, ciphertext: bytes) -> None:
    """Replace the file in one step; no other user can read it at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(ciphertext)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def table(document: Document, *keys: str) -> dict[str, Any]:
    """A part of the document, made where it is absent, so that it can be added to."""
    for key in keys:
        document[key] = document.get(key) or {}
        document = document[key]
    return document


def problems(document: Document, stack: Stack, path: str) -> Iterator[Problem]:
    """Secrets the user must supply and has not, and secrets that can be guessed. Values stay unsaid."""
    supplied = document.get("user") or {}
    for rule in stack.secrets.values():
        if rule.generate is None and supplied.get(rule.name) is None:
            meant = did_you_mean(rule.name, [name for name in supplied if name not in stack.secrets])
            remedy = f"{meant}{_GENERATE}, then add it under `user` with ansible-vault edit {path}"
            yield Problem(f"{path}/user/{rule.name}", "is missing", remedy)
    for name in sorted(set(stack.components.console.users.values()) if stack.components.console else ()):
        value = supplied.get(name)
        if value is not None and not (isinstance(value, str) and re.fullmatch(HASHES, value.strip())):
            yield Problem(
                f"{path}/user/{name}", "is no hash of a password", "Write what `openssl passwd -6` says"
            )
    for part in ("platform", "user"):
        for name, value in (document.get(part) or {}).items():
            if part == "user" and name not in stack.secrets:
                continue
            issued = part == "user" and stack.secrets[name].generate is None
            shortest = SHORTEST_ISSUED if issued else SHORTEST
            weakness = None if value is None else _weakness(value, shortest)
            if weakness:
                yield Problem(f"{path}/{part}/{name}", weakness.problem, weakness.remedy)


def _weakness(value: object, shortest: int) -> SlipwayError | None:
    remedy = "Replace it (openssl rand -hex 32 makes one), or have its issuer give you another"
    if not isinstance(value, str):
        return SlipwayError(f"is {type_of(value)}, not text", "Put it in quotes")
    if len(value) < shortest:
        return SlipwayError(f"is shorter than {shortest} characters", remedy)
    if len(set(value)) < 6 or _PLACEHOLDER.search(value):
        return SlipwayError("is easily guessed", remedy)
    return None


def material(stack: Stack, document: Document, checkout: Path) -> Keyring:
    """What hosts get of the secrets. The CA's key is not part of it."""
    found = pairs(document)
    if stack.components.edge.tls.certificate:
        found = {name: pair for name, pair in found.items() if name != "edge"}
        given = supplied(stack, checkout)
        found |= {"edge": given} if given else {}
    authority = ca(document)
    missing = {"edge", *(host.name for host in stack.hosts)} - found.keys()
    if authority is None or missing:
        what = "the CA" if authority is None else f"certificates for {listed(sorted(missing))}"
        raise SlipwayError(f"the secrets file lacks {what}", _GENERATE)
    secrets = {**(document.get("platform") or {}), **(document.get("user") or {})}
    return Keyring(
        secrets, authority.certificate, {name: (it.certificate, it.key) for name, it in found.items()}
    )


def supplied(stack: Stack, checkout: Path) -> Pair | None:
    """The certificate the user supplies for the edge, where both its files can be read."""
    tls = stack.components.edge.tls
    if not tls.certificate or not tls.key:
        return None
    files = [checkout / tls.certificate, checkout / tls.key]
    if not all(readable(file) for file in files):
        return None
    return Pair(*(file.read_text(encoding="utf-8", errors="replace") for file in files))


def readable(file: Path) -> bool:
    """Whether it is a file that this user may read, in folders that this user may enter."""
    return os.access(file, os.R_OK) and file.is_file()


def ca(document: Document) -> Pair | None:
    return _pair((document.get("pki") or {}).get("ca"))


def pairs(document: Document) -> dict[str, Pair]:
    """The certificates in the file that are complete."""
    given = (document.get("pki") or {}).get("certificates") or {}
    found = {name: _pair(value) for name, value in given.items()}
    return {name: pair for name, pair in found.items() if pair}


def _pair(value: object) -> Pair | None:
    if not isinstance(value, dict):
        return None
    certificate, key = value.get("certificate"), value.get("key")
    return Pair(certificate, key) if isinstance(certificate, str) and isinstance(key, str) else None
