"""Signatures are believed only when somebody trusted signed exactly this artifact."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError, SignatureRejected
from pratique.oci.descriptor import Descriptor
from pratique.oci.notation import Signer, TrustStore, verify

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ARTIFACT = Descriptor("application/vnd.oci.image.manifest.v1+json", "sha256:" + "a1" * 32, 811)
SCHEME = "io.cncf.notary.signingScheme"
PROTECTED = {
    "alg": "ES256",
    "cty": "application/vnd.cncf.notary.payload.v1+json",
    SCHEME: "notary.x509",
    "io.cncf.notary.signingTime": "2026-11-23T11:00:00Z",
    "crit": [SCHEME],
}
PAYLOAD = {"targetArtifact": {"mediaType": ARTIFACT.media_type, "digest": ARTIFACT.digest, "size": ARTIFACT.size}}

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """A key of its own for each name."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


@dataclass(frozen=True)
class Template:
    """A certificate to be made; the defaults are those of a good signing certificate."""

    name: str
    issuer: str = "root"
    authority: bool = False
    path_length: int | None = None
    begins: datetime = NOW - DAY
    ends: datetime = NOW + DAY
    may_sign: bool = True
    purposes: tuple[ObjectIdentifier, ...] = (Purpose.CODE_SIGNING,)

    def make(self, private: Key, issuer_key: Key, digest: Any = None) -> x509.Certificate:
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
        return builder.sign(issuer_key, digest or hashes.SHA256())

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


TRUST = TrustStore((root(),))


@dataclass
class Envelope:
    """An envelope under construction; untouched it is a good one."""

    protected: dict[str, Any] = field(default_factory=lambda: dict(PROTECTED))
    payload: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(PAYLOAD)))
    chain: tuple[x509.Certificate, ...] = field(default_factory=lambda: (leaf(), root()))
    private: Key = field(default_factory=lambda: key("leaf"))

    def parts(self) -> dict[str, Any]:
        header, payload = encode(json.dumps(self.protected).encode()), encode(json.dumps(self.payload).encode())
        return {
            "payload": payload,
            "protected": header,
            "header": {"x5c": [base64.b64encode(der(certificate)).decode() for certificate in self.chain]},
            "signature": encode(sign(self.private, str(self.protected.get("alg")), f"{header}.{payload}".encode())),
        }

    def bytes(self) -> bytes:
        return json.dumps(self.parts()).encode()


def sign(private: Key, algorithm: str, message: bytes) -> bytes:
    """As RFC 7518 says for the algorithm; an HMAC is made with the public key, as its forgers do."""
    if algorithm == "none":
        return b"\0"
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]
    if algorithm.startswith("HS"):
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hmac.digest(public, message, "sha256")
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
    width = (private.key_size + 7) // 8
    return r.to_bytes(width) + s.to_bytes(width)


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def check(envelope: bytes, *, artifact: Descriptor = ARTIFACT, trust: TrustStore = TRUST) -> Signer:
    return verify(envelope, artifact=artifact, trust=trust, at=NOW)


def refused(envelope: bytes, **options: Any) -> str:
    """What the refusal observed."""
    with pytest.raises(SignatureRejected) as error:
        check(envelope, **options)
    assert error.value.subject == ARTIFACT.digest
    return error.value.observed


def test_good_signature() -> None:
    """A signature that is right in all parts names its signer."""
    signer = check(Envelope().bytes())
    assert signer.subject == "CN=signer"
    assert signer.thumbprint == hashlib.sha256(der(leaf())).hexdigest()
    assert signer.signed_at == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("algorithm", "private"),
    [
        ("PS256", rsa_key(2048)),
        ("PS384", rsa_key(3072)),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("ES512", ec.generate_private_key(ec.SECP521R1())),
    ],
)
def test_algorithms(algorithm: str, private: Key) -> None:
    """Each algorithm of the specification is read, when it is the signing key's own."""
    chain = (LEAF.make(private, key("root")), root())
    assert check(Envelope({**PROTECTED, "alg": algorithm}, chain=chain, private=private).bytes()).subject == "CN=signer"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384", "PS256", "RS256", "es256", "", None, 7])
