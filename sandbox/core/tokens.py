"""Signed tokens: issued by the sandbox's Entra ID and registries, and checked by all other services.

Lifetimes are in real time: clients compare ``expires_in`` with their own clock.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class TokenRefused(Exception):
    """The token does not authorise the call; the message says why."""


@dataclass(frozen=True)
class TokenSigner:
    """A token issuer with its key."""

    issuer: str
    key: rsa.RSAPrivateKey
    key_id: str

    def issue(self, audience: str, claims: dict[str, Any], lifetime: float = 3599) -> str:
        """A JWT (RS256).

        :param lifetime: real seconds until it expires; a negative value creates an expired token
        """
        now = int(time.time())
        payload = {
            "iss": self.issuer,
            "aud": audience,
            "iat": now,
            "nbf": now - 5,
            "exp": now + int(lifetime),
            **claims,
        }
        return jwt.encode(payload, self.key, algorithm="RS256", headers={"kid": self.key_id, "x5t": self.key_id})

    def read(self, token: str, audiences: Collection[str]) -> dict[str, Any]:
        """The claims of a valid token.

        :raises TokenRefused: when the signature, the issuer, an audience or a date is wrong
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self.key.public_key(), algorithms=["RS256"], audience=list(audiences), issuer=self.issuer
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(str(error)) from error
        return claims

    def jwk(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        key: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**key, "use": "sig", "kid": self.key_id, "x5t": self.key_id}
