"""JSON that every parser reads the same way, for JWS envelopes and for the payload of both envelope formats."""

from __future__ import annotations

import json
from typing import Any

from pratique.evidence.signatures.envelope import MalformedEnvelope


def json_object(text: bytes) -> dict[str, Any]:
    """An object whose names are unique: two parsers could disagree on a repeated name (RFC 7515, section 4)."""
    value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(value, dict):
        raise MalformedEnvelope("A part of the envelope is not a JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise MalformedEnvelope("A part of the envelope gives a name twice.")
    return dict(pairs)
