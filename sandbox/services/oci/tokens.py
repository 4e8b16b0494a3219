"""Bearer tokens of registries: scopes, access lists and challenges.

Source: CNCF Distribution, "Token Authentication Specification", "Token Scope Documentation" and "JWT authorization".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from sandbox.core.routing import Call


@dataclass(frozen=True)
class TokenScope:
    """The scope of a requested token, or the scope that a request needs: ``repository:library/busybox:pull``."""

    kind: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"

    def document(self) -> dict[str, Any]:
        """The entry of a token's ``access`` claim."""
        return {"type": self.kind, "name": self.name, "actions": list(self.actions)}


def requested_scopes(query_or_form: str) -> list[TokenScope]:
    """All ``scope`` parameters of URL-encoded text; each may contain several, separated by spaces."""
    values = parse_qs(query_or_form).get("scope", [])
    scopes = []
    for text in " ".join(values).split():
        kind, _, rest = text.partition(":")
        name, separator, actions = rest.rpartition(":")
        if separator:
            scopes.append(TokenScope(kind, name, tuple(actions.split(","))))
    return scopes


def access_claim(scopes: Iterable[TokenScope]) -> list[dict[str, Any]]:
    """The ``access`` claim that grants `scopes`."""
    return [scope.document() for scope in scopes if scope.actions]


def grants(claims: Mapping[str, Any], required: TokenScope) -> bool:
    """Whether a token's access list covers the required scope."""
    actions = {
        action
        for entry in claims.get("access", ())
        if entry["type"] == required.kind and entry["name"] in (required.name, "*")
        for action in entry["actions"]
    }
    return "*" in actions or actions.issuperset(required.actions)


def challenge(realm: str, service: str, scope: TokenScope | None = None, error: str | None = None) -> dict[str, str]:
    """The header that tells clients where to get a token.

    :param error: ``invalid_token`` or ``insufficient_scope``, for a client that has sent a token
    """
    fields = {"realm": realm, "service": service}
    if scope is not None:
        fields["scope"] = str(scope)
    if error is not None:
        fields["error"] = error
    return {"WWW-Authenticate": "Bearer " + ",".join(f'{key}="{value}"' for key, value in fields.items())}


def basic_credentials(call: Call) -> tuple[str, str] | None:
    """User name and password from HTTP basic authentication, if any."""
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
