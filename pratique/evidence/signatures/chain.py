"""The requirements that the certificates of a signer, and of a timestamp authority, must meet.

Source: Notary Project signature specification, "Certificate Requirements". Extensions that it does not name are
ignored, as it demands. Revocation is in :mod:`.revocation`.

A registry's attestations share a few chains, so a chain that meets the requirements is remembered for the process. That
holds for the same certificates for ever: neither the time nor who is trusted is part of it. :func:`check_validity` and
:class:`.TrustStore` are asked each time, and a chain that fails is checked anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pratique.evidence.signatures.envelope import LONGEST_CHAIN, MalformedEnvelope

_FORBIDDEN_PURPOSES = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
    }
)
_SMALLEST_RSA, _SMALLEST_CURVE = 2048, 256  # bits
_LONGEST_NAME = 200  # characters of an untrusted name that a message quotes
_NOT_ISSUED = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)

_REMEMBERED = 256  # chains

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


def check_signing_chain(chain: Sequence[x509.Certificate]) -> None:
    """Check that a chain leads in order from a signing certificate to a self-signed root.

    :raises MalformedEnvelope: when it does not, or ``InvalidSignature`` when a certificate is not signed by its issuer
    """
    _check_signing_chain(tuple(chain))


@lru_cache(_REMEMBERED)
def _check_signing_chain(chain: tuple[x509.Certificate, ...]) -> None:
    for certificate, issuer in zip(chain, (*chain[1:], chain[-1]), strict=True):
        certificate.verify_directly_issued_by(issuer)
        _check_hash(certificate)
    _check_leaf(chain[0], critical=True)
    purposes = extension(chain[0], x509.ExtendedKeyUsage)
    if purposes is not None and not _FORBIDDEN_PURPOSES.isdisjoint(purposes.value):
        raise MalformedEnvelope("The signing certificate is for purposes other than signing.")
    for below, authority in enumerate(chain[1:]):
        _check_authority(authority, below, critical=True)


def timestamping_chain(
    leaf: x509.Certificate, others: Iterable[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """The chain from a timestamp authority's certificate to a trusted one.

    :param others: untrusted certificates that may belong to the chain
    :param anchors: trusted certificates
    :raises MalformedEnvelope: when there is none, or the certificates are not those of a timestamp authority
    """
    return _timestamping_chain(leaf, tuple(others), tuple(anchors))


@lru_cache(_REMEMBERED)
def _timestamping_chain(
    leaf: x509.Certificate, others: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, ...]:
    chain, known = [leaf], (*anchors, *others)
    while chain[-1] not in anchors:
        issuer = next((other for other in known if other not in chain and _issued(chain[-1], other)), None)
        if issuer is None or len(chain) == LONGEST_CHAIN:
            raise MalformedEnvelope(f"Its chain ends in {name_of(chain[-1])}, which is not trusted for timestamps.")
        _check_hash(chain[-1])
        chain.append(issuer)
    _check_leaf(leaf, critical=False)
    _check_strength(leaf)
    purposes = extension(leaf, x509.ExtendedKeyUsage)
    if purposes is None or not purposes.critical or list(purposes.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise MalformedEnvelope("The authority's certificate is not limited to timestamps by a critical extension.")
    for below, authority in enumerate(chain[1:]):
        _check_authority(authority, below, critical=False)
    return tuple(chain)


def check_validity(chain: Iterable[x509.Certificate], at: datetime, what: str) -> None:
    """Check that every certificate was valid at a time.

    :param what: the time's meaning, as in "now" or "at the signing time"
    :raises MalformedEnvelope: when one was not
    """
    for certificate in chain:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begins <= at <= ends:
            period = f"{begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC"
            raise MalformedEnvelope(f"The certificate {name_of(certificate)} is not valid {what}, only from {period}.")


def extension(certificate: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    """An extension of a certificate; ``None`` without it."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def name_of(certificate: x509.Certificate) -> str:
    """The certificate's subject, quoted and shortened, because it is untrusted text."""
    return repr(certificate.subject.rfc4514_string()[:_LONGEST_NAME])


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _NOT_ISSUED:
        return False
    return True


def _check_hash(certificate: x509.Certificate) -> None:
    if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise MalformedEnvelope(f"The certificate {name_of(certificate)} is signed with a weak hash.")


def _check_strength(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    strong = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SMALLEST_RSA
    if not strong and not (isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= _SMALLEST_CURVE):
        raise MalformedEnvelope(f"The key of {name_of(certificate)} is too weak, or of an unknown kind.")


def _check_leaf(certificate: x509.Certificate, *, critical: bool) -> None:
    """Certificate Requirements, "Leaf Certificates"."""
    usage = extension(certificate, x509.KeyUsage)
    if usage is None or (critical and not usage.critical):
        raise MalformedEnvelope("The signing certificate has no critical key usage.")
    bits = usage.value
    other = bits.key_encipherment or bits.data_encipherment or bits.key_agreement or bits.key_cert_sign or bits.crl_sign
    if not bits.digital_signature or other:
        raise MalformedEnvelope("The signing certificate's key usage is not limited to digital signatures.")
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise MalformedEnvelope("The signing certificate is a CA certificate.")


def _check_authority(certificate: x509.Certificate, below: int, *, critical: bool) -> None:
    """Certificate Requirements, "Root and Intermediate CA Certificates".

    :param below: number of other authorities between this one and the signing certificate
    """
    subject = name_of(certificate)
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise MalformedEnvelope(f"The certificate {subject} is not a CA certificate.")
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise MalformedEnvelope(f"The chain below {subject} is longer than its path length permits.")
    usage = extension(certificate, x509.KeyUsage)
    if usage is None or (critical and not usage.critical) or not usage.value.key_cert_sign:
        raise MalformedEnvelope(f"The certificate {subject} is not allowed to issue certificates.")
