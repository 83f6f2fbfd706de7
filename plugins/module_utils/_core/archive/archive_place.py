"""The second place of archives: where it is, whose key it shows, what its failures mean. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .archive_plan import Signs

# Below `config/host/archive`, on the host that keeps the archives.
SECOND = "second"
PLACE = "place.json"
CREDENTIALS = "s3.credentials"
KEY = "sftp.key"

_DECLARED = "stack/components/backup/second"


@dataclass(frozen=True)
class Place:
    """url: restic's, of the folder with the repositories. options: restic's. fingerprint: "" with S3."""

    url: str
    address: str
    port: int
    options: tuple[str, ...]
    fingerprint: str

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Place:
        return cls(**{**told, "options": tuple(told["options"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def known_as(self) -> str:
        """The server's name among known hosts."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"


def shown(scanned: str, place: Place) -> dict[str, str]:
    """The server's host keys, by fingerprint: lines as `ssh-keyscan` and files of known hosts have them."""
    return dict(_shown(scanned, place))


def _shown(scanned: str, place: Place) -> Iterator[tuple[str, str]]:
    for line in scanned.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == place.known_as:
            try:
                key = base64.b64decode(words[2], validate=True)
            except binascii.Error:
                continue
            yield hashlib.sha256(key).hexdigest(), line


SIGNS: Signs = (
    (
        "Host key verification failed|REMOTE HOST IDENTIFICATION",
        "the server shows another host key than the one that is declared",
        f"Ask its owner; if the key was replaced, correct {_DECLARED}/sftp/fingerprint and deploy",
    ),
    (
        r"Permission denied \(|Load key",
        "the server does not take the user's key",
        f"Correct the secret that {_DECLARED}/sftp/private_key names, or have the server take its public key",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|Access ?Denied|Access Key Id|signature we calculated",
        "the store refuses the keys",
        f"Correct the secrets that {_DECLARED}/s3 names; they must be let list, read, write and delete",
    ),
    (
        # restic would make it, and may not.
        "NoSuchBucket|bucket does not exist|MakeBucket",
        "the store has no such bucket",
        f"Make it, or correct {_DECLARED}/s3/bucket",
    ),
    (
        r"certificate|x509",
        "the store shows a certificate that this host does not trust",
        "If a CA of your own signed it, put that into /usr/local/share/ca-certificates on the host that "
        "keeps the backups, and run update-ca-certificates",
    ),
    (
        "wrong password",
        "what is there cannot be decrypted: `platform/archive_password` of the secrets file is not the one "
        "that it was made with",
        "Put the old one back with ansible-vault edit and deploy; no archive can be read without it",
    ),
    (
        "repository is already locked",
        "another one works on the same archive",
        "Wait until it has ended, and run this again",
    ),
    (
        r"No space left|insufficient (?:free )?space|quota|QuotaExceeded",
        "it is full there",
        "Make room there, or keep fewer days: stack/components/backup/archive/keep_days",
    ),
    (
        r"permission denied|MkdirAll",
        "the user may not write there",
        f"Let the user of {_DECLARED} write into its `path`, or name another",
    ),
    (
        r"refused|no route|timed out|timeout|resolve|Name or service|not known|unreachable|assign requested"
        r"|closed by remote|lookup",
        "it does not answer",
        f"See that the host that keeps the backups reaches {_DECLARED}; copies are made up for by themselves",
    ),
)
