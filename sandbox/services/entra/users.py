"""People who sign in: the resource owner password grant, refresh tokens, and delegated access tokens.

``az login --username … --password …`` uses these. Entra ID refuses the password grant to accounts with multi-factor
authentication; the sandbox's users have none.

Source: Microsoft Learn, "OAuth 2.0 Resource Owner Password Credentials", "ID token claims reference" and "Access token
claims reference"; RFC 6749 §4.3 and §6.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sandbox.azure import Azure
from sandbox.core.tokens import TokenRefused
from sandbox.scenario import User
from sandbox.services.entra.errors import entra_fault
from sandbox.services.entra.state import AUTHORITY, Entra

#: Microsoft's own applications, which exist in every tenant and do not authenticate themselves.
PUBLIC_CLIENTS = frozenset(
    {
        "04b07795-8ddb-461a-bbee-02f9e1bf7b46",  # Azure CLI
        "1950a258-227b-4e31-a9cf-717495945fc2",  # Azure PowerShell
    }
)
GRAPH = "https://graph.microsoft.com"
OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
LIFETIME = 3599  # real seconds; of an access token
REFRESH_LIFETIME = 90 * 24 * 3600  # real seconds
#: The delegated permissions that the tenant's users have consented to; for other APIs it is _EVERYTHING.
_PERMISSIONS = {GRAPH: ("Directory.AccessAsUser.All", "User.Read", "User.ReadBasic.All")}
_EVERYTHING = ("user_impersonation",)


class Users:
    """The people in the tenant."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._by_name = {user.name.lower(): user for user in azure.scenario.users}
        signer = azure.state(Entra).signer
        self._access = signer
        self._identity = replace(signer, issuer=f"{AUTHORITY}/{azure.tenant_id}/v2.0")

    def of(self, object_id: str) -> User | None:
        return next((u for u in self._by_name.values() if u.object_id.lower() == object_id.lower()), None)

    def domains(self) -> set[str]:
        """The domains of all user names."""
        return {name.rpartition("@")[2] for name in self._by_name}

    def by_password(self, name: str, password: str) -> User:
        """:raises HttpFault: AADSTS50034 or AADSTS50126"""
        user = self._by_name.get(name.lower())
        if user is None:
            raise entra_fault(self._azure.clock, 50034, user=name, tenant=self._azure.tenant_id)
        if not hmac.compare_digest(user.password.encode(), password.encode()):
            raise entra_fault(self._azure.clock, 50126)
        return user

    def by_refresh_token(self, client_id: str, token: str) -> User:
        """:raises HttpFault: AADSTS9002313 (UNVERIFIED) when this client never got the token, or its owner is gone"""
        try:
            claims = self._access.read(token, (_refresh_audience(client_id),))
        except TokenRefused:
            raise entra_fault(self._azure.clock, 9002313) from None
        user = self.of(claims["oid"])
        if user is None:
            raise entra_fault(self._azure.clock, 9002313)
        return user

    def tokens(self, user: User, client_id: str, resource: str, scopes: Sequence[str]) -> dict[str, Any]:
        """The token endpoint's response.

        :param resource: the access token's resource
        :param scopes: as requested; ``openid`` adds an ID token, ``offline_access`` a refresh token
        """
        permissions = _PERMISSIONS.get(resource.rstrip("/"), _EVERYTHING)
        granted = [f"{resource}/{permission}" for permission in permissions]
        requested = [scope for scope in scopes if scope not in OPENID_SCOPES]
        answer = {
            "token_type": "Bearer",
            "scope": " ".join(dict.fromkeys([*granted, *requested])),
            "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME,
            "access_token": self._access_token(user, client_id, resource, permissions),
        }
        if "offline_access" in scopes:
            answer["refresh_token"] = self._access.issue(
                _refresh_audience(client_id), {"oid": user.object_id}, REFRESH_LIFETIME
            )
        if "openid" in scopes:
            answer["id_token"] = self._id_token(user, client_id)
        return answer

    def client_info(self, user: User) -> str:
        """The account's id, which MSAL uses as a cache key."""
        account = {"uid": user.object_id, "utid": self._azure.tenant_id}
        return base64.urlsafe_b64encode(json.dumps(account).encode()).decode().rstrip("=")

    def _access_token(self, user: User, client_id: str, resource: str, permissions: Sequence[str]) -> str:
        claims = {
            "acr": "1",
            "amr": ["pwd"],
            "appid": client_id,
            "appidacr": "0" if client_id in PUBLIC_CLIENTS else "1",
            "idtyp": "user",
            "name": user.display_name or user.name,
            "oid": user.object_id,
            "scp": " ".join(permissions),
            "sub": user.object_id,
            "tid": self._azure.tenant_id,
            "unique_name": user.name,
            "upn": user.name,
            "ver": "1.0",
        }
        return self._access.issue(resource, claims, LIFETIME)

    def _id_token(self, user: User, client_id: str) -> str:
        claims = {
            "name": user.display_name or user.name,
            "oid": user.object_id,
            "preferred_username": user.name,
            "sub": user.object_id,
            "tid": self._azure.tenant_id,
            "ver": "2.0",
        }
        return self._identity.issue(client_id, claims, LIFETIME)


def _refresh_audience(client_id: str) -> str:
    """An audience that no API accepts."""
    return f"refresh:{client_id}"
