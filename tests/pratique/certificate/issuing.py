"""Certificates with keys and chains, as authorities issue them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pratique.certificate.bundle import CertificateBundle, read_certificate
from pratique.errors import CertificateRejected

NAME = "*.aks-ingress.contoso.com"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOURCE = "file:ingress.pem"
CLIENT_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def crt(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def pem_key(
        self,
        form: PrivateFormat = PrivateFormat.PKCS8,
        encryption: KeySerializationEncryption = NoEncryption(),  # noqa: B008  # a constant without state
    ) -> bytes:
        return self.key.private_bytes(Encoding.PEM, form, encryption)

    @property
    def pem(self) -> bytes:
        return self.crt + self.pem_key()

    def pfx(self, *others: Issued, password: str | None = None) -> bytes:
        """With the others' certificates in this order."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        others_ = [other.certificate for other in others]
        return pkcs12.serialize_key_and_certificates(b"x", self.key, self.certificate, others_, encryption)

    @property
    def thumbprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # as Key Vault


def issue(
    common_name: str = NAME,
    *,
    key: Key | None = None,
    issuer: Issued | None = None,
    names: tuple[str, ...] | None = None,
    extensions: tuple[x509.ExtensionType, ...] = (),
    start: datetime = NOW - timedelta(days=1),
    days: float = 365,
) -> Issued:
    """Issue a certificate, self-signed without an issuer.

    :param names: its alternative names; by default the common name, and with ``()`` it has none
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )
    alternative = [x509.DNSName(name) for name in ((common_name,) if names is None else names)]
    for extension in [*([x509.SubjectAlternativeName(alternative)] if alternative else []), *extensions]:
        builder = builder.add_extension(extension, critical=False)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, algorithm), key)


def authority(common_name: str, *, key: Key | None = None, issuer: Issued | None = None, days: float = 3650) -> Issued:
    """A root, or the certificate of an authority below the issuer; valid for ten years."""
    return issue(common_name, key=key, issuer=issuer, names=(), extensions=(AUTHORITY,), days=days)


def read(secret: bytes, password: str | None = None, *, subject: str = NAME, at: datetime = NOW) -> CertificateBundle:
    """The certificate in a secret, checked with its dates."""
    bundle = read_certificate(secret, password, subject=subject, source=SOURCE, at=at)
    bundle.require_valid(at)
    return bundle


def rejected(secret: bytes, password: str | None = None, *, subject: str = NAME, at: datetime = NOW) -> str:
    """The error that rejects a secret. It names the source, and repeats neither content nor password."""
    with pytest.raises(CertificateRejected) as caught:
        read(secret, password, subject=subject, at=at)
    assert caught.value.__cause__ is None
    assert SOURCE in str(caught.value)
    assert not password or password not in str(caught.value)
    for line in secret.splitlines():
        assert b"-----" in line or len(line) < 16 or line.decode("latin-1") not in str(caught.value)
    return str(caught.value)