def test_algorithm_substitution(algorithm: object) -> None:
    """The key decides about the algorithm: no header talks the verifier into another."""
    parts = Envelope({**PROTECTED, "alg": "HS256" if algorithm == "HS256" else "ES256"}).parts()
    parts["protected"] = encode(json.dumps({**PROTECTED, "alg": algorithm}).encode())
    assert "algorithm" in refused(json.dumps(parts).encode())


def test_wrong_key() -> None:
    """A signature made with a key other than the certificate's is refused."""
    assert "does not match its key" in refused(Envelope(private=key("somebody")).bytes())


def test_rsa_of_odd_size() -> None:
    """RSA sizes that the specification has no algorithm for are refused."""
    chain = (LEAF.make(rsa_key(1024), key("root")), root())
    assert "algorithm" in refused(Envelope({**PROTECTED, "alg": "PS256"}, chain=chain, private=rsa_key(1024)).bytes())


@pytest.mark.parametrize(
    "other",
    [
        replace(ARTIFACT, digest="sha256:" + "b2" * 32),
        replace(ARTIFACT, size=812),
        replace(ARTIFACT, media_type="application/vnd.oci.image.index.v1+json"),
    ],
)
def test_other_artifact(other: Descriptor) -> None:
    """A good signature of something else proves nothing about this artifact."""
    with pytest.raises(SignatureRejected, match="another artifact"):
        check(Envelope().bytes(), artifact=other)


@pytest.mark.parametrize("payload", [{}, {"targetArtifact": None}, {"targetArtifact": {"size": True}}])
def test_payload_without_artifact(payload: dict[str, Any]) -> None:
    """A payload that names no artifact is refused."""
    refused(Envelope(payload=payload).bytes())


def test_any_change_breaks_it() -> None:
    """Payload and protected header are both under the signature."""
    for part, content in (("payload", PAYLOAD), ("protected", PROTECTED)):
        parts = Envelope().parts()
        parts[part] = encode(json.dumps({**content, "more": 1}).encode())
        assert "does not match its key" in refused(json.dumps(parts).encode())


@pytest.mark.parametrize(
    "late", [replace(LEAF, ends=NOW - timedelta(minutes=1)), replace(LEAF, begins=NOW - timedelta(minutes=1))]
)
def test_validity_of_signer(late: Template) -> None:
    """The signing certificate must have been valid when it signed, and be valid now."""
    assert "not valid" in refused(Envelope(chain=(late.make(key("leaf"), key("root")), root())).bytes())


def test_expired_root() -> None:
    """An expired root ends the trust in everything below, even while it is in the trust store."""
    old = replace(ROOT, ends=NOW - timedelta(minutes=1)).make(key("root"), key("root"))
    assert "not valid" in refused(Envelope(chain=(leaf(), old)).bytes(), trust=TrustStore((old,)))


def test_untrusted_root() -> None:
    """A flawless chain to a stranger's root is refused, also when the stranger took the root's name."""
    stranger = ROOT.make(key("stranger"), key("stranger"))
    chain = (LEAF.make(key("leaf"), key("stranger")), stranger)
    assert "not in the trust store" in refused(Envelope(chain=chain).bytes())


def test_chain_that_does_not_chain() -> None:
    """Naming the trusted root beside somebody else's certificate does not help."""
    chain = (LEAF.make(key("leaf"), key("stranger")), root())
    assert "does not match its key" in refused(Envelope(chain=chain).bytes())


def test_chain_without_root() -> None:
    """The chain has to be complete, in order, and to end in a self-signed root."""
    for chain in ((leaf(),), (root(), leaf()), (leaf(), root(), root(), leaf()), ()):
        refused(Envelope(chain=chain).bytes())


def test_intermediate() -> None:
    """An intermediate authority is accepted where the root permits one, and is not where it does not."""
    template = Template("intermediate", authority=True)
    intermediate = template.make(key("intermediate"), key("root"))
    signer = replace(LEAF, issuer="intermediate").make(key("leaf"), key("intermediate"))
    assert check(Envelope(chain=(signer, intermediate, root())).bytes()).subject == "CN=signer"
    strict = replace(ROOT, path_length=0).make(key("root"), key("root"))
    envelope = Envelope(chain=(signer, intermediate, strict)).bytes()
    assert "longer than it permits" in refused(envelope, trust=TrustStore((strict,)))


def test_leaf_as_authority() -> None:
    """A signing certificate cannot issue another one."""
    below = replace(LEAF, name="below", issuer="signer").make(key("below"), key("leaf"))
    assert "authority" in refused(Envelope(chain=(below, leaf(), root()), private=key("below")).bytes())


