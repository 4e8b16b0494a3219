"""Tokens of registries, without their verification: whether a header can hold one, how long it lives, what it says."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any, TypeGuard

_LIFETIME_SECONDS = 60.0  # of a token without an expiry, by the specification
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header can hold (RFC 6750, section 2.1, allows less)


def is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def lifetime(document: Mapping[str, Any], token: str) -> float:
    """The token's lifetime in seconds. Azure's registries give it only inside the token."""
    try:
        if isinstance(seconds := document.get("expires_in"), (int, float)):
            return float(seconds)
        return max(0.0, float(claims(token)["exp"]) - time.time())
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError):
        return _LIFETIME_SECONDS


def claims(token: str) -> Mapping[str, Any]:
    """The claims of a JSON web token, unverified; none of any other token.

    Refresh tokens of registries with repository permissions have the claim ``aad_identity``.
    """
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (LookupError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
