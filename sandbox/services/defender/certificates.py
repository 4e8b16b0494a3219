"""The certificates behind Defender's signatures, and behind their timestamps.

As Microsoft's: a root, a certificate authority below it, and a signing certificate for each team. The roots are
exported to the sandbox's home, so that clients can trust them.
Source: Notary Project signature specification, "Certificate Requirements"; RFC 3161, section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.home import Home

#: Common names of the signing certificates, by team.
TEAMS = {
    "defender": "Defender for Containers findings (local only)",
    "other-team": "Another team's products (local only)",
}
_ORGANISATION = "Azure sandbox"
_YEAR = timedelta(days=365)
_HOUR = timedelta(hours=1)
_HASHES: dict[int, hashes.SHA256 | hashes.SHA384] = {2048: hashes.SHA256(), 3072: hashes.SHA384()}


@dataclass(frozen=True)
class Identity:
    """An RSA key of 2048 or 3072 bits and its certificate chain, leaf first."""

    key: rsa.RSAPrivateKey
    chain: Sequence[x509.Certificate]

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PSS with the hash that belongs to the key's size."""
        digest = _HASHES[self.key.key_size]
        return self.key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)

    def ders(self) -> list[bytes]:
        return [certificate.public_bytes(Encoding.DER) for certificate in self.chain]


@dataclass(frozen=True)
class _Authority:
    """A certificate authority: its key, and its certificate with those above it."""

    key: rsa.RSAPrivateKey
    chain: tuple[x509.Certificate, ...]

    def issue(
        self,
        subject: x509.Name,
        key: rsa.RSAPrivateKey,
        purpose: x509.ObjectIdentifier | None,
        ends: datetime,
        *more: x509.ExtensionType,
    ) -> x509.Certificate:
        """A certificate for a purpose; without one, for an authority."""
        builder = _certificate(subject, self.chain[0].subject, key.public_key(), ends, authority=purpose is None)
        if purpose is not None:
            timestamps = purpose == ExtendedKeyUsageOID.TIME_STAMPING
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=timestamps)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def signing_identity(home: Home, owner: str, team: str, *, expired: bool = False) -> Identity:
    """The key and chain of a team, made on first use. The certificates of all owners have the same names.

    :param owner: prefix of its files in the home
    :param expired: with a certificate that expired an hour ago
    """
    root = _root(home, owner, "Supply Chain RSA Root CA (local only)")
    key = home.rsa_key(f"{owner}-ca-key")
    pem = home.text(
        f"{owner}-ca.pem",
        lambda: _pem(
            root.issue(_name("SCD Products RSA CA (local only)"), key, None, root.chain[0].not_valid_after_utc)
        ),
    )
    authority = _Authority(key, (x509.load_pem_x509_certificate(pem.encode()), *root.chain))
    signing = home.rsa_key(f"{owner}-{team}-signing-key", 3072)
    ends = datetime.now(UTC) + (-_HOUR if expired else 2 * _YEAR)
    leaf = authority.issue(_name(TEAMS[team], place=True), signing, ExtendedKeyUsageOID.CODE_SIGNING, ends)
    return Identity(signing, (leaf, *authority.chain))


def timestamping_identity(home: Home, owner: str) -> Identity:
    """The key and chain of the timestamp authority, made on first use."""
    root = _root(home, f"{owner}-tsa", "Public RSA Timestamping Root CA (local only)")
    key = home.rsa_key(f"{owner}-tsa-key")
    ends = datetime.now(UTC) + 2 * _YEAR
    leaf = root.issue(_name("Public RSA Time Stamping Authority"), key, ExtendedKeyUsageOID.TIME_STAMPING, ends)
    return Identity(key, (leaf, *root.chain))


def _root(home: Home, owner: str, common_name: str) -> _Authority:
    key, name = home.rsa_key(f"{owner}-root-key"), _name(common_name)
    root = x509.load_pem_x509_certificate(
        home.text(f"{owner}-root.pem", lambda: _pem(_self_signed(key, name))).encode()
    )
    if root.subject != name:  # of an earlier version, which allowed no authority below it
        root = _self_signed(key, name)
        home.write(f"{owner}-root.pem", _pem(root))
    return _Authority(key, (root,))


def _self_signed(key: rsa.RSAPrivateKey, subject: x509.Name) -> x509.Certificate:
    ends = datetime.now(UTC) + 20 * _YEAR
    return _certificate(subject, subject, key.public_key(), ends, authority=True).sign(key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, ends: datetime, *, authority: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(
            subject_name=subject,
            issuer_name=issuer,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=datetime.now(UTC) - 24 * _HOUR,
            not_valid_after=ends,
        )
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_usage(authority=authority), critical=True)
    )


def _name(common_name: str, *, place: bool = False) -> x509.Name:
    """A subject; authorities have no place in theirs, as Microsoft's."""
    parts = {NameOID.COUNTRY_NAME: "US"}
    if place:
        parts |= {NameOID.STATE_OR_PROVINCE_NAME: "Washington", NameOID.LOCALITY_NAME: "Redmond"}
    parts |= {NameOID.ORGANIZATION_NAME: _ORGANISATION, NameOID.COMMON_NAME: common_name}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
