"""The environment's own certificate authority, and a look at certificates the user supplies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.wording import listed

Purposes = tuple[x509.ObjectIdentifier, ...]

CA_LIFE = timedelta(days=3650)
# Browsers refuse more.
LIFE = timedelta(days=398)
SERVES = (ExtendedKeyUsageOID.SERVER_AUTH,)
SERVES_AND_CALLS = (*SERVES, ExtendedKeyUsageOID.CLIENT_AUTH)
RENEW_BEFORE = timedelta(days=30)
# Hosts whose clocks are a little behind must accept a certificate at once.
_CLOCK_SKEW = timedelta(hours=1)
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: str
    key: str


def new_ca(name: str, now: datetime) -> Pair:
    """A certificate authority that may sign hosts' certificates and nothing below them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = _builder(subject, subject, key.public_key(), now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(ca: Pair, names: Sequence[str], now: datetime, purposes: Purposes = SERVES_AND_CALLS) -> Pair:
    """A certificate for names and addresses, good for these purposes and no other."""
    authority, authority_key = _load(ca)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise SlipwayError(
            "the CA's key is not an elliptic curve key", "Restore the CA that Slipway generated"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(names[0]), authority.subject, key.public_key(), now, LIFE - _CLOCK_SKEW)
    issuer_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    for extension, critical in (
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return _pair(builder.sign(authority_key, hashes.SHA256()), key)


def renewal(
    pair: Pair, ca: Pair, names: Sequence[str], now: datetime, purposes: Purposes = SERVES_AND_CALLS
) -> str | None:
    """Why a certificate of ours must be issued again, or None."""
    try:
        certificate, key = _load(pair)
    except SlipwayError:
        return "it cannot be read"
    try:
        certificate.verify_directly_issued_by(_load(ca)[0])
    except (ValueError, TypeError, InvalidSignature):
        return "another CA signed it"
    if certificate.public_key() != key.public_key():
        return "it does not match its key"
    if certificate.not_valid_after_utc - now < RENEW_BEFORE:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if set(_purposes(certificate)) != set(purposes):
        return "its purposes changed"
    return None if set(_names(certificate)) == set(names) else "its names changed"


def _purposes(certificate: x509.Certificate) -> Purposes:
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ()


def faults(pair: Pair, domains: Sequence[str], now: datetime) -> list[SlipwayError]:
    """Everything wrong with a certificate the user supplies."""
    try:
        certificate, key = _load(pair)
    except SlipwayError as fault:
        return [fault]
    found = list(_validity(certificate, now))
    if certificate.public_key() != key.public_key():
        found.append(SlipwayError("the certificate does not match its key", "Name the key it was issued for"))
    uncovered = [domain for domain in domains if not _covers(_names(certificate), domain)]
    if uncovered:
        problem = f"the certificate does not cover {listed(uncovered)}, only {listed(_names(certificate))}"
        found.append(SlipwayError(problem, "Supply one for every domain of the stack's routes"))
    return found


def covers(pair: Pair, domain: str) -> bool:
    """Whether a certificate is for a domain; one that cannot be read is for none."""
    try:
        return _covers(_names(_load(pair)[0]), domain)
    except SlipwayError:
        return False


def days_left(certificate: str, now: datetime) -> int:
    return (x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc - now).days


def _validity(certificate: x509.Certificate, now: datetime) -> Iterator[SlipwayError]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        yield SlipwayError(f"the certificate expired on {end:%Y-%m-%d}", "Renew it")
    if begin > now:
        remedy = "Check this machine's clock, or supply one that is valid now"
        yield SlipwayError(f"the certificate is not valid before {begin:%Y-%m-%d}", remedy)


def _covers(names: Sequence[str], domain: str) -> bool:
    return domain in names or f"*.{domain.partition('.')[2]}" in names


def _load(pair: Pair) -> tuple[x509.Certificate, PrivateKeyTypes]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    except _UNREADABLE as error:
        raise SlipwayError("the certificate is not a PEM file", "Supply BEGIN CERTIFICATE blocks") from error
    try:
        key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    except _UNREADABLE as error:
        raise SlipwayError("the key is not a PEM file without passphrase", "Supply such a file") from error
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    # The standard allows a common name 64 characters; the complete name is among the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())
