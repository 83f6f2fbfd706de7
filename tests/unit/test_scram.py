"""A stored verifier proves a password without holding it."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.scram import matches, verifier

# The password, salt and count of RFC 7677's example, in the form PostgreSQL stores.
SALT = bytes.fromhex("5b6d99689d12358eeca04b14 1236fa81")
STORED = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_a_verifier_is_the_one_postgresql_makes():
    assert verifier("pencil", SALT) == STORED


@pytest.mark.parametrize("password", ["pencil", "", "pässwörd", "a\u00a0b", "Ⅸ", "\u0627\u0031", "x\u0007é"])
def test_a_password_matches_its_own_verifier_alone(password):
    stored = verifier(password, b"0123456789abcdef", 1000)
    assert matches(password, stored)
    assert not matches(password + "x", stored)


@pytest.mark.parametrize(("one", "other"), [("a\u00a0b", "a b"), ("Ⅸ", "IX"), ("so\u00adft", "soft")])
def test_passwords_that_look_alike_are_one(one, other):
    assert matches(one, verifier(other, SALT))


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "md5a3556571e93b0d20722ba62be61e8c2d",
        STORED.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
        STORED.replace("4096", "many"),
        STORED.replace("W22ZaJ0", "!!!"),
        STORED[:-4],
    ],
    ids=["none", "empty", "md5", "other-scheme", "no-count", "no-base64", "cut"],
)
def test_what_is_no_verifier_of_ours_matches_nothing(stored):
    assert not matches("pencil", stored)
