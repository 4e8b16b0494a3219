"""The two signature envelopes of the Notary Project: JWS and COSE.

Sources: Notary Project, "JWS Signature Envelope" and "COSE Sign1 Signature Envelope"; RFC 9052, section 4.4.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import cbor2

from sandbox.services.defender.certificates import Identity
from sandbox.services.oci.manifests import encoded

Form = Literal["jws", "cose"]

MEDIA_TYPES: dict[Form, str] = {"jws": "application/jose+json", "cose": "application/cose"}

_PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
_SCHEME = "io.cncf.notary.signingScheme"
_SIGNING_TIME = "io.cncf.notary.signingTime"
_AGENT = {"io.cncf.notary.signingAgent": "azure-sandbox"}
_SIGN1, _EPOCH = 18, 1  # CBOR tags
_ALG, _CRIT, _CONTENT_TYPE, _X5CHAIN = 1, 2, 3, 33  # COSE header labels
_ALGORITHMS = {2048: ("PS256", -37), 3072: ("PS384", -38)}  # by the size of the key
_TIMESTAMP = "io.cncf.notary.timestampSignature"

Countersign = Callable[[bytes], bytes]


def sign_payload(
    form: Form, payload: bytes, identity: Identity, signed: datetime, countersign: Countersign | None = None
) -> bytes:
    """Sign a payload and return the envelope.

    :param signed: the signing time in the envelope
    :param countersign: gives the timestamp token for the bytes of the signature
    """
    write = _jws if form == "jws" else _cose
    return write(payload, identity, signed, countersign)


def _jws(content: bytes, identity: Identity, signed: datetime, countersign: Countersign | None) -> bytes:
    """Flattened JWS with an unprotected header."""
    protected = {
        "alg": _ALGORITHMS[identity.key.key_size][0],
        "cty": _PAYLOAD,
        _SCHEME: "notary.x509",
        _SIGNING_TIME: signed.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "crit": [_SCHEME],
    }
    header, payload = _base64url(encoded(protected)), _base64url(content)
    unprotected: dict[str, object] = {"x5c": [base64.b64encode(der).decode() for der in identity.ders()], **_AGENT}
    signature = identity.sign(f"{header}.{payload}".encode())
    if countersign is not None:
        unprotected[_TIMESTAMP] = base64.b64encode(countersign(signature)).decode()
    return encoded({"payload": payload, "protected": header, "header": unprotected, "signature": _base64url(signature)})


def _cose(payload: bytes, identity: Identity, signed: datetime, countersign: Countersign | None) -> bytes:
    """Tagged COSE_Sign1; maps in the deterministic order that Notation's tools write."""
    header: dict[int | str, object] = {
        _ALG: _ALGORITHMS[identity.key.key_size][1],
        _CRIT: [_SCHEME],
        _CONTENT_TYPE: _PAYLOAD,
        _SCHEME: "notary.x509",
        _SIGNING_TIME: cbor2.CBORTag(_EPOCH, int(signed.timestamp())),
    }
    protected = _deterministic(header)
    signature = identity.sign(_deterministic(["Signature1", protected, b"", payload]))
    unprotected: dict[int | str, object] = {_X5CHAIN: identity.ders()}
    unprotected.update(_AGENT)
    if countersign is not None:
        unprotected[_TIMESTAMP] = countersign(signature)
    return _deterministic(cbor2.CBORTag(_SIGN1, [protected, unprotected, payload, signature]))


def _deterministic(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
