"""The JWS envelope: a flattened JSON Web Signature.

Source: Notary Project, "JWS Signature Envelope"; RFC 7515.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

from pratique.evidence.signatures.envelope import TIMES, TIMESTAMP, Envelope, MalformedEnvelope, certificates
from pratique.evidence.signatures.strict_json import json_object

MEDIA_TYPE = "application/jose+json"

_MEMBERS = {"payload", "protected", "header", "signature"}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


def read(content: bytes) -> Envelope:
    """The envelope's parts, unverified.

    :raises MalformedEnvelope: when it is not a JWS in this form
    :raises ValueError: when JSON, Base64 or a certificate cannot be parsed
    """
    parts = json_object(content)
    if set(parts) != _MEMBERS or not isinstance(parts["header"], dict):
        raise MalformedEnvelope("The envelope is not a flattened JWS with an unprotected header.")
    header = json_object(_base64url(parts["protected"]))
    chain, timestamp = parts["header"].get("x5c"), parts["header"].get(TIMESTAMP)
    return Envelope(
        algorithm=header.get("alg"),
        content_type=header.get("cty"),
        critical=header.get("crit"),
        headers={name: _time(value) if name in TIMES else value for name, value in header.items()},
        payload=_base64url(parts["payload"]),
        signed=f"{parts['protected']}.{parts['payload']}".encode(),
        signature=_base64url(parts["signature"]),
        chain=certificates([base64.b64decode(text, validate=True) for text in chain] if chain else None),
        timestamp=None if timestamp is None else base64.b64decode(timestamp, validate=True),
    )


def _base64url(text: object) -> bytes:
    """Decode Base64url as in RFC 7515: no padding, and nothing outside the alphabet."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise MalformedEnvelope("A part of the envelope is not Base64url.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _time(text: object) -> datetime:
    """Parse a date-time of RFC 3339."""
    if not isinstance(text, str):
        raise MalformedEnvelope("The signing time or the expiry is not a text.")
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise MalformedEnvelope(f"The time {text!r} has no offset.")
    return time.astimezone(UTC)
