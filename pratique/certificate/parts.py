"""What every form of a certificate file comes down to, and how one is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from pratique.errors import CertificateRejected

REISSUE = "Have the certificate issued again."


@dataclass(frozen=True)
class Parts:
    """A private key and certificates, in the order of the file."""

    key: PrivateKeyTypes = field(repr=False)
    certificates: tuple[x509.Certificate, ...]


def rejected(subject: str, observed: str, remedy: str) -> CertificateRejected:
    """The error, for where it is to be raised ``from None``: a parser's own words may repeat bytes of the key."""
    return CertificateRejected("use the certificate", subject, observed, remedy)


def refuse(subject: str, observed: str, remedy: str) -> NoReturn:
    """:raises CertificateRejected: always"""
    raise rejected(subject, observed, remedy)


def parse_now(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate, with what is parsed on first use only parsed here, where damage is expected.

    :raises ValueError: for damage
    """
    _ = certificate.extensions, certificate.public_key()
    return certificate
