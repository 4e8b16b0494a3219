"""Who signed an artifact: signatures of the Notary Project, in their JWS form.

A registry holds the signature of an artifact as a referrer of it, with one layer: the envelope, read here::

    trust = TrustStore.load([Path("defender-root.pem")])
    signer = verify(envelope, artifact=Descriptor(media_type, digest, size), trust=trust)

The steps are those of the Notary Project's signature specification ("Signature Envelope", "Certificate Requirements")
and of its JWS envelope. Played is the scheme ``notary.x509``; the certificates must be valid at the signing time and
now, because timestamp countersignatures are not read. Revocation is not checked: take a root out of the trust store.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID

from pratique.errors import ConfigurationError, SignatureRejected
from pratique.oci.descriptor import Descriptor

ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
ENVELOPE_TYPE = "application/jose+json"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"

_SCHEME = "io.cncf.notary.signingScheme"
_SIGNING_TIME = "io.cncf.notary.signingTime"
_EXPIRY = "io.cncf.notary.expiry"
_CRITICAL = frozenset({_SCHEME, _EXPIRY})

_HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_RSA_ALGORITHMS = {2048: "PS256", 3072: "PS384", 4096: "PS512"}
_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_FORBIDDEN_PURPOSES = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
    }
)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_UNREADABLE_CERTIFICATE = (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_LARGEST_ENVELOPE = 1024 * 1024
_LONGEST_CHAIN = 8

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Signer:
    """Who signed.

    :ivar subject: of the signing certificate, as RFC 4514 writes it
    :ivar thumbprint: SHA-256 of the signing certificate, in hexadecimal
    :ivar signed_at: by the signer's own clock
    """

    subject: str
    thumbprint: str
    signed_at: datetime


@dataclass(frozen=True)
class TrustStore:
    """Certificates one of which must be in a signature's chain."""

    anchors: tuple[x509.Certificate, ...]

    @classmethod
    def load(cls, paths: Iterable[Path]) -> TrustStore:
        """Read PEM files, each with one certificate or more.

        :raises ConfigurationError: when a file cannot be read, or there is no certificate at all
        """
        anchors: list[x509.Certificate] = []
        for path in paths:
            try:
                anchors += x509.load_pem_x509_certificates(path.read_bytes())
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    "read the trusted certificates", str(path), f"{error}.", "Name a PEM file of CA certificates."
                ) from error
        if not anchors:
            raise ConfigurationError(
                "read the trusted certificates",
                "trust store",
                "It is empty, so no signature could ever be trusted.",
                "Name the PEM file of the root that signs the findings artifacts.",
            )
        return cls(tuple(anchors))


class _Defect(Exception):
    """Why an envelope is refused, in a sentence."""


def verify(envelope: bytes, *, artifact: Descriptor, trust: TrustStore, at: datetime | None = None) -> Signer:
    """Check that somebody trusted signed exactly this artifact.

    :param envelope: the bytes of the signature's layer
    :param at: the time of the check, by default the present
    :raises SignatureRejected: when anything at all is amiss
    """
    try:
        return _verify(envelope, artifact, trust, at or datetime.now(UTC))
    except InvalidSignature:
        observed = "A signature in it, or in its certificate chain, does not match its key."
    except _Defect as defect:
        observed = str(defect)
    except (ValueError, TypeError, RecursionError, UnsupportedAlgorithm, *_UNREADABLE_CERTIFICATE) as error:
        observed = f"It cannot be read: {error}."
    raise SignatureRejected(
        "verify the signature",
        artifact.digest,
        observed,
        "Treat the artifact as unsigned. If its signer is right, check the configured trust store.",
    )


def _verify(envelope: bytes, artifact: Descriptor, trust: TrustStore, at: datetime) -> Signer:
    if len(envelope) > _LARGEST_ENVELOPE:
        raise _Defect(f"The envelope is larger than {_LARGEST_ENVELOPE} bytes.")
    parts = _json_object(envelope)
    if set(parts) != {"payload", "protected", "header", "signature"} or not isinstance(parts["header"], dict):
        raise _Defect("The envelope is not a flattened JWS with an unprotected header.")
    chain = _chain(parts["header"].get("x5c"))
    header = _json_object(_base64url(parts["protected"]))
    signed_at = _check_header(header, at)
    _check_chain(chain, trust, (signed_at, at))
    signing_input = f"{parts['protected']}.{parts['payload']}".encode()
    _check_signature(chain[0], header.get("alg"), _base64url(parts["signature"]), signing_input)
    _check_payload(_json_object(_base64url(parts["payload"])), artifact)
    return Signer(chain[0].subject.rfc4514_string(), chain[0].fingerprint(hashes.SHA256()).hex(), signed_at)


