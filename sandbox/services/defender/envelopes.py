"""The two signature envelopes of the Notary Project: JWS and COSE.

Sources: Notary Project, "JWS Signature Envelope" and "COSE Sign1 Signature Envelope"; RFC 9052, section 4.4.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.services.oci.manifests import encoded

Form = Literal["jws", "cose"]

MEDIA_TYPES: dict[Form, str] = {"jws": "application/jose+json", "cose": "application/cose"}

_PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
_SCHEME = "io.cncf.notary.signingScheme"
_SIGNING_TIME = "io.cncf.notary.signingTime"
_AGENT = {"io.cncf.notary.signingAgent": "azure-sandbox"}
_SIGN1, _EPOCH = 18, 1  # CBOR tags
_ALG, _CRIT, _CONTENT_TYPE, _X5CHAIN = 1, 2, 3, 33  # COSE header labels
_PS256 = -37


@dataclass(frozen=True)
class Identity:
    """An RSA key of 2048 bits and its certificate chain, leaf first."""

    key: rsa.RSAPrivateKey
    chain: Sequence[x509.Certificate]

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PSS with SHA-256."""
        digest = hashes.SHA256()
        return self.key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)

    def ders(self) -> list[bytes]:
        return [certificate.public_bytes(Encoding.DER) for certificate in self.chain]


def sign_payload(form: Form, payload: bytes, identity: Identity, signed: datetime) -> bytes:
    """Sign a payload and return the envelope.

    :param signed: the signing time in the envelope
    """
    return _jws(payload, identity, signed) if form == "jws" else _cose(payload, identity, signed)


def _jws(content: bytes, identity: Identity, signed: datetime) -> bytes:
    """Flattened JWS with an unprotected header."""
    protected = {
        "alg": "PS256",
        "cty": _PAYLOAD,
        _SCHEME: "notary.x509",
        _SIGNING_TIME: signed.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "crit": [_SCHEME],
    }
    header, payload = _base64url(encoded(protected)), _base64url(content)
    unprotected = {"x5c": [base64.b64encode(der).decode() for der in identity.ders()], **_AGENT}
    signature = _base64url(identity.sign(f"{header}.{payload}".encode()))
    return encoded({"payload": payload, "protected": header, "header": unprotected, "signature": signature})


def _cose(payload: bytes, identity: Identity, signed: datetime) -> bytes:
    """Tagged COSE_Sign1; maps in the deterministic order that Notation's tools write."""
    header: dict[int | str, object] = {
        _ALG: _PS256,
        _CRIT: [_SCHEME],
        _CONTENT_TYPE: _PAYLOAD,
        _SCHEME: "notary.x509",
        _SIGNING_TIME: cbor2.CBORTag(_EPOCH, int(signed.timestamp())),
    }
    protected = _deterministic(header)
    signature = identity.sign(_deterministic(["Signature1", protected, b"", payload]))
    unprotected: dict[int | str, object] = {_X5CHAIN: identity.ders()}
    unprotected.update(_AGENT)
    return _deterministic(cbor2.CBORTag(_SIGN1, [protected, unprotected, payload, signature]))


def _deterministic(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
