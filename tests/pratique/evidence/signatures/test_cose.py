"""The COSE envelope: rules of this format, and rejection of CBOR's alternative encodings."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.evidence.signatures import cose
from pratique.evidence.signatures.envelope import MalformedEnvelope
from tests.pratique.evidence.signatures.authority import (
    ARTIFACT,
    CONTENT_TYPE,
    COSE,
    NOW,
    PAYLOAD,
    SCHEME,
    SIGNING_TIME,
    THUMBPRINT,
    Draft,
    check,
    der,
    leaf,
    refused,
    root,
)

HEADER: dict[Any, Any] = {
    1: -7,
    2: [SCHEME],
    3: CONTENT_TYPE,
    SCHEME: "notary.x509",
    SIGNING_TIME: cbor2.CBORTag(1, int(NOW.timestamp())),
}


def sealed(protected: bytes, payload: bytes | None = None) -> bytes:
    """A correctly signed envelope with the given protected header."""
    return cbor2.dumps(Draft().sign1(protected, payload))


def with_parts(**changes: Any) -> bytes:
    """A valid envelope with some of its four parts replaced after signing."""
    message = Draft().cose()
    parts = dict(zip(("protected", "unprotected", "payload", "signature"), message.value, strict=True))
    return cbor2.dumps(cbor2.CBORTag(18, list({**parts, **changes}.values())))


def text(value: str) -> bytes:
    return cbor2.dumps(value)


def test_header_by_hand() -> None:
    """The header that the tests below change is valid, in the order of the specification and in another order."""
    assert check(sealed(cbor2.dumps(HEADER)), COSE).thumbprint == THUMBPRINT
    assert check(sealed(cbor2.dumps(HEADER, canonical=True)), COSE).thumbprint == THUMBPRINT
    assert check(sealed(cbor2.dumps(dict(reversed(HEADER.items())))), COSE).signed_at == NOW


def test_any_change_breaks_it() -> None:
    """The signature covers both the payload and the protected header."""
    payload = json.dumps({**PAYLOAD, "more": 1}).encode()
    for change in ({"payload": payload}, {"protected": cbor2.dumps({**HEADER, "more": 1})}):
        assert "does not match its key" in refused(with_parts(**change), COSE)


@pytest.mark.parametrize(
    "signature",
    [b"", b"\0" * 64, Draft().cose().value[3] + b"\0", Draft().cose().value[3][:-1], "text", None],
    ids=["empty", "zeros", "longer", "shorter", "text", "none"],
)
def test_changed_signature(signature: object) -> None:
    """A signature that is different, too long, too short or missing is rejected."""
    refused(with_parts(signature=signature), COSE)


def test_signature_over_other_bytes() -> None:
    """The signature must cover the Sig_structure of a COSE_Sign1 without additional data, and nothing else."""
    protected, _, payload, _ = Draft().cose().value
    for structure in (
        protected + payload,
        cbor2.dumps(["Signature", protected, b"", payload]),
        cbor2.dumps(["Signature1", protected, b"more", payload]),
        cbor2.dumps(["Signature1", protected, payload]),
    ):
        assert "does not match" in refused(with_parts(signature=Draft().sign(structure)), COSE)


@pytest.mark.parametrize(
    "change",
    [
        {1: "ES256"},
        {1: -37},
        {2: [SCHEME, 2]},
        {2: [SCHEME, cbor2.CBORTag(0, [])]},
        {2: [SCHEME, SCHEME]},
        {2: [SCHEME, 33], 33: []},
        {2: [SCHEME, 100], 100: 1},
        {258: -16},
        {SIGNING_TIME: "2026-11-23T11:00:00Z"},
        {SIGNING_TIME: cbor2.CBORTag(0, "2026-11-23T11:00:00Z")},
        {SIGNING_TIME: cbor2.CBORTag(1, 1.5)},
        {SIGNING_TIME: cbor2.CBORTag(1, True)},
        {SIGNING_TIME: cbor2.CBORTag(1, 2**64 - 1)},
        {SIGNING_TIME: cbor2.CBORTag(1, -(2**64))},
        {SIGNING_TIME: cbor2.CBORTag(1, cbor2.CBORTag(1, 7))},
        {SIGNING_TIME: cbor2.CBORTag(1001, {1: 7})},
        {b"label": 1},
        {True: 1},
        {(1, 2): 1},
        {"deep": [[[[[[[[[[]]]]]]]]]]},
    ],
    ids=str,
)
def test_protected_header(change: dict[Any, Any]) -> None:
    """Headers with the wrong type or tag, and unknown critical headers, are rejected."""
    header = {key: value for key, value in HEADER.items() if key not in change} | change
    refused(sealed(cbor2.dumps(header)), COSE)


def test_missing_headers() -> None:
    """Every entry of the header is required."""
    for name in HEADER:
        refused(sealed(cbor2.dumps({key: value for key, value in HEADER.items() if key != name})), COSE)
    for protected in (b"", b"\xa0", cbor2.dumps(None), cbor2.dumps(list(HEADER))):
        refused(sealed(protected), COSE)


def test_tags_stay_undecoded() -> None:
    """Tags for dates, numbers, expressions or references are not decoded; they are values like any other."""
    for tag in (0, 1, 2, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 55799):
        header = {**HEADER, "com.example.tagged": cbor2.CBORTag(tag, "((a+)+)+$")}
        assert check(sealed(cbor2.dumps(header)), COSE).thumbprint == THUMBPRINT


@pytest.mark.parametrize(
    "unprotected",
    [
        {},
        {33: []},
        {33: der(leaf())},
        {33: [der(leaf())]},
        {33: [der(root()), der(leaf())]},
        {33: ["text", 7]},
        {33: [b"", b""]},
        {33: {0: der(leaf())}},
        {33: [der(leaf()), der(root())], 1: -7},
        {33: [der(leaf()), der(root())], SCHEME: "notary.x509"},
        {33: [der(leaf()), der(root())], b"label": 1},
        {"x5chain": [der(leaf()), der(root())]},
        [],
    ],
    ids=lambda value: type(value).__name__,  # not the value: keys are made anew for each run
)
def test_unprotected_header(unprotected: object) -> None:
    """The unprotected header must contain the chain, and must not repeat a protected header."""
    refused(with_parts(unprotected=unprotected), COSE)


def test_agent_and_timestamp() -> None:
    """Other entries that the specification allows in the unprotected header are ignored."""
    unprotected = {
        33: [der(leaf()), der(root())],
        "io.cncf.notary.signingAgent": "x/1",
        "io.cncf.notary.timestampSignature": b"\0",
    }
    assert check(with_parts(unprotected=unprotected), COSE).thumbprint == THUMBPRINT


@pytest.mark.parametrize("other", [None, 17, 61, 97, 98, 96])
def test_other_messages(other: int | None) -> None:
    """Only a tagged COSE_Sign1 is accepted: the same parts without a tag, or with another one, are rejected."""
    parts = Draft().cose().value
    refused(cbor2.dumps(parts if other is None else cbor2.CBORTag(other, parts)), COSE)
    refused(cbor2.dumps(cbor2.CBORTag(18, parts[:3])), COSE)
    refused(cbor2.dumps(cbor2.CBORTag(18, [*parts, b""])), COSE)
    refused(cbor2.dumps(cbor2.CBORTag(55799, Draft().cose())), COSE)


def test_detached_payload() -> None:
    """A detached payload is rejected."""
    refused(with_parts(payload=None), COSE)
    refused(with_parts(payload=PAYLOAD), COSE)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[" * 10_000,
        b'{"targetArtifact": {}, "targetArtifact": {}}',
        json.dumps(PAYLOAD).encode("utf-16"),
        cbor2.dumps(PAYLOAD),
        ARTIFACT.digest.encode(),
    ],
    ids=lambda value: str(value[:20]),
)
def test_payload(payload: bytes) -> None:
    """The payload must be JSON, as in the other envelope."""
    refused(sealed(cbor2.dumps(HEADER), payload), COSE)


# The header's map in other encodings, for example with a label twice, or without a length.
ENTRIES = cbor2.dumps(HEADER)[1:]
OTHER_ENCODINGS = {
    "label twice": b"\xa6" + ENTRIES + b"\x01\x26",
    "label twice, other value": b"\xa6" + b"\x01\x38\x24" + ENTRIES,
    "name twice": b"\xa6" + ENTRIES + text(SCHEME) + text("notary.x509.signingAuthority"),
    "map without length": b"\xbf" + ENTRIES + b"\xff",
    "length in a byte": b"\xb8\x05" + ENTRIES,
    "length in eight bytes": b"\xbb" + b"\0" * 7 + b"\x05" + ENTRIES,
    "label in two bytes": b"\xa5" + b"\x18\x01" + ENTRIES[1:],
    "algorithm in two bytes": b"\xa5" + b"\x01\x38\x06" + ENTRIES[2:],
    "text in pieces": b"\xa5"
    + ENTRIES.replace(text("notary.x509"), b"\x7f" + text("notary.") + text("x509") + b"\xff"),
    "tag in two bytes": b"\xa5" + ENTRIES.replace(b"\xc1\x1a", b"\xd8\x01\x1a"),
    "time as a float": b"\xa5" + ENTRIES.replace(cbor2.dumps(HEADER[SIGNING_TIME]), b"\xc1" + cbor2.dumps(1.0e9)),
    "label as a float": b"\xa5" + b"\xf9\x3c\x00" + ENTRIES[1:],
    "label as a long float": b"\xa5" + cbor2.dumps(1.0) + ENTRIES[1:],
    "label as a big number": b"\xa5" + b"\xc2\x41\x01" + ENTRIES[1:],
    "bytes behind": b"\xa5" + ENTRIES + b"\0",
    "entry missing": b"\xa6" + ENTRIES,
    "entry too many": b"\xa4" + ENTRIES,
    "invalid text": b"\xa5" + ENTRIES.replace(b"notary.x509", b"notary.x5\xff9"),
    "gigantic": b"\xbb" + b"\x7f" + b"\xff" * 7 + ENTRIES,
}


@pytest.mark.parametrize("protected", OTHER_ENCODINGS.values(), ids=OTHER_ENCODINGS.keys())
def test_header_in_other_bytes(protected: bytes) -> None:
    """A protected header in a non-preferred encoding is rejected, even when it is correctly signed."""
    assert protected != cbor2.dumps(HEADER)
    refused(sealed(protected), COSE)


def test_envelope_in_other_bytes() -> None:
    """An envelope in a non-preferred encoding is rejected, also where the signature does not cover the bytes."""
    good = Draft().write(COSE)
    protected, unprotected, payload, signature = (cbor2.dumps(part) for part in Draft().cose().value)
    assert good[:2] == b"\xd2\x84"
    for other in (
        good + b"\0",
        good + good,
        b"\xd8\x12" + good[1:],
        b"\xd2\x98\x04" + good[2:],
        b"\xd2\x9f" + good[2:] + b"\xff",
        b"\xd2\x84\x5f" + protected + b"\xff" + unprotected + payload + signature,
        b"\xd2\x84" + protected + b"\xbf" + unprotected[1:] + b"\xff" + payload + signature,
        b"\xd2\x84" + protected + b"\xa2" + unprotected[1:] + unprotected[1:] + payload + signature,
    ):
        refused(other, COSE)
    assert check(b"\xd2\x84" + protected + unprotected + payload + signature, COSE).thumbprint == THUMBPRINT


SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9)
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-40, 40) | st.text(max_size=9), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.integers(0, 300), inner)
    ),
    max_leaves=8,
)


@given(protected=VALUE, unprotected=VALUE, payload=VALUE, signature=VALUE)
def test_any_parts(protected: object, unprotected: object, payload: object, signature: object) -> None:
    """Parts of any type raise the same error."""
    refused(cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, payload, signature])), COSE)
    refused(with_parts(protected=cbor2.dumps(protected)), COSE)


@given(name=st.sampled_from(list(HEADER)), value=VALUE)
def test_any_header(name: Any, value: object) -> None:
    """A header with any value raises the same error."""
    refused(sealed(cbor2.dumps({**HEADER, name: value})), COSE)


@given(st.binary(max_size=64))
def test_reader_alone(content: bytes) -> None:
    """Bytes that are not a message raise MalformedEnvelope, whatever CBOR decodes them to."""
    with pytest.raises(MalformedEnvelope):
        cose.read(b"\xd2\x84" + content)
