"""The COSE envelope: a tagged COSE_Sign1.

CBOR can encode one value in several ways, and two parsers can disagree on a map that gives a label twice. Only input
that re-encodes to exactly the same bytes is therefore accepted: definite and shortest lengths, unique labels, and no
trailing bytes.

Source: Notary Project, "COSE Sign1 Signature Envelope"; RFC 9052, sections 3, 4.2 and 4.4; RFC 9360 (x5chain). Hash
envelopes, whose payload is a hash, are rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import cbor2

from pratique.evidence.signatures.envelope import TIMES, TIMESTAMP, Envelope, MalformedEnvelope, certificates

MEDIA_TYPE = "application/cose"

_EPOCH = 1
_ALGORITHM, _CRITICAL, _CONTENT_TYPE, _X5CHAIN = 1, 2, 3, 33
_PAYLOAD_HASH_ALGORITHM = 258
_ALGORITHMS = {-37: "PS256", -38: "PS384", -39: "PS512", -7: "ES256", -35: "ES384", -36: "ES512"}
_DEEPEST = 8


class _Tags(dict[int, Callable[[Any, bool], Any]]):
    """Leaves tagged values undecoded: CBOR has tags from dates to regular expressions, and none is needed here."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        return lambda value, _: cbor2.CBORTag(tag, value)


def read(content: bytes) -> Envelope:
    """The envelope's parts, unverified.

    :raises MalformedEnvelope: when it is not a COSE_Sign1 in this form
    :raises ValueError: when a certificate cannot be parsed
    """
    protected, unprotected, payload, signature = _sign1(_decoded(content))
    header = _labelled(_decoded(protected))
    if not header.keys().isdisjoint(_labelled(unprotected)):
        raise MalformedEnvelope("A header is both protected and unprotected.")
    if _PAYLOAD_HASH_ALGORITHM in header:
        raise MalformedEnvelope("The payload is only a hash of the signed content.")
    return Envelope(
        algorithm=_algorithm(header.get(_ALGORITHM)),
        content_type=header.get(_CONTENT_TYPE),
        critical=header.get(_CRITICAL),
        headers={
            name: _time(value) if name in TIMES else value for name, value in header.items() if isinstance(name, str)
        },
        payload=payload,
        signed=cbor2.dumps(["Signature1", protected, b"", payload]),
        signature=signature,
        chain=certificates(unprotected.get(_X5CHAIN)),
        timestamp=unprotected.get(TIMESTAMP),
    )


def _sign1(message: object) -> tuple[bytes, dict[object, object], bytes, bytes]:
    match message:
        case cbor2.CBORTag(
            tag=18, value=[bytes() as protected, dict() as unprotected, bytes() as payload, bytes() as signature]
        ):
            return protected, unprotected, payload, signature
    raise MalformedEnvelope("The envelope is not a tagged COSE_Sign1 with its payload.")


def _decoded(content: bytes) -> object:
    try:
        value = cbor2.loads(content, max_depth=_DEEPEST, semantic_decoders=_Tags())
        if cbor2.dumps(value) == content:
            return value
    except cbor2.CBORError as error:
        raise MalformedEnvelope(f"A part of the envelope is not CBOR: {error}.") from None
    raise MalformedEnvelope(
        "A part of the envelope is not in CBOR's preferred form, gives a label twice, or has trailing bytes."
    )


def _labelled(header: object) -> dict[int | str, object]:
    """A map whose labels are integers or texts, not other types that Python compares as equal to them."""
    if not isinstance(header, dict) or not all(type(label) in (int, str) for label in header):
        raise MalformedEnvelope("A header is not a map of labels.")
    return header


def _algorithm(identifier: object) -> str:
    if type(identifier) is not int or identifier not in _ALGORITHMS:
        raise MalformedEnvelope(f"The algorithm {identifier!r} is not in the specification.")
    return _ALGORITHMS[identifier]


def _time(value: object) -> datetime:
    """Tagged seconds since the epoch, without fractions, which the specification advises against."""
    if not isinstance(value, cbor2.CBORTag) or value.tag != _EPOCH or type(value.value) is not int:
        raise MalformedEnvelope("The signing time or the expiry is not a tagged number of seconds.")
    return datetime.fromtimestamp(value.value, UTC)