@pytest.mark.parametrize(
    "bad",
    [
        replace(LEAF, may_sign=False),
        replace(LEAF, authority=True),
        *(
            replace(LEAF, purposes=(Purpose.CODE_SIGNING, purpose))
            for purpose in (Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH, Purpose.TIME_STAMPING, Purpose.EMAIL_PROTECTION)
        ),
        replace(LEAF, purposes=(Purpose.ANY_EXTENDED_KEY_USAGE,)),
    ],
)
def test_certificates_for_other_purposes(bad: Template) -> None:
    """A web server's certificate of the same authority signs nothing."""
    refused(Envelope(chain=(bad.make(key("leaf"), key("root")), root())).bytes())


def test_purposes_are_optional() -> None:
    """A signing certificate without extended key usage is a good one."""
    chain = (replace(LEAF, purposes=()).make(key("leaf"), key("root")), root())
    assert check(Envelope(chain=chain).bytes()).subject == "CN=signer"


@pytest.mark.parametrize(
    "change",
    [
        {"crit": None},
        {"crit": []},
        {"crit": [SCHEME, SCHEME]},
        {"crit": [SCHEME, "b64"], "b64": False},
        {"crit": [SCHEME, "io.cncf.notary.expiry"]},
        {"crit": ["io.cncf.notary.expiry"], "io.cncf.notary.expiry": "2027-01-01T00:00:00Z"},
        {"crit": [{}]},
        {"io.cncf.notary.verificationPlugin": "some-plugin"},
        {SCHEME: "notary.x509.signingAuthority"},
        {"cty": "application/json"},
        {"io.cncf.notary.signingTime": None},
        {"io.cncf.notary.signingTime": "yesterday"},
        {"io.cncf.notary.signingTime": "2026-11-23T11:00:00"},
        {"crit": [SCHEME, "io.cncf.notary.expiry"], "io.cncf.notary.expiry": "2026-11-23T11:59:59Z"},
        {"io.cncf.notary.expiry": "2027-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_protected_headers(change: dict[str, Any]) -> None:
    """What the signer calls critical must be understood, and what must be there must make sense."""
    refused(Envelope({**PROTECTED, **change}).bytes())


def test_expiry_in_time() -> None:
    """A signature that expires later is a good one today."""
    expiry = "io.cncf.notary.expiry"
    envelope = Envelope({**PROTECTED, "crit": [SCHEME, expiry], expiry: "2026-11-24T00:00:00Z"})
    assert check(envelope.bytes()).subject == "CN=signer"


def test_other_serialisations() -> None:
    """Only the flattened form is read: members that nobody signed about are refused."""
    parts = Envelope().parts()
    refused(json.dumps({**parts, "signatures": []}).encode())
    refused(f"{parts['protected']}.{parts['payload']}.{parts['signature']}".encode())
    refused(json.dumps({**parts, "payload": parts["payload"] + "=="}).encode())
    refused(json.dumps(parts).replace('{"payload"', '{"payload": "e30", "payload"').encode())
    refused(json.dumps({**parts, "header": {"x5c": ["AAAA", "not base64"]}}).encode())


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode) | st.just(b"[" * 100_000))
def test_garbage(envelope: bytes) -> None:
    """Whatever else the registry serves is refused by the same error."""
    refused(envelope)


@given(st.data())
def test_flipped_bit(data: st.DataObject) -> None:
    """A single flipped bit never makes another signer, and mostly makes no envelope at all."""
    envelope = bytearray(Envelope().bytes())
    position = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[position // 8] ^= 1 << position % 8
    try:
        signer = check(bytes(envelope))
    except SignatureRejected:
        return
    assert signer.thumbprint == hashlib.sha256(der(leaf())).hexdigest()


def test_trust_store(tmp_path: Path) -> None:
    """A trust store holds every certificate of its files, and must hold one."""
    path, empty = tmp_path / "roots.pem", tmp_path / "empty.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(root().public_bytes(pem) + leaf().public_bytes(pem))
    assert TrustStore.load([path]) == TrustStore((root(), leaf()))
    empty.write_text("")
    for paths in ([], [empty], [path, tmp_path / "missing.pem"]):
        with pytest.raises(ConfigurationError):
            TrustStore.load(paths)
