"""The content that both envelope formats of the Notary Project share.

Source: Notary Project signature specification, "Signature Envelope".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
PREFIX = "io.cncf.notary."
SCHEME = PREFIX + "signingScheme"
SIGNING_TIME = PREFIX + "signingTime"
EXPIRY = PREFIX + "expiry"
TIMESTAMP = PREFIX + "timestampSignature"
TIMES = frozenset({SIGNING_TIME, EXPIRY})

LARGEST = 64 * 1024  # bytes of an envelope; a chain and a timestamp need about a third of it
LONGEST_CHAIN = 8


class MalformedEnvelope(Exception):
    """An envelope is rejected; the message says why, in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A parsed envelope. Nothing in it has been verified, not even the types of fields declared as ``object``.

    :ivar algorithm: by its name in JSON Web Algorithms, such as ``PS256``
    :ivar critical: names of the headers that a verifier must understand
    :ivar headers: protected headers that have a name; those of ``TIMES`` as datetimes
    :ivar signed: the bytes that the signature covers
    :ivar chain: from the signing certificate to the root
    :ivar timestamp: countersignature of a timestamp authority, outside of what the signature covers
    """

    algorithm: object
    content_type: object
    critical: object
    headers: Mapping[str, object]
    payload: bytes
    signed: bytes
    signature: bytes
    chain: tuple[x509.Certificate, ...]
    timestamp: object = None


def certificates(chain: object) -> tuple[x509.Certificate, ...]:
    """A certificate chain from its DER encodings."""
    if not isinstance(chain, list) or not 1 <= len(chain) <= LONGEST_CHAIN:
        raise MalformedEnvelope(f"The certificate chain is missing, or has more than {LONGEST_CHAIN} certificates.")
    if not all(isinstance(der, bytes) for der in chain):
        raise MalformedEnvelope("The certificate chain has an entry that is not a certificate.")
    return tuple(x509.load_der_x509_certificate(der) for der in chain)
