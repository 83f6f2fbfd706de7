"""Passwords as nginx and other programs of Unix check them: `$6$`, SHA-512 in Ulrich Drepper's form."""

from __future__ import annotations

import hashlib

ROUNDS = 5000
_DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Three bytes each become four digits; the last one stands alone.
_ORDER = [(index * 22 % 63, (index * 22 + 21) % 63, (index * 22 + 42) % 63) for index in range(21)]


def crypted(password: str, salt: str) -> str:
    """salt: at most 16 characters out of `./0-9A-Za-z`."""
    secret, seasoning = password.encode(), salt.encode()
    other = hashlib.sha512(secret + seasoning + secret).digest()
    first = hashlib.sha512(secret + seasoning + _as_long(other, secret))
    bits = len(secret)
    while bits:
        first.update(other if bits & 1 else secret)
        bits >>= 1
    digest = first.digest()
    long_secret = _as_long(hashlib.sha512(secret * len(secret)).digest(), secret)
    long_salt = _as_long(hashlib.sha512(seasoning * (16 + digest[0])).digest(), seasoning)
    for turn in range(ROUNDS):
        text = long_secret if turn & 1 else digest
        text += long_salt if turn % 3 else b""
        text += long_secret if turn % 7 else b""
        text += digest if turn & 1 else long_secret
        digest = hashlib.sha512(text).digest()
    return f"$6${salt}${_told(digest)}"


def _as_long(block: bytes, model: bytes) -> bytes:
    return (block * (len(model) // len(block) + 1))[: len(model)]


def _told(digest: bytes) -> str:
    text = "".join(_digits(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER)
    return text + _digits(digest[63], 2)


def _digits(number: int, count: int) -> str:
    return "".join(_DIGITS[number >> 6 * place & 63] for place in range(count))
