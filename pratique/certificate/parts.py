"""What a certificate file consists of, whatever its form, and the error that rejects the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pratique.errors import CertificateRejected
from pratique.markdown import one_line

REISSUE = "Have the certificate issued again."
#: What the library raises for content that is damaged, or that it does not support.
DAMAGED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Element:
    """One object of a file: a certificate, a key, or something else.

    :ivar label: what it is, in the words of PEM, for example ``RSA PRIVATE KEY``
    :ivar content: its DER; a key in OpenSSL's old encrypted form is not DER
    :ivar cipher: how that form is encrypted, for example ``AES-128-CBC,`` and the initialisation vector
    """

    label: str
    content: bytes = field(repr=False)
    cipher: str | None = None


@dataclass(frozen=True)
class CertificateParts:
    """A private key, and certificates in the order of the file."""

    key: PrivateKeyTypes = field(repr=False)
    certificates: tuple[x509.Certificate, ...]

    @property
    def of_key(self) -> list[x509.Certificate]:
        """The certificates of the private key, without duplicates."""
        public = public_bytes(self.key.public_key())
        return [found for found in dict.fromkeys(self.certificates) if public_bytes(found.public_key()) == public]


def public_bytes(key: PublicKeyTypes) -> bytes:
    """What is equal for equal keys, whatever the form in which they were read."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def name_of(certificate: x509.Certificate) -> str:
    """The subject, as errors show it."""
    name = one_line(certificate.subject.rfc4514_string())
    return f"'{name}'" if name else f"the certificate with serial number {certificate.serial_number:x}"


def rejection(source: str, observed: str, remedy: str) -> CertificateRejected:
    """The error that rejects the certificate. Raise it ``from None`` where a parser failed: its message may repeat
    bytes of the key.

    :param source: where the certificate comes from, as the configuration names it
    """
    return CertificateRejected("use the certificate", source, observed, remedy)


def reject(source: str, observed: str, remedy: str) -> NoReturn:
    """Reject the certificate.

    :raises CertificateRejected: always
    """
    raise rejection(source, observed, remedy)


def parse_fully(certificate: x509.Certificate) -> x509.Certificate:
    """Parse now what the library would parse on first use, so that a damaged certificate fails here.

    It raises one of :data:`DAMAGED`.
    """
    _ = certificate.extensions, certificate.public_key(), certificate.version
    _ = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.signature_hash_algorithm
    return certificate
