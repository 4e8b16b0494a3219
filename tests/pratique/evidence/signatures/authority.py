"""A certificate authority and its signers, to build envelopes that are valid except for one part."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID, ObjectIdentifier

from pratique.errors import SignatureRejected
from pratique.evidence.signatures.identities import parse_identities
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.signatures.verify import Signer, verify
from pratique.images import Descriptor

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ARTIFACT = Descriptor("application/vnd.oci.image.manifest.v1+json", "sha256:" + "a1" * 32, 811)
PAYLOAD = {"targetArtifact": {"mediaType": ARTIFACT.media_type, "digest": ARTIFACT.digest, "size": ARTIFACT.size}}
CONTENT_TYPE = "application/vnd.cncf.notary.payload.v1+json"
SCHEME = "io.cncf.notary.signingScheme"
SIGNING_TIME = "io.cncf.notary.signingTime"
EXPIRY = "io.cncf.notary.expiry"
JWS, COSE = "application/jose+json", "application/cose"
COSE_ALGORITHMS = {"PS256": -37, "PS384": -38, "PS512": -39, "ES256": -7, "ES384": -35, "ES512": -36}

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """A different key for each name."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


@dataclass(frozen=True)
class Template:
    """A certificate template; the defaults are those of a valid signing certificate."""

    name: str
    issuer: str = "root"
    authority: bool = False
    path_length: int | None = None
    begins: datetime = NOW - DAY
    ends: datetime = NOW + DAY
    may_sign: bool = True
    purposes: tuple[ObjectIdentifier, ...] = (Purpose.CODE_SIGNING,)

    def make(self, private: Key, issuer_key: Key) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.issuer)]))
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.begins)
            .not_valid_after(self.ends)
            .add_extension(x509.BasicConstraints(self.authority, self.path_length), critical=True)
            .add_extension(self._usage(), critical=True)
        )
        if not self.authority and self.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.purposes), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    def _usage(self) -> x509.KeyUsage:
        signs = self.may_sign and not self.authority
        return x509.KeyUsage(
            signs, False, not signs and not self.authority, False, False, self.authority, False, False, False
        )


ROOT = Template("root", authority=True)
LEAF = Template("signer")


@cache
def root() -> x509.Certificate:
    return ROOT.make(key("root"), key("root"))


@cache
def leaf() -> x509.Certificate:
    return LEAF.make(key("leaf"), key("root"))


ANYBODY = parse_identities(["*"])
TRUST = TrustStore((root(),), ANYBODY)
THUMBPRINT = hashlib.sha256(leaf().public_bytes(serialization.Encoding.DER)).hexdigest()


@dataclass
class Draft:
    """A draft of an envelope; the defaults give a valid one.

    :ivar critical: ``None`` leaves it out
    :ivar headers: the named headers, with datetimes to be written in the envelope's format; ``None`` omits a header
    """

    algorithm: object = "ES256"
    content_type: object = CONTENT_TYPE
    critical: object = (SCHEME,)
    headers: dict[str, object] = field(default_factory=dict)
    payload: Any = field(default_factory=lambda: PAYLOAD)
    chain: tuple[x509.Certificate, ...] = field(default_factory=lambda: (leaf(), root()))
    private: Key = field(default_factory=lambda: key("leaf"))

    def write(self, form: str) -> bytes:
        return json.dumps(self.jws()).encode() if form == JWS else cbor2.dumps(self.cose())

    def jws(self) -> dict[str, Any]:
        """Members of the flattened JWS."""
        protected = {"alg": self.algorithm, "cty": self.content_type, "crit": self.critical, **self._named(_rfc3339)}
        header = base64url(json.dumps({k: v for k, v in protected.items() if v is not None}).encode())
        payload = base64url(json.dumps(self.payload).encode())
        return {
            "payload": payload,
            "protected": header,
            "header": {"x5c": [base64.b64encode(der(certificate)).decode() for certificate in self.chain]},
            "signature": base64url(self.sign(f"{header}.{payload}".encode())),
        }

    def cose(self) -> cbor2.CBORTag:
        algorithm = self.algorithm
        identifier = COSE_ALGORITHMS.get(algorithm, algorithm) if isinstance(algorithm, str) else algorithm
        critical = list(self.critical) if isinstance(self.critical, tuple) else self.critical
        protected: dict[int | str, object] = {1: identifier, 2: critical, 3: self.content_type}
        protected.update(self._named(_epoch))
        return self.sign1(cbor2.dumps({k: v for k, v in protected.items() if v is not None}))

    def sign1(self, protected: bytes, payload: bytes | None = None) -> cbor2.CBORTag:
        """A COSE_Sign1 with this protected header and a matching signature (RFC 9052, section 4.4)."""
        content = json.dumps(self.payload).encode() if payload is None else payload
        structure = b"\x84\x6aSignature1" + cbor2.dumps(protected) + b"\x40" + cbor2.dumps(content)
        return cbor2.CBORTag(18, [protected, {33: list(map(der, self.chain))}, content, self.sign(structure)])

    def _named(self, time: Callable[[datetime], object]) -> dict[str, object]:
        named = {SCHEME: "notary.x509", SIGNING_TIME: NOW - timedelta(hours=1), **self.headers}
        return {name: time(value) if isinstance(value, datetime) else value for name, value in named.items()}

    def sign(self, message: bytes) -> bytes:
        own = {2048: "256", 3072: "384", 4096: "512", 384: "384", 521: "512"}.get(self.private.key_size, "256")
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[own]
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
        width = (self.private.key_size + 7) // 8
        return r.to_bytes(width) + s.to_bytes(width)


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def check(envelope: bytes, form: str, *, artifact: Descriptor = ARTIFACT, trust: TrustStore = TRUST) -> Signer:
    return verify(envelope, media_type=form, artifact=artifact, trust=trust, at=NOW)


def refused(envelope: bytes, form: str, **options: Any) -> str:
    """The observation of the error that verification raises."""
    with pytest.raises(SignatureRejected) as error:
        check(envelope, form, **options)
    assert error.value.subject == ARTIFACT.digest
    return error.value.observed


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _epoch(moment: datetime) -> cbor2.CBORTag:
    return cbor2.CBORTag(1, int(moment.timestamp()))
