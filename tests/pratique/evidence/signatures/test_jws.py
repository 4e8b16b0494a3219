"""The JWS envelope: rules of this format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.pratique.evidence.signatures.authority import JWS, PAYLOAD, Draft, base64url, refused


@pytest.mark.parametrize("part", ["payload", "protected"])
def test_any_change_breaks_it(part: str) -> None:
    """The signature covers both the payload and the protected header."""
    parts, other = Draft().jws(), Draft(headers={"more": 1}, payload={**PAYLOAD, "more": 1}).jws()
    parts[part] = other[part]
    assert "does not match its key" in refused(json.dumps(parts).encode(), JWS)


def test_signature_of_another_length() -> None:
    """A signature that is too long or too short is rejected."""
    for signature in ("AAAA", "A" * 87, Draft().jws()["signature"] + "AA"):
        refused(json.dumps({**Draft().jws(), "signature": signature}).encode(), JWS)


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": []},
        {"payload": Draft().jws()["payload"] + "=="},
        {"payload": ""},
        {"payload": None},
        {"header": []},
        {"header": {}},
        {"header": {"x5c": "AAAA"}},
        {"header": {"x5c": [7]}},
        {"header": {"x5c": ["AAAA", "not base64"]}},
        {"header": {"x5c": {"0": "AAAA"}}},
        {"protected": base64url(b"[]")},
        {"protected": base64url(b"[" * 10_000)},
        {"protected": base64url(b'{"alg":"ES256","alg":"ES256"}')},
    ],
    ids=lambda change: str(change)[:40],
)
def test_other_serialisations(change: dict[str, Any]) -> None:
    """Only the flattened form is accepted; additional or missing members are rejected."""
    refused(json.dumps({**Draft().jws(), **change}).encode(), JWS)


def test_compact_form() -> None:
    """The compact form is rejected: it has no room for a certificate chain."""
    parts = Draft().jws()
    refused(f"{parts['protected']}.{parts['payload']}.{parts['signature']}".encode(), JWS)


def test_member_given_twice() -> None:
    """A repeated member is rejected: two parsers could disagree on which one counts."""
    refused(Draft().write(JWS).replace(b'{"payload"', b'{"payload": "e30", "payload"'), JWS)
