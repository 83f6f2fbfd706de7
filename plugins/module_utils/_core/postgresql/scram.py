"""PostgreSQL's stored form of a password: made here, so that the password itself is never sent in SQL."""

from __future__ import annotations

import hashlib
import hmac
import stringprep
import unicodedata
from base64 import b64decode, b64encode

ITERATIONS = 4096
_SCHEME = "SCRAM-SHA-256"
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """The text PostgreSQL keeps in pg_authid.rolpassword for a password."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    return f"{_SCHEME}${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def matches(password: str, stored: str | None) -> bool:
    """Whether a stored verifier was made from this password; an MD5 or missing one never was."""
    try:
        _scheme, parameters, _keys = (stored or "").split("$")
        iterations, salt = parameters.split(":")
        same = verifier(password, b64decode(salt, validate=True), int(iterations))
    except ValueError:
        return False
    return hmac.compare_digest(same, stored or "")


def _prepared(password: str) -> str:
    """SASLprep as PostgreSQL does it: ASCII, and what SASLprep forbids, is used as it stands."""
    if password.isascii():
        return password
    spaced = "".join(
        " " if stringprep.in_table_c12(letter) else letter
        for letter in password
        if not stringprep.in_table_b1(letter)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", spaced)
    forbidden = any(prohibited(letter) for letter in normal for prohibited in _PROHIBITED)
    return password if not normal or forbidden or _mixes_directions(normal) else normal


def _mixes_directions(text: str) -> bool:
    """RFC 3454, section 6: right-to-left text must be so from end to end."""
    right = [stringprep.in_table_d1(letter) for letter in text]
    if not any(right):
        return False
    return any(stringprep.in_table_d2(letter) for letter in text) or not (right[0] and right[-1])


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
