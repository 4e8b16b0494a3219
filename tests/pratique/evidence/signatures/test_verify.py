"""A signature counts only when a trusted signer signed exactly this artifact, in either envelope."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import SignatureRejected
from pratique.evidence.signatures.envelope import LARGEST
from pratique.evidence.signatures.verify import ENVELOPE_TYPES
from pratique.images import Descriptor
from tests.pratique.evidence.signatures.authority import (
    ARTIFACT,
    COSE,
    DAY,
    EXPIRY,
    JWS,
    LEAF,
    NOW,
    SCHEME,
    SIGNING_TIME,
    THUMBPRINT,
    Draft,
    Key,
    check,
    key,
    refused,
    root,
    rsa_key,
)

FORMS = [JWS, COSE]
both = pytest.mark.parametrize("form", FORMS)


@both
def test_good_signature(form: str) -> None:
    """A valid signature gives its signer."""
    signer = check(Draft().write(form), form)
    assert signer.subject == "CN=signer"
    assert signer.thumbprint == THUMBPRINT
    assert signer.signed_at == NOW - timedelta(hours=1)


def test_media_type() -> None:
    """The media type decides how to parse an envelope: the content is not sniffed, and other types are rejected."""
    assert set(FORMS) == ENVELOPE_TYPES
    assert refused(Draft().write(JWS), COSE)
    assert refused(Draft().write(COSE), JWS)
    for media_type in ("application/JOSE+json", "application/cose; cose-type=cose-sign1", "text/plain", ""):
        assert "are not supported" in refused(Draft().write(JWS), media_type)


@both
@pytest.mark.parametrize(
    ("algorithm", "private"),
    [
        ("PS256", rsa_key(2048)),
        ("PS384", rsa_key(3072)),
        ("PS512", rsa_key(4096)),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("ES512", ec.generate_private_key(ec.SECP521R1())),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_algorithms(form: str, algorithm: str, private: Key) -> None:
    """Each algorithm of the specification is accepted if it matches the signing key."""
    chain = (LEAF.make(private, key("root")), root())
    assert check(Draft(algorithm=algorithm, chain=chain, private=private).write(form), form).subject == "CN=signer"


@both
@pytest.mark.parametrize(
    "algorithm", ["none", "HS256", "ES384", "PS256", "RS256", "es256", "", None, True, 7, -7.0, [], -257, 5]
)
def test_algorithm_substitution(form: str, algorithm: object) -> None:
    """The key decides the algorithm: a header that names another one is rejected."""
    assert "algorithm" in refused(Draft(algorithm=algorithm).write(form), form)


@both
def test_wrong_key(form: str) -> None:
    """A signature made with a key other than the certificate's is rejected."""
    assert "does not match its key" in refused(Draft(private=key("somebody")).write(form), form)


@both
@pytest.mark.parametrize("algorithm", ["PS256", "ES256"])
def test_other_kind_of_key(form: str, algorithm: str) -> None:
    """A signature whose algorithm belongs to another kind of key is rejected."""
    private = rsa_key(2048) if algorithm == "ES256" else key("leaf")
    chain = (LEAF.make(private, key("root")), root())
    assert "algorithm" in refused(Draft(algorithm=algorithm, chain=chain, private=private).write(form), form)


@both
@pytest.mark.parametrize("private", [rsa_key(1024), ec.generate_private_key(ec.SECP256K1())], ids=["1024", "k1"])
def test_key_of_odd_kind(form: str, private: Key) -> None:
    """Keys for which the specification has no algorithm are rejected."""
    chain = (LEAF.make(private, key("root")), root())
    for algorithm in ("PS256", "ES256"):
        assert "algorithm" in refused(Draft(algorithm=algorithm, chain=chain, private=private).write(form), form)


@both
@pytest.mark.parametrize(
    "other",
    [
        replace(ARTIFACT, digest="sha256:" + "b2" * 32),
        replace(ARTIFACT, size=812),
        replace(ARTIFACT, media_type="application/vnd.oci.image.index.v1+json"),
    ],
    ids=["digest", "size", "type"],
)
def test_other_artifact(form: str, other: Descriptor) -> None:
    """A valid signature of another artifact is rejected."""
    with pytest.raises(SignatureRejected, match="another artifact"):
        check(Draft().write(form), form, artifact=other)


@both
@pytest.mark.parametrize(
    "payload", [{}, [], "x", None, {"targetArtifact": None}, {"targetArtifact": {"size": True}}], ids=str
)
def test_payload_without_artifact(form: str, payload: Any) -> None:
    """A payload that names no artifact is rejected."""
    refused(Draft(payload=payload).write(form), form)


