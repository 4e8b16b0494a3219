"""Parses imported certificates: a base64 PFX, a base64 PEM, or plain PEM.

Source: REST API, Import Certificate; Microsoft Learn, "Import a certificate in Azure Key Vault" (PEM: certificates and
one unencrypted PKCS#8 key, nothing else).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs12

from sandbox.core.errors import HttpFault, vault_fault

PEM = "application/x-pem-file"
PFX = "application/x-pkcs12"

_RSA_SIZES = (2048, 3072, 4096)
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "P-256K"}
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n.*?-----END \1-----", re.DOTALL)

#: What the library raises for content that is damaged, or that it does not know.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Imported:
    """A certificate with its chain and private key.

    :ivar chain: the end-entity certificate first
    :ivar content_type: of the certificate's secret: ``application/x-pem-file`` or ``application/x-pkcs12``
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    content_type: str

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def sha1(self) -> str:
        """The thumbprint in its usual form: upper-case hex."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # a name, not a safeguard

    @cached_property
    def thumbprint(self) -> str:
        """``x5t``: base64url of the SHA-1, without padding."""
        digest = self.certificate.fingerprint(hashes.SHA1())  # noqa: S303 - x5t is defined with SHA-1 (RFC 7517)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @property
    def key_size(self) -> int:
        return self.key.key_size

    @property
    def curve(self) -> str | None:
        return _CURVES[self.key.curve.name] if isinstance(self.key, ec.EllipticCurvePrivateKey) else None

    @cached_property
    def secret(self) -> str:
        """The value of the certificate's secret."""
        if self.content_type == PEM:
            key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            return b"".join([key, *(c.public_bytes(Encoding.PEM) for c in self.chain)]).decode()
        bundle = pkcs12.serialize_key_and_certificates(
            None, self.key, self.certificate, self.chain[1:], serialization.NoEncryption()
        )
        return base64.b64encode(bundle).decode()


def read_import(value: str, password: str | None, content_type: str | None, *, keep_order: bool = False) -> Imported:
    """Parse ``value``.

    :param password: of a PFX
    :param content_type: from the policy; without one the content decides
    :param keep_order: whether to keep the chain's order (``preserveCertOrder``)
    :raises HttpFault: 400 BadParameter
    """
    content = _content(value)
    is_pem = content.lstrip().startswith(b"-----BEGIN")
    if (content_type or (PEM if is_pem else PFX)) == PEM:
        if not is_pem:
            raise _bad_pem()
        certificates, key = _read_pem(content)
        found = PEM
    else:
        certificates, key = _read_pfx(content, password)
        found = PFX
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) or not _supported(key):
        raise _bad("The private key's type or size is not supported: RSA of 2048, 3072 or 4096 bits, or a NIST curve.")
    return Imported(_chain(certificates, key, keep_order), key, found)


def _content(value: str) -> bytes:
    if "-----BEGIN" in value:
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _bad("The specified X.509 certificate content is neither base64 nor PEM.") from None


def _read_pem(content: bytes) -> tuple[list[x509.Certificate], object]:
    if _BLOCK.sub(b"", content).strip():
        raise _bad_pem()
    certificates: list[x509.Certificate] = []
    keys: list[object] = []
    try:
        for block in _BLOCK.finditer(content):
            if block[1] == b"CERTIFICATE":
                certificates.append(_parsed(x509.load_pem_x509_certificate(block[0])))
            elif block[1] == b"PRIVATE KEY":
                keys.append(serialization.load_pem_private_key(block[0], None))
            else:
                raise _bad_pem()
    except _UNREADABLE:
        raise _bad_pem() from None
    if not certificates or len(keys) != 1:
        raise _bad(
            "No certificate with private key found in the specified X.509 certificate content. Please specify X.509 "
            "certificate content with only one certificate containing private key."
        )
    return certificates, keys[0]


def _read_pfx(content: bytes, password: str | None) -> tuple[list[x509.Certificate], object]:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(content, password.encode() if password else None)
        certificates = [_parsed(found) for found in (certificate, *others) if found is not None]
    except _UNREADABLE:
        raise _bad(
            "The specified PKCS#12 X.509 certificate content can not be read. Please check if certificate is in valid "
            "PKCS#12 format and its password is right."
        ) from None
    if key is None or certificate is None:
        raise _bad("Private key is not specified in the specified X.509 certificate content.")
    return certificates, key


def _parsed(certificate: x509.Certificate) -> x509.Certificate:
    """The library parses these on first use, and raises one of :data:`_UNREADABLE`."""
    _ = certificate.version, certificate.public_key(), certificate.extensions
    return certificate


def _chain(certificates: list[x509.Certificate], key: PrivateKey, keep_order: bool) -> tuple[x509.Certificate, ...]:
    """The certificates, starting with the one that matches the key."""
    own = _public(key.public_key())
    matching = [c for c in certificates if _public(c.public_key()) == own]
    if not matching or (keep_order and matching[0] is not certificates[0]):
        raise _bad(
            "The public key of the end-entity certificate in the specified X.509 certificate content does not match "
            "the public part of the specified private key. Please check if certificate is valid."
        )
    return (matching[0], *(c for c in certificates if c is not matching[0]))


def _public(key: object) -> bytes | None:
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return None


def _supported(key: PrivateKey) -> bool:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.key_size in _RSA_SIZES
    return key.curve.name in _CURVES


def _bad_pem() -> HttpFault:
    return _bad(
        "The specified PEM X.509 certificate content is in an unexpected format. Please check if certificate is in "
        "valid PEM format."
    )


def _bad(message: str) -> HttpFault:
    return vault_fault(400, "BadParameter", message)
