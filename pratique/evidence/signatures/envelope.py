"""What both envelopes of the Notary Project hold, whichever way they write it down.

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
TIMES = frozenset({SIGNING_TIME, EXPIRY})

LARGEST = 64 * 1024  # bytes of an envelope; a chain and a timestamp take a third of it
_LONGEST_CHAIN = 8


class MalformedEnvelope(Exception):
    """Why an envelope is refused, in a sentence."""


@dataclass(frozen=True)
class Envelope:
    """An envelope that could be read. Nothing in it has been checked, not even the types of ``object``.

    :ivar algorithm: by the name that JSON Web Algorithms give it, such as ``PS256``
    :ivar critical: names of the headers that the signer wants understood
    :ivar headers: protected headers that have a name; those of ``TIMES`` as datetimes
    :ivar signed: the bytes that the signature is over
    :ivar chain: from the signing certificate to the root
    """

    algorithm: object
    content_type: object
    critical: object
    headers: Mapping[str, object]
    payload: bytes
    signed: bytes
    signature: bytes
    chain: tuple[x509.Certificate, ...]


def certificates(chain: object) -> tuple[x509.Certificate, ...]:
    """A certificate chain from its DER encodings."""
    if not isinstance(chain, list) or not 1 <= len(chain) <= _LONGEST_CHAIN:
        raise MalformedEnvelope("The certificate chain is missing, or longer than any that is in use.")
    if not all(isinstance(der, bytes) for der in chain):
        raise MalformedEnvelope("The certificate chain has an entry that is no certificate.")
    return tuple(x509.load_der_x509_certificate(der) for der in chain)
