"""Verifies who signed an artifact.

In a registry, the signature of an artifact is a referrer of it with one layer, the envelope::

    trust = TrustStore.load(["defender-root.pem"], ["x509.subject: CN=…,O=…,ST=…,C=US"])
    artifact = Descriptor(media_type, digest, size)
    signer = verify(envelope, media_type="application/jose+json", artifact=artifact, trust=trust)

The steps are those of the Notary Project's signature specification. The only supported scheme is ``notary.x509``. The
certificates must have been valid at the signing time, which is the signer's word. They must be valid now as well, or a
trusted timestamp authority must have countersigned the signature while they were. Whether a certificate was revoked is
asked elsewhere, as that takes a network: :mod:`pratique.evidence.revocation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pratique.errors import SignatureRejected
from pratique.evidence.signatures import cose, jws
from pratique.evidence.signatures.chain import check_signing_chain, check_validity
from pratique.evidence.signatures.envelope import (
    EXPIRY,
    LARGEST,
    PAYLOAD_TYPE,
    PREFIX,
    SCHEME,
    SIGNING_TIME,
    Envelope,
    MalformedEnvelope,
)
from pratique.evidence.signatures.strict_json import json_object
from pratique.evidence.signatures.timestamps import Timestamp, timestamp_claims, verify_timestamp
from pratique.evidence.signatures.trust import TrustStore
from pratique.gate.evidence import CLOCKS_DIFFER
from pratique.images import Descriptor

_READERS: Mapping[str, Callable[[bytes], Envelope]] = {jws.MEDIA_TYPE: jws.read, cose.MEDIA_TYPE: cose.read}
ENVELOPE_TYPES = frozenset(_READERS)

_CRITICAL = frozenset({SCHEME, EXPIRY})
_HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_RSA_ALGORITHMS = {2048: "PS256", 3072: "PS384", 4096: "PS512"}
_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    OSError,
    RecursionError,
    AttributeError,
    KeyError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_LONGEST = 400  # characters of an observation, which may quote untrusted text


@dataclass(frozen=True)
class Signer:
    """A verified signer.

    :ivar subject: of the signing certificate, in the form of RFC 4514
    :ivar thumbprint: SHA-256 of the signing certificate, in hexadecimal
    :ivar signed_at: by the signer's own clock
    :ivar chain: from the signing certificate to the root
    :ivar timestamp: when the signature existed; ``None`` when its certificates are valid without it
    """

    subject: str
    thumbprint: str
    signed_at: datetime
    chain: tuple[x509.Certificate, ...] = ()
    timestamp: Timestamp | None = None


@dataclass(frozen=True)
class Claims:
    """What a signature says about itself.

    :ivar chain: from the signing certificate to the root
    :ivar signed_at: by the signer's own clock
    :ivar timestamp: time and certificates of a countersignature
    """

    chain: tuple[x509.Certificate, ...]
    signed_at: datetime | None
    timestamp: tuple[datetime, tuple[x509.Certificate, ...]] | None


def verify(
    envelope: bytes, *, media_type: str, artifact: Descriptor, trust: TrustStore, at: datetime | None = None
) -> Signer:
    """Check that a trusted signer signed exactly this artifact.

    :param envelope: the bytes of the signature's layer
    :param media_type: of that layer
    :param artifact: that must have been signed
    :param at: time of the check; by default the current time
    :raises SignatureRejected: when any check fails
    """
    with _rejections(artifact.digest):
        return _verify(_read(envelope, media_type), artifact, trust, at or datetime.now(UTC))


def claims(envelope: bytes, *, media_type: str, digest: str) -> Claims:
    """What a signature says about itself. Nothing of it is verified.

    :param digest: of the signed artifact, for errors
    :raises SignatureRejected: when it cannot be read
    """
    with _rejections(digest):
        read = _read(envelope, media_type)
        signed_at = read.headers.get(SIGNING_TIME)
        stamped = read.timestamp if isinstance(read.timestamp, bytes) else None
        return Claims(
            read.chain,
            signed_at if isinstance(signed_at, datetime) else None,
            None if stamped is None else timestamp_claims(stamped),
        )


@contextmanager
def _rejections(digest: str) -> Iterator[None]:
    """Turn whatever a malformed envelope causes in the block into a rejection."""
    try:
        yield
        return
    except InvalidSignature:
        observed = "Its signature, or one in its certificate chain, does not match its key."
    except MalformedEnvelope as error:
        observed = str(error)
    except _UNREADABLE as error:
        observed = f"It cannot be read: {error}."
    raise SignatureRejected(
        "verify the signature",
        digest,
        observed[:_LONGEST],
        "Treat the artifact as unsigned. If its signer should be trusted, check the configured trust store.",
    )


def _read(content: bytes, media_type: str) -> Envelope:
    if media_type not in _READERS:
        raise MalformedEnvelope(f"Envelopes of the type {media_type!r} are not supported.")
    if len(content) > LARGEST:
        raise MalformedEnvelope(f"The envelope is larger than {LARGEST} bytes.")
    return _READERS[media_type](content)


def _verify(envelope: Envelope, artifact: Descriptor, trust: TrustStore, at: datetime) -> Signer:
    signed_at = _check_headers(envelope, at)
    certificate = envelope.chain[0]
    check_signing_chain(envelope.chain)
    trust.check(envelope.chain)
    _check_signature(certificate, envelope)
    _check_payload(json_object(envelope.payload), artifact)
    check_validity(envelope.chain, signed_at, f"at the signing time, {signed_at:%Y-%m-%d %H:%M} UTC")
    timestamp = _timestamp(envelope, trust, at)
    thumbprint = certificate.fingerprint(hashes.SHA256()).hex()
    return Signer(certificate.subject.rfc4514_string(), thumbprint, signed_at, envelope.chain, timestamp)


def _timestamp(envelope: Envelope, trust: TrustStore, at: datetime) -> Timestamp | None:
    """Check that the certificates are valid now, or were when a trusted authority saw the signature."""
    if envelope.timestamp is None or not trust.timestamp_authorities:
        hint = ", and no timestamp authority is trusted" if envelope.timestamp is not None else ""
        check_validity(envelope.chain, at, f"now{hint}")
        return None
    if not isinstance(envelope.timestamp, bytes):
        raise MalformedEnvelope("The timestamp is not a string of bytes.")
    timestamp = verify_timestamp(envelope.timestamp, envelope.signature, trust.timestamp_authorities)
    if timestamp.earliest > at + CLOCKS_DIFFER:
        raise MalformedEnvelope(f"The timestamp is from the future, {timestamp.earliest:%Y-%m-%d %H:%M} UTC.")
    for time in (timestamp.earliest, timestamp.latest):
        check_validity(envelope.chain, time, f"at the time of the timestamp, {time:%Y-%m-%d %H:%M:%S} UTC")
    return timestamp


def _check_headers(envelope: Envelope, at: datetime) -> datetime:
    """Check the protected headers, and return the signing time."""
    critical, headers = envelope.critical, envelope.headers
    if not isinstance(critical, list) or not critical or not all(type(name) in (int, str) for name in critical):
        raise MalformedEnvelope("The list of critical headers is missing, or has an invalid entry.")
    if len(set(critical)) != len(critical):
        raise MalformedEnvelope("The list of critical headers has a duplicate.")
    if unknown := [name for name in critical if name not in _CRITICAL or name not in headers]:
        raise MalformedEnvelope(f"Critical headers are missing or not supported: {unknown}.")
    known = _CRITICAL | {SIGNING_TIME}
    if unknown := [name for name in headers if name.startswith(PREFIX) and name not in known]:
        raise MalformedEnvelope(f"Notary Project headers are not supported: {unknown}.")
    if SCHEME not in critical or headers[SCHEME] != "notary.x509":
        raise MalformedEnvelope(f"The signing scheme is not a critical notary.x509: {headers.get(SCHEME)!r}.")
    if envelope.content_type != PAYLOAD_TYPE:
        raise MalformedEnvelope(f"The payload is not of type {PAYLOAD_TYPE}: {envelope.content_type!r}.")
    signed_at, expiry = headers.get(SIGNING_TIME), headers.get(EXPIRY)
    if not isinstance(signed_at, datetime):
        raise MalformedEnvelope("The signing time is missing.")
    if signed_at > at + CLOCKS_DIFFER:
        raise MalformedEnvelope(f"The signing time is in the future, {signed_at:%Y-%m-%d %H:%M} UTC.")
    if expiry is not None and EXPIRY not in critical:
        raise MalformedEnvelope("The signature's expiry is not critical.")
    if isinstance(expiry, datetime) and expiry <= at:
        raise MalformedEnvelope(f"The signature expired at {expiry.isoformat()}.")
    return signed_at


def _check_signature(certificate: x509.Certificate, envelope: Envelope) -> None:
    """Verify with the algorithm that belongs to the key; the header must name the same one ("Algorithm Selection")."""
    key, signature, algorithm = certificate.public_key(), envelope.signature, envelope.algorithm
    if isinstance(key, rsa.RSAPublicKey):
        expected = _RSA_ALGORITHMS.get(key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        expected = _CURVE_ALGORITHMS.get(key.curve.name)
    else:
        expected = None
    if expected is None or algorithm != expected:
        raise MalformedEnvelope(
            f"The algorithm {algorithm!r} does not match the signing key, which needs {expected!r}."
        )
    digest = _HASHES[expected[2:]]
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, envelope.signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        width = (key.key_size + 7) // 8
        if len(signature) != 2 * width:
            raise MalformedEnvelope("The signature does not have the length that its curve requires.")
        halves = int.from_bytes(signature[:width]), int.from_bytes(signature[width:])
        key.verify(encode_dss_signature(*halves), envelope.signed, ec.ECDSA(digest))


def _check_payload(payload: Mapping[str, object], artifact: Descriptor) -> None:
    target = payload.get("targetArtifact")
    if not isinstance(target, dict) or isinstance(target.get("size"), bool):
        raise MalformedEnvelope("The payload names no target artifact.")
    signed = (target.get("mediaType"), target.get("digest"), target.get("size"))
    if signed != (artifact.media_type, artifact.digest, artifact.size):
        raise MalformedEnvelope(f"The signature is about another artifact: {target.get('digest')!r}.")
