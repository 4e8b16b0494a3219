"""The parts of a certificate file, whatever its form, and the error that rejects the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from pratique.errors import CertificateRejected

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
class CertificateParts:
    """A private key, and certificates in the order of the file."""

    key: PrivateKeyTypes = field(repr=False)
    certificates: tuple[x509.Certificate, ...]


def rejection(subject: str, observed: str, remedy: str) -> CertificateRejected:
    """The error that rejects the certificate. Raise it ``from None`` where a parser failed: its message may repeat
    bytes of the key.
    """
    return CertificateRejected("use the certificate", subject, observed, remedy)


def reject(subject: str, observed: str, remedy: str) -> NoReturn:
    """Reject the certificate.

    :raises CertificateRejected: always
    """
    raise rejection(subject, observed, remedy)


def parse_fully(certificate: x509.Certificate) -> x509.Certificate:
    """Parse now what the library would parse on first use, so that a damaged certificate fails here.

    It raises one of :data:`DAMAGED`.
    """
    _ = certificate.extensions, certificate.public_key(), certificate.version
    _ = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.signature_hash_algorithm
    return certificate
