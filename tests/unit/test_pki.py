"""Certificates of the environment's own authority, and faults of those a user supplies."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from ansible_collections.slipway.compose.plugins.plugin_utils.pki import Pair
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMES = ["app-1.example.com", "app-1", "192.0.2.11", "localhost"]
YEARS = timedelta(days=366)


@pytest.fixture
def ca(now: datetime) -> Pair:
    return pki.new_ca("Test CA", now)


def handshake(server: ssl.SSLObject, client: ssl.SSLObject) -> None:
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def context(purpose: int, ca: Pair, pair: Pair, folder: Path) -> ssl.SSLContext:
    (folder / "pem").write_text(pair.key + pair.certificate)
    found = ssl.SSLContext(purpose)
    found.verify_mode = ssl.CERT_REQUIRED
    # What Python 3.13 and other strict clients insist on.
    found.verify_flags |= ssl.VERIFY_X509_STRICT
    found.load_verify_locations(cadata=ca.certificate)
    found.load_cert_chain(folder / "pem")
    return found


def test_a_certificate_serves_and_calls_in_a_strict_handshake(tmp_path):
    now = datetime.now().astimezone()
    ca = pki.new_ca("Test CA", now)
    pair = pki.issue(ca, NAMES, now)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context(ssl.PROTOCOL_TLS_SERVER, ca, pair, tmp_path).wrap_bio(
        to_server, to_client, server_side=True
    )
    client = context(ssl.PROTOCOL_TLS_CLIENT, ca, pair, tmp_path).wrap_bio(
        to_client, to_server, server_hostname="192.0.2.11"
    )
    handshake(server, client)
    seen = server.getpeercert()
    assert seen
    assert ("DNS", "app-1") in seen["subjectAltName"]


def test_a_certificate_lives_no_longer_than_browsers_allow(ca, now):
    certificate = x509.load_pem_x509_certificate(pki.issue(ca, NAMES, now).certificate.encode())
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=398)
    assert certificate.not_valid_before_utc < now


def test_a_certificate_is_for_serving_and_calling_alone(ca, now):
    certificate = x509.load_pem_x509_certificate(pki.issue(ca, NAMES, now).certificate.encode())
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_names_of_any_length_are_issued(ca, now):
    name = f"{'a' * 60}.{'b' * 60}.example.com"
    assert pki.renewal(pki.issue(ca, [name], now), ca, [name], now) is None


@pytest.mark.parametrize(
    ("days", "names", "reason"),
    [
        pytest.param(0, NAMES, None, id="kept-when-new"),
        pytest.param(366, NAMES, None, id="kept-with-a-month-left"),
        pytest.param(370, NAMES, "it ends on 2027-07-04", id="issued-again-near-its-end"),
        pytest.param(0, [*NAMES, "more"], "its names changed", id="issued-again-for-other-names"),
    ],
)
def test_a_certificate_is(ca, now, days, names, reason):
    assert pki.renewal(pki.issue(ca, NAMES, now), ca, names, now + timedelta(days=days)) == reason


def test_a_certificate_of_another_authority_is_issued_again(ca, now):
    for other in (pki.new_ca("Test CA", now), pki.new_ca("Other CA", now)):
        assert pki.renewal(pki.issue(other, NAMES, now), ca, NAMES, now) == "another CA signed it"


def test_a_broken_pair_is_issued_again(ca, now):
    one, two = (pki.issue(ca, NAMES, now) for _ in range(2))
    assert pki.renewal(Pair(one.certificate, two.key), ca, NAMES, now) == "it does not match its key"
    assert pki.renewal(Pair("x", "y"), ca, NAMES, now) == "it cannot be read"


@pytest.mark.parametrize(
    ("domain", "covered"),
    [
        pytest.param("shop.example.com", True, id="its-name"),
        pytest.param("a.wild.example.com", True, id="one-label-for-a-star"),
        pytest.param("a.b.wild.example.com", False, id="two-labels-for-a-star"),
        pytest.param("wild.example.com", False, id="none-for-a-star"),
        pytest.param("example.com", False, id="its-parent"),
    ],
)
def test_a_users_certificate_covers(ca, now, domain, covered):
    found = pki.faults(pki.issue(ca, ["shop.example.com", "*.wild.example.com"], now), [domain], now)
    assert [fault.problem.startswith("the certificate does not cover") for fault in found] == [True] * (
        not covered
    )


def test_faults_of_a_users_certificate_are_all_named(ca, now):
    one, two = (pki.issue(ca, NAMES, now) for _ in range(2))
    mixed = Pair(one.certificate, two.key)
    found = [fault.problem for fault in pki.faults(mixed, ["app-1"], now + 2 * YEARS)]
    assert found == ["the certificate expired on 2027-07-04", "the certificate does not match its key"]
    (early,) = pki.faults(one, ["app-1"], now - YEARS)
    assert early.problem == "the certificate is not valid before 2026-06-01"
    (unreadable,) = pki.faults(Pair("", one.key), ["app-1"], now)
    assert unreadable.problem == "the certificate is not a PEM file"
    (keyless,) = pki.faults(Pair(one.certificate, one.certificate), ["app-1"], now)
    assert keyless.problem == "the key is not a PEM file without passphrase"


def test_a_certificate_that_only_serves_is_refused_as_a_client(tmp_path):
    now = datetime.now().astimezone()
    ca = pki.new_ca("Test CA", now)
    edge, host = pki.issue(ca, ["shop.example.com"], now, pki.SERVES), pki.issue(ca, NAMES, now)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context(ssl.PROTOCOL_TLS_SERVER, ca, host, tmp_path).wrap_bio(
        to_server, to_client, server_side=True
    )
    client = context(ssl.PROTOCOL_TLS_CLIENT, ca, edge, tmp_path).wrap_bio(
        to_client, to_server, server_hostname="192.0.2.11"
    )
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(server, client)


def test_a_certificate_whose_purposes_change_is_issued_anew(ca, now):
    pair = pki.issue(ca, NAMES, now)
    assert pki.renewal(pair, ca, NAMES, now) is None
    assert pki.renewal(pair, ca, NAMES, now, pki.SERVES) == "its purposes changed"
    assert pki.renewal(pki.issue(ca, NAMES, now, pki.SERVES), ca, NAMES, now) == "its purposes changed"


def test_a_certificate_without_purposes_is_issued_anew(ca, now):
    """Somebody else's, made with the environment's CA and put into the secrets file."""
    issued = x509.load_pem_x509_certificate(pki.issue(ca, NAMES, now).certificate.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    authority_key = serialization.load_pem_private_key(ca.key.encode(), password=None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(issued.issuer, issued.subject, key.public_key(), 1)
    builder = builder.not_valid_before(issued.not_valid_before_utc).not_valid_after(
        issued.not_valid_after_utc
    )
    bare = builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert pki.renewal(Pair(bare.decode(), private.decode()), ca, NAMES, now) == "its purposes changed"
