"""Certificates with keys and chains, as authorities issue them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
from cryptography.x509.oid import NameOID

NAME = "*.aks-ingress.contoso.com"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

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
    start: datetime = NOW - timedelta(days=1),
    days: float = 365,
) -> Issued:
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
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, algorithm), key)
