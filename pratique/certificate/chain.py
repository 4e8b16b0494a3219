"""The order of a chain: the key's own certificate, then the issuer of each.

Key Vault puts the key's certificate first and leaves the others as they came (Import Certificate,
``preserveCertOrder``), and what reads the secret behind the certificate may send them to its clients in that very
order: TLS wants each certificate followed by its issuer (RFC 5246 §7.4.2; RFC 8446 §4.4.2 still recommends it).
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pratique.certificate.parts import Parts, refuse


def leaf_first(parts: Parts, subject: str) -> tuple[x509.Certificate, ...]:
    """The certificates as a chain, each followed by its issuer; repeated ones are named once.

    :param subject: what to call the certificate in an error
    :raises CertificateRejected: when the key belongs to none of them, or one has no place in the chain
    """
    left = list(dict.fromkeys(parts.certificates))
    public = _spki(parts.key.public_key())
    leaf = next((each for each in left if _spki(each.public_key()) == public), None)
    if leaf is None:
        refuse(subject, "The private key belongs to none of the certificates.", "Use the key of the certificate.")
    chain = [leaf]
    left.remove(leaf)
    while (issuer := _issuer(chain[-1], left)) is not None:
        chain.append(issuer)
        left.remove(issuer)
    if left:
        refuse(
            subject,
            f"'{_name(left[0])}' did not issue '{_name(chain[-1])}', where the chain ends: it has no place in it.",
            "Add the certificate that is missing in between, or leave out what does not belong.",
        )
    return tuple(chain)


def _issuer(certificate: x509.Certificate, candidates: Iterable[x509.Certificate]) -> x509.Certificate | None:
    return next((each for each in candidates if _issued(certificate, each)), None)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial number {certificate.serial_number:x}"