def _check_header(header: Mapping[str, Any], at: datetime) -> datetime:
    """The signing time, once every protected header that matters is known to be understood."""
    critical = header.get("crit")
    if not isinstance(critical, list) or not critical or len(set(critical)) != len(critical):
        raise _Defect("The list of critical headers is missing or malformed.")
    if unknown := [name for name in critical if name not in _CRITICAL or name not in header]:
        raise _Defect(f"Critical headers are not understood: {unknown}.")
    known = _CRITICAL | {_SIGNING_TIME}
    if unknown := [name for name in header if name.startswith("io.cncf.notary.") and name not in known]:
        raise _Defect(f"Notary Project headers are not understood: {unknown}.")
    if _SCHEME not in critical or header[_SCHEME] != "notary.x509":
        raise _Defect(f"The signing scheme is not a critical notary.x509: {header.get(_SCHEME)!r}.")
    if header.get("cty") != PAYLOAD_TYPE:
        raise _Defect(f"The payload is not of type {PAYLOAD_TYPE}: {header.get('cty')!r}.")
    if _EXPIRY in header and (_EXPIRY not in critical or _time(header[_EXPIRY]) <= at):
        raise _Defect(f"The signature expired at {header[_EXPIRY]}.")
    return _time(header.get(_SIGNING_TIME))


def _check_signature(certificate: x509.Certificate, algorithm: object, signature: bytes, signed: bytes) -> None:
    """The key decides the algorithm; the header may only agree ("Algorithm Selection")."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        expected = _RSA_ALGORITHMS.get(key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        expected = _CURVE_ALGORITHMS.get(key.curve.name)
    else:
        expected = None
    if expected is None or algorithm != expected:
        raise _Defect(f"The algorithm {algorithm!r} is not the one of the signing key, {expected!r}.")
    digest = _HASHES[expected[2:]]
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        width = (key.key_size + 7) // 8
        if len(signature) != 2 * width:
            raise _Defect("The signature does not have the length that its curve asks for.")
        halves = int.from_bytes(signature[:width]), int.from_bytes(signature[width:])
        key.verify(encode_dss_signature(*halves), signed, ec.ECDSA(digest))


def _check_payload(payload: Mapping[str, Any], artifact: Descriptor) -> None:
    target = payload.get("targetArtifact")
    if not isinstance(target, dict) or isinstance(target.get("size"), bool):
        raise _Defect("The payload names no target artifact.")
    signed = (target.get("mediaType"), target.get("digest"), target.get("size"))
    if signed != (artifact.media_type, artifact.digest, artifact.size):
        raise _Defect(f"The signature is about another artifact: {target.get('digest')!r}.")


def _chain(x5c: object) -> list[x509.Certificate]:
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= _LONGEST_CHAIN:
        raise _Defect("The certificate chain is missing, or longer than any that is in use.")
    return [x509.load_der_x509_certificate(base64.b64decode(text, validate=True)) for text in x5c]


def _check_chain(chain: Sequence[x509.Certificate], trust: TrustStore, moments: Sequence[datetime]) -> None:
    """From the signing certificate to a self-signed root, in order, with an anchor of the trust store among them."""
    for certificate, issuer in zip(chain, (*chain[1:], chain[-1]), strict=True):
        subject = certificate.subject.rfc4514_string()
        certificate.verify_directly_issued_by(issuer)
        if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
            raise _Defect(f"The certificate {subject} is signed with a weak hash.")
        if not all(certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc for at in moments):
            raise _Defect(f"The certificate {subject} was not valid when it signed, or is not valid now.")
    _check_leaf(chain[0])
    for below, authority in enumerate(chain[1:]):
        _check_authority(authority, below)
    if not any(certificate in trust.anchors for certificate in chain):
        raise _Defect(f"The chain ends in {chain[-1].subject.rfc4514_string()}, which is not in the trust store.")


def _check_leaf(certificate: x509.Certificate) -> None:
    """Certificate Requirements, "Leaf Certificates"."""
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.critical:
        raise _Defect("The signing certificate has no critical key usage.")
    bits = usage.value
    other = bits.key_encipherment or bits.data_encipherment or bits.key_agreement or bits.key_cert_sign or bits.crl_sign
    if not bits.digital_signature or other:
        raise _Defect("The signing certificate's key usage is not that of a signer.")
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise _Defect("The signing certificate is a certificate authority's.")
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not _FORBIDDEN_PURPOSES.isdisjoint(purposes.value):
        raise _Defect("The signing certificate is for purposes other than signing.")


def _check_authority(certificate: x509.Certificate, below: int) -> None:
    """Certificate Requirements, "Root and Intermediate CA Certificates".

    :param below: how many other authorities lie between this one and the signing certificate
    """
    subject = certificate.subject.rfc4514_string()
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise _Defect(f"The certificate {subject} is not a certificate authority's.")
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise _Defect(f"The chain below {subject} is longer than it permits.")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise _Defect(f"The certificate {subject} may not issue certificates.")


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _json_object(text: bytes) -> dict[str, Any]:
    value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(value, dict):
        raise _Defect("A part of the envelope is not a JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a name given twice could disagree on its value (RFC 7515, section 4)."""
    if len(dict(pairs)) != len(pairs):
        raise _Defect("A part of the envelope gives a name twice.")
    return dict(pairs)


def _base64url(text: object) -> bytes:
    """RFC 7515's Base64url: no padding, nothing outside the alphabet."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise _Defect("A part of the envelope is not Base64url.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _time(text: object) -> datetime:
    if not isinstance(text, str):
        raise _Defect("The signing time, or the expiry, is missing.")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise _Defect(f"The time {text!r} has no offset.")
    return moment.astimezone(UTC)
