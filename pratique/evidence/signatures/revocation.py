"""Whether a certificate was revoked, by what its issuer publishes: OCSP responses and certificate revocation lists.

Only reads and verifies; :mod:`pratique.evidence.revocation` asks. The signer's clock is no proof, so a certificate that
was revoked counts as revoked whenever the signature was made.

Source: RFC 6960 (OCSP), RFC 5280 (CRLs); Notary Project, "Certificate revocation evaluation": servers over plain HTTP,
OCSP first, then every distribution point. OCSP requests name certificates by SHA-1, because the responders of large
authorities, Microsoft's among them, understand nothing else (notation-core-go says so where it makes its requests).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from pratique.evidence.signatures.chain import extension
from pratique.gate.evidence import CLOCKS_DIFFER

_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class StatusUnknown(Exception):
    """The status cannot be determined; the message says why, in a few words."""


@dataclass(frozen=True)
class RevocationStatus:
    """A certificate's status by the word of its issuer.

    :ivar revoked_at: ``None`` when it was not revoked
    :ivar until: when the issuer publishes the next status
    """

    revoked_at: datetime | None
    until: datetime


def can_be_revoked(certificate: x509.Certificate) -> bool:
    """Whether the issuer publishes the certificate's status anywhere, in a way that can be asked or not."""
    return bool(_responders(certificate)) or extension(certificate, x509.CRLDistributionPoints) is not None


def ocsp_servers(certificate: x509.Certificate) -> tuple[str, ...]:
    """URLs of the issuer's OCSP responders."""
    return _urls(_responders(certificate))


def crl_servers(certificate: x509.Certificate) -> tuple[str, ...]:
    """URLs of the revocation lists that may name the certificate."""
    points = extension(certificate, x509.CRLDistributionPoints)
    named = points.value if points is not None else ()
    return _urls(name for point in named for name in point.full_name or ())


def ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The body of a request for the certificate's status."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303  # names only
    return builder.build().public_bytes(Encoding.DER)


def read_ocsp(
    content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime
) -> RevocationStatus:
    """The status in an OCSP response.

    :raises StatusUnknown: when the response is invalid, too old, about something else, or knows nothing
    """
    try:
        return _from_ocsp(ocsp.load_der_ocsp_response(content), certificate, issuer, at)
    except _UNREADABLE as error:
        raise StatusUnknown(f"its OCSP response is invalid ({type(error).__name__})") from None


def read_crl(content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> RevocationStatus:
    """The status by a revocation list.

    :raises StatusUnknown: when the list is invalid, too old, or not the issuer's
    """
    try:
        return _from_crl(x509.load_der_x509_crl(content), certificate, issuer, at)
    except _UNREADABLE as error:
        raise StatusUnknown(f"its revocation list is invalid ({type(error).__name__})") from None


def _from_ocsp(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime
) -> RevocationStatus:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise StatusUnknown(f"the OCSP responder refuses to answer ({response.response_status.name.lower()})")
    _check_responder(response, issuer, at)
    for single in response.responses:
        if _is_about(single, certificate, issuer):
            break
    else:
        raise StatusUnknown("the OCSP response is about another certificate")
    until = _current(single.this_update_utc, single.next_update_utc, at)
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        return RevocationStatus(single.revocation_time_utc or at, until)
    if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise StatusUnknown("the OCSP responder does not know the certificate")
    return RevocationStatus(None, until)


def _is_about(single: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether a status is the certificate's: a responder may use another hash for the names than the request."""
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, single.hash_algorithm).build()
    return (single.serial_number, single.issuer_key_hash, single.issuer_name_hash) == (
        request.serial_number,
        request.issuer_key_hash,
        request.issuer_name_hash,
    )


def _check_responder(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> None:
    """Check that the issuer signed the response, or a responder to which it delegated that (RFC 6960, 4.2.2.2)."""
    signer = issuer
    for delegate in response.certificates:
        named = response.responder_name in (None, delegate.subject)
        purposes = extension(delegate, x509.ExtendedKeyUsage)
        if named and delegate != issuer and purposes and ExtendedKeyUsageOID.OCSP_SIGNING in purposes.value:
            delegate.verify_directly_issued_by(issuer)
            if not delegate.not_valid_before_utc <= at <= delegate.not_valid_after_utc:
                raise StatusUnknown("the certificate of the OCSP responder is not valid now")
            signer = delegate
            break
    algorithm, key = response.signature_hash_algorithm, signer.public_key()
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise StatusUnknown("the OCSP response is signed with a weak hash")
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
    else:
        raise StatusUnknown("the OCSP response is signed with a key of an unknown kind")


def _from_crl(
    crl: x509.CertificateRevocationList, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime
) -> RevocationStatus:
    usage = extension(issuer, x509.KeyUsage)
    if crl.issuer != issuer.subject or usage is None or not usage.value.crl_sign:
        raise StatusUnknown("the revocation list is not from the certificate's issuer")
    if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # any other kind raises TypeError
        raise StatusUnknown("the signature of the revocation list is invalid")
    until = _current(crl.last_update_utc, crl.next_update_utc, at)
    for part in crl.extensions:
        if isinstance(part.value, x509.IssuingDistributionPoint):
            if _leaves_out(part.value, certificate):
                raise StatusUnknown("the revocation list does not cover the certificate")
        elif part.critical:
            raise StatusUnknown("the revocation list is of an unsupported kind")
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return RevocationStatus(None if entry is None else entry.revocation_date_utc, until)


def _leaves_out(scope: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    authority = constraints is not None and constraints.value.ca
    partial = scope.only_some_reasons is not None or scope.indirect_crl or scope.only_contains_attribute_certs
    return partial or (scope.only_contains_user_certs if authority else scope.only_contains_ca_certs)


def _current(since: datetime, until: datetime | None, at: datetime) -> datetime:
    if until is None:
        raise StatusUnknown("its status has no end, so it may be an old one")
    if not since - CLOCKS_DIFFER <= at <= until + CLOCKS_DIFFER:
        raise StatusUnknown(f"its status is of another time, until {until:%Y-%m-%d %H:%M} UTC")
    return until


def _responders(certificate: x509.Certificate) -> list[x509.GeneralName]:
    access = extension(certificate, x509.AuthorityInformationAccess)
    described = access.value if access is not None else ()
    return [entry.access_location for entry in described if entry.access_method == AuthorityInformationAccessOID.OCSP]


def _urls(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    found = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    return tuple(dict.fromkeys(url for url in found if url.lower().startswith("http://")))