@both
def test_signed_with_an_annotation(form: str) -> None:
    """The payload may contain more about the artifact than its descriptor."""
    target = {"mediaType": ARTIFACT.media_type, "digest": ARTIFACT.digest, "size": ARTIFACT.size, "annotations": {}}
    assert check(Draft(payload={"targetArtifact": target}).write(form), form).thumbprint == THUMBPRINT


@both
@pytest.mark.parametrize(
    "draft",
    [
        Draft(critical=None),
        Draft(critical=[]),
        Draft(critical=SCHEME),
        Draft(critical=[SCHEME, SCHEME]),
        Draft(critical=[SCHEME, "b64"], headers={"b64": False}),
        Draft(critical=[SCHEME, 1]),
        Draft(critical=[SCHEME, SIGNING_TIME]),
        Draft(critical=[SCHEME, EXPIRY]),
        Draft(critical=[EXPIRY], headers={EXPIRY: NOW + DAY}),
        Draft(critical=[{}]),
        Draft(critical=[SCHEME, None]),
        Draft(headers={"io.cncf.notary.verificationPlugin": "some-plugin"}),
        Draft(headers={"io.cncf.notary.authenticSigningTime": NOW}),
        Draft(headers={SCHEME: "notary.x509.signingAuthority"}),
        Draft(headers={SCHEME: None}),
        Draft(headers={SCHEME: 7}),
        Draft(content_type="application/json"),
        Draft(content_type=None),
        Draft(content_type=50),
        Draft(headers={SIGNING_TIME: None}),
        Draft(headers={SIGNING_TIME: "yesterday"}),
        Draft(headers={SIGNING_TIME: "2026-11-23T11:00:00"}),
        Draft(headers={SIGNING_TIME: "0001-01-01T00:00:00+23:59"}),
        Draft(headers={SIGNING_TIME: 1795431600}),
        Draft(headers={SIGNING_TIME: NOW - 2 * DAY}),
        Draft(headers={EXPIRY: NOW - timedelta(seconds=1)}, critical=[SCHEME, EXPIRY]),
        Draft(headers={EXPIRY: NOW}, critical=[SCHEME, EXPIRY]),
        Draft(headers={EXPIRY: NOW + DAY}),
        Draft(headers={EXPIRY: "never"}, critical=[SCHEME, EXPIRY]),
    ],
    ids=lambda draft: f"{draft.critical} {draft.headers} {draft.content_type}",
)
def test_protected_headers(form: str, draft: Draft) -> None:
    """Unknown critical headers, and missing or invalid required headers, are rejected."""
    refused(draft.write(form), form)


@both
def test_expiry_in_time(form: str) -> None:
    """A signature that expires in the future is accepted."""
    draft = Draft(critical=[SCHEME, EXPIRY], headers={EXPIRY: NOW + DAY})
    assert check(draft.write(form), form).subject == "CN=signer"


@both
def test_custom_headers(form: str) -> None:
    """Signed headers that are neither critical nor the Notary Project's are ignored."""
    assert check(Draft(headers={"com.example.build": "7"}).write(form), form).thumbprint == THUMBPRINT


@both
def test_size(form: str) -> None:
    """An envelope over the size limit is rejected."""
    assert "larger" in refused(Draft(headers={"com.example.padding": "x" * LARGEST}).write(form), form)


@both
def test_observations_stay_short(form: str) -> None:
    """Untrusted text is quoted only in part."""
    assert len(refused(Draft(critical=[SCHEME, "x" * 10_000]).write(form), form)) < 500


@both
@given(envelope=st.binary(max_size=400) | st.text(max_size=200).map(str.encode) | st.just(b"[" * 60_000))
def test_garbage(form: str, envelope: bytes) -> None:
    """Any other content raises the same error."""
    refused(envelope, form)


@both
@given(data=st.data())
def test_flipped_bit(form: str, data: st.DataObject) -> None:
    """A flipped bit gives the same signer or is rejected; it never gives another signer."""
    envelope = bytearray(GOOD[form])
    position = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[position // 8] ^= 1 << position % 8
    _same_or_refused(bytes(envelope), form)


@both
@given(data=st.data())
def test_replaced_bytes(form: str, data: st.DataObject) -> None:
    """Replaced bytes give the same signer or are rejected."""
    good = GOOD[form]
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(good))] * 2)))
    _same_or_refused(good[:start] + data.draw(st.binary(max_size=12)) + good[end:], form)


@both
@given(data=st.data())
def test_truncated(form: str, data: st.DataObject) -> None:
    """A truncated envelope is rejected."""
    refused(GOOD[form][: data.draw(st.integers(0, len(GOOD[form]) - 1))], form)


GOOD = {form: Draft().write(form) for form in FORMS}


def _same_or_refused(envelope: bytes, form: str) -> None:
    try:
        signer = check(envelope, form)
    except SignatureRejected:
        return
    assert (signer.thumbprint, signer.signed_at) == (THUMBPRINT, NOW - timedelta(hours=1))
