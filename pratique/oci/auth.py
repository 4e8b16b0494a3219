"""Tokens for registries: anonymous, by user name and password, or exchanged for an Entra ID token.

A registry says in its 401 where tokens come from; they are kept per registry and scope until shortly before they
expire. Credentials go only where they belong: an Entra ID token to the Azure registry itself, a password over TLS.
Other programs, such as scanners, sign in with what :meth:`Authenticator.docker_login` gives.

Facts: CNCF Distribution, "Token Authentication Specification"; Azure Container Registry, "AAD-OAuth".
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from pratique.errors import AuthenticationFailed, UnreadableAnswer
from pratique.http_errors import connection_faults
from pratique.oci.faults import refusal

_LIFETIME_SECONDS = 60.0  # of a token that does not say, by the specification
_MARGIN = 0.2  # of its lifetime before which a token is no longer used
_ATTEMPTED = "get a token"
_NULL_USER = "00000000-0000-0000-0000-000000000000"  # user name with which Azure's registries take one
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_SCHEME = re.compile(r"\b(bearer|basic)\s+", re.IGNORECASE)


#: Gives an Entra ID token.
Entra = Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Login:
    """User name and password, or access token, at one registry."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Challenge:
    """A ``WWW-Authenticate`` header.

    :ivar scheme: ``bearer`` or ``basic``
    :ivar realm: URL of the token endpoint, for bearer
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""

    @classmethod
    def parse(cls, header: str) -> Challenge | None:
        """The bearer challenge of the header, else its basic one, or ``None``."""
        _, *parts = _SCHEME.split(header)  # scheme, its fields, the next scheme, …
        found = {}
        for scheme, text in zip(parts[::2], parts[1::2], strict=True):
            fields = {name.lower(): value for name, value in _FIELD.findall(text)}
            known = {name: fields.get(name, "") for name in ("realm", "service", "scope")}
            found[scheme.lower()] = cls(scheme.lower(), **known)
        return found.get("bearer") or found.get("basic")


@dataclass(frozen=True)
class _Kept:
    """A token, as it is sent, and the monotonic second until which it is good."""

    authorization: str = field(repr=False)
    until: float


class Authenticator:
    """Answers the challenges of all registries.

    :param logins: by registry, as image references name it
    :param entra: gives an Entra ID token for Azure's registries
    :param acr_suffix: of the login servers that take part in the exchange
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        logins: Mapping[str, Login] | None = None,
        entra: Entra | None = None,
        acr_suffix: str = ".azurecr.io",
    ) -> None:
        self._http = http
        self._logins = dict(logins or {})
        self._entra = entra
        self._acr_suffix = acr_suffix
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._refresh: dict[str, _Kept] = {}
        self._turns: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def authorization(self, registry: str, scope: str) -> str | None:
        """The ``Authorization`` header that is still good for the scope, or ``None`` before the first challenge."""
        kept = self._kept.get((registry, scope))
        return kept.authorization if kept and time.monotonic() < kept.until else None

    async def answer(self, registry: str, scope: str, header: str, rejected: str | None) -> str:
        """The ``Authorization`` header that answers a challenge.

        :param header: the registry's ``WWW-Authenticate``
        :param rejected: the header that the registry has just refused
        :raises AuthenticationFailed: when there is nothing to answer with
        """
        challenge = Challenge.parse(header)
        if challenge is None:
            raise AuthenticationFailed(
                _ATTEMPTED, registry, f"It asks for {header[:80]!r}.", "Use a registry with bearer or basic login."
            )
        key = (registry, scope)
        async with self._turns[key]:
            known = self.authorization(registry, scope)
            if known is not None and known != rejected:
                return known
            self._kept[key] = kept = await self._fetch(registry, scope, challenge)
            return kept.authorization

    async def docker_login(self, registry: str) -> Login:
        """With what another program signs in to the registry: its login, or for Azure's a refresh token of some hours.

        :raises AuthenticationFailed: when there is neither
        """
        if (login := self._logins.get(registry)) is not None:
            return login
        if self._entra is None or not registry.endswith(self._acr_suffix):
            raise AuthenticationFailed(_ATTEMPTED, registry, "There is no login.", "Give credentials for it.")
        return Login(_NULL_USER, await self._refresh_token(registry, registry, self._entra))

    async def _fetch(self, registry: str, scope: str, challenge: Challenge) -> _Kept:
        login = self._logins.get(registry)
        if challenge.scheme == "basic":
            if login is None:
                raise AuthenticationFailed(_ATTEMPTED, registry, "It asks for a login.", "Give credentials for it.")
            return _Kept(_basic(login), float("inf"))
        if self._entra is not None and login is None and registry.endswith(self._acr_suffix):
            document = await self._exchange(registry, challenge, scope, self._entra)
        else:
            document = await self._ask(registry, challenge, scope, login)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise UnreadableAnswer(_ATTEMPTED, registry, "The answer holds no token.", "Run again.")
        seconds = _lifetime(document, token) * (1 - _MARGIN)
        return _Kept(f"Bearer {token}", time.monotonic() + seconds)

    async def _ask(self, registry: str, challenge: Challenge, scope: str, login: Login | None) -> dict[str, Any]:
        if not challenge.realm.startswith("https://"):
            raise AuthenticationFailed(
                _ATTEMPTED, registry, f"Its tokens come from {challenge.realm!r}.", "Use a registry with TLS."
            )
        headers = {"Authorization": _basic(login)} if login else {}
        query = {"service": challenge.service, "scope": scope}
        with connection_faults(_ATTEMPTED, registry):
            answer = await self._http.get(challenge.realm, params=query, headers=headers)
        return _document(answer, registry)

    async def _exchange(self, registry: str, challenge: Challenge, scope: str, entra: Entra) -> dict[str, Any]:
        """Refresh token → access token."""
        refresh = await self._refresh_token(registry, challenge.service, entra)
        form = {"grant_type": "refresh_token", "service": challenge.service, "scope": scope, "refresh_token": refresh}
        with connection_faults(_ATTEMPTED, registry):
            answer = await self._http.post(f"https://{registry}/oauth2/token", data=form)
        if answer.status_code == 401:
            self._refresh.pop(registry, None)
        return _document(answer, registry)

    async def _refresh_token(self, registry: str, service: str, entra: Entra) -> str:
        """Entra ID token → refresh token, once for all scopes. The realm is not trusted with the Entra ID token."""
        async with self._turns[registry, "refresh"]:
            kept = self._refresh.get(registry)
            if kept is not None and time.monotonic() < kept.until:
                return kept.authorization
            form = {"grant_type": "access_token", "service": service, "access_token": await entra()}
            with connection_faults(_ATTEMPTED, registry):
                answer = await self._http.post(f"https://{registry}/oauth2/exchange", data=form)
            refresh = _document(answer, registry).get("refresh_token")
            if not isinstance(refresh, str):
                raise UnreadableAnswer(_ATTEMPTED, registry, "The answer holds no refresh token.", "Run again.")
            seconds = _lifetime({}, refresh) * (1 - _MARGIN)
            self._refresh[registry] = _Kept(refresh, time.monotonic() + seconds)
            return refresh


def _document(answer: httpx.Response, registry: str) -> dict[str, Any]:
    if not answer.is_success:
        raise refusal(answer, _ATTEMPTED, registry)
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnreadableAnswer(_ATTEMPTED, registry, "The token endpoint did not answer with JSON.", "Run again.")
    return document


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


def _lifetime(document: Mapping[str, Any], token: str) -> float:
    """Seconds; Azure's registries say it only inside the token."""
    if isinstance(seconds := document.get("expires_in"), (int, float)):
        return float(seconds)
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return max(0.0, float(claims["exp"]) - time.time())
    except (IndexError, KeyError, TypeError, ValueError):
        return _LIFETIME_SECONDS
