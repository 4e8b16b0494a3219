"""Orders a certificate chain: the key's certificate first, then each certificate's issuer.

Key Vault puts the key's certificate first and keeps the order of the others (Import Certificate,
``preserveCertOrder``). A reader of the certificate's secret may send them to its clients in that order, and TLS wants
each certificate to be followed by its issuer (RFC 5246 §7.4.2; RFC 8446 §4.4.2 still recommends it).
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pratique.certificate.parts import CertificateParts, reject


def order_chain(parts: CertificateParts, subject: str) -> tuple[x509.Certificate, ...]:
    """Order the certificates as a chain, each followed by its issuer, without duplicates.

    :param subject: name of the certificate in errors
    :raises CertificateRejected: when the key belongs to none of them, or a certificate is not part of the chain
    """
    remaining = list(dict.fromkeys(parts.certificates))
    public = _spki(parts.key.public_key())
    leaf = next((certificate for certificate in remaining if _spki(certificate.public_key()) == public), None)
    if leaf is None:
        reject(subject, "The private key belongs to none of the certificates.", "Use the key of the certificate.")
    chain = [leaf]
    remaining.remove(leaf)
    while (issuer := _issuer(chain[-1], remaining)) is not None:
        chain.append(issuer)
        remaining.remove(issuer)
    if remaining:
        reject(
            subject,
            f"The chain ends with '{_name(chain[-1])}', which '{_name(remaining[0])}' did not issue.",
            "Add the certificate that is missing in between, or remove the one that is not part of the chain.",
        )
    return tuple(chain)


def _issuer(certificate: x509.Certificate, candidates: Iterable[x509.Certificate]) -> x509.Certificate | None:
    return next((candidate for candidate in candidates if _is_issued_by(certificate, candidate)), None)


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial number {certificate.serial_number:x}"
