"""Tokens for registries: anonymous, for a user name and password, or in exchange for an Entra ID token.

A registry's 401 response names its token endpoint, which is remembered: further tokens are fetched before the requests
that need them. Tokens are cached per registry and scope until shortly before they expire. Credentials are sent only
where they belong: an Entra ID token to the Azure registry itself, a password over TLS. Other programs, such as
scanners, sign in with the result of :meth:`Authenticator.docker_login`.

Facts: CNCF Distribution, "Token Authentication Specification"; Azure Container Registry, "AAD-OAuth".
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from pratique.errors import AuthenticationFailed, PermanentError, PermissionDenied, PratiqueError, UnreadableAnswer
from pratique.http_answers import is_web_page, json_of, send
from pratique.masking import shortened
from pratique.oci.challenges import Challenge
from pratique.oci.faults import response_error, web_page
from pratique.oci.rights import Permissions
from pratique.oci.tokens import claims, is_token, lifetime

_MARGIN = 0.2  # last part of its lifetime in which a token is no longer used
_ATTEMPTED = "get a token"
_LARGEST = 1024 * 1024  # bytes of a token endpoint's response
_NULL_USER = "00000000-0000-0000-0000-000000000000"  # user name for signing in to Azure's registries with a token


#: Returns an Entra ID token.
Entra = Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Login:
    """User name and password, or access token, at one registry."""

    username: str
    password: str = field(repr=False)


class _Refused(Exception):
    """The registry does not exchange this identity's token.

    :ivar error: for the user
    """

    def __init__(self, error: PratiqueError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class _CachedToken:
    """A token, as it is sent, and the monotonic second until which it is used."""

    authorization: str = field(repr=False)
    until: float


class Authenticator:
    """Answers the challenges of all registries.

    :param logins: by registry, as image references name it
    :param entra: returns an Entra ID token for Azure's registries
    :param acr_suffix: of the login servers that exchange Entra ID tokens
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
        self._access: dict[tuple[str, str], _CachedToken] = {}
        self._refresh: dict[str, _CachedToken] = {}
        self._permissions: dict[str, Permissions] = {}
        self._challenges: dict[str, Challenge] = {}
        self._contacts: dict[str, asyncio.Event] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def authorization(self, registry: str, scope: str) -> str | None:
        """The cached ``Authorization`` header for the scope; ``None`` when there is none, or it is about to expire."""
        cached = self._access.get((registry, scope))
        return cached.authorization if cached and time.monotonic() < cached.until else None

    def permissions(self, registry: str) -> Permissions | None:
        """The kind of an Azure registry's permissions, as far as its refresh token shows it.

        :returns: ``None`` where no Entra ID token was exchanged: for other registries, other logins, and none
        """
        return self._permissions.get(registry)

    @asynccontextmanager
    async def contact(self, registry: str) -> AsyncIterator[None]:
        """Let the first request to a registry find out how it authenticates; others wait for its first answer."""
        if (contact := self._contacts.get(registry)) is not None:
            await contact.wait()
            yield
            return
        contact = self._contacts[registry] = asyncio.Event()
        try:
            yield
        finally:
            contact.set()

    async def ahead(self, registry: str, scope: str) -> str | None:
        """The ``Authorization`` header for a request: cached, or fetched if the registry's challenge is known.

        :returns: ``None`` when the registry has not asked for a token yet, or gives none: it may still answer
        :raises TransientError: when the token endpoint does not answer now
        """
        cached, challenge = self.authorization(registry, scope), self._challenges.get(registry)
        if cached is not None or challenge is None:
            return cached
        try:
            return await self._token(registry, scope, challenge, None)
        except PermanentError:
            return None

    async def answer(self, registry: str, scope: str, header: str, rejected: str | None) -> str:
        """The ``Authorization`` header that answers a challenge.

        :param header: the registry's ``WWW-Authenticate``
        :param rejected: the header that the registry has just rejected
        :raises AuthenticationFailed: when there are no credentials for it
        """
        challenge = Challenge.parse(header)
        if challenge is None:
            asks = f"It asks for {shortened(header, 80)!r}." if header else "It asks for a login, and does not say how."
            raise AuthenticationFailed(_ATTEMPTED, registry, asks, "Use a registry with bearer or basic login.")
        if challenge.scheme == "bearer":
            self._challenges[registry] = challenge
        return await self._token(registry, scope, challenge, rejected)

    async def _token(self, registry: str, scope: str, challenge: Challenge, rejected: str | None) -> str:
        """A token, fetched once however many requests need it."""
        key = (registry, scope)
        async with self._locks[key]:
            cached = self.authorization(registry, scope)
            if cached is not None and cached != rejected:
                return cached
            self._access[key] = token = await self._fetch(registry, scope, challenge)
            return token.authorization

    async def docker_login(self, registry: str) -> Login:
        """A login for another program: the configured one, or for Azure's registries a refresh token valid for hours.

        :raises AuthenticationFailed: when there is neither
        """
        if (login := self._logins.get(registry)) is not None:
            return login
        if self._entra is None or not registry.endswith(self._acr_suffix):
            raise AuthenticationFailed(_ATTEMPTED, registry, "There is no login.", "Configure credentials for it.")
        try:
            return Login(_NULL_USER, await self._refresh_token(registry, registry, self._entra))
        except _Refused as refused:
            raise refused.error from None

    async def _fetch(self, registry: str, scope: str, challenge: Challenge) -> _CachedToken:
        login = self._logins.get(registry)
        if challenge.scheme == "basic":
            if login is None:
                raise AuthenticationFailed(
                    _ATTEMPTED, registry, "It asks for a login.", "Configure credentials for it."
                )
            return _CachedToken(_basic(login), float("inf"))
        if self._entra is not None and login is None and registry.endswith(self._acr_suffix):
            document = await self._exchange_or_anonymous(registry, challenge, scope, self._entra)
        else:
            document = await self._request_token(registry, challenge, scope, login)
        token = document.get("token") or document.get("access_token")
        if not is_token(token):
            raise UnreadableAnswer(_ATTEMPTED, registry, "The response contains no token.", "Run again.")
        seconds = lifetime(document, token) * (1 - _MARGIN)
        return _CachedToken(f"Bearer {token}", time.monotonic() + seconds)

    async def _request_token(
        self, registry: str, challenge: Challenge, scope: str, login: Login | None
    ) -> dict[str, Any]:
        if not challenge.realm.startswith("https://"):
            raise AuthenticationFailed(
                _ATTEMPTED, registry, f"Its token endpoint is {challenge.realm!r}.", "Use a registry with TLS."
            )
        headers = {"Authorization": _basic(login)} if login else {}
        query = {"service": challenge.service, "scope": scope}
        response = await self._send("GET", challenge.realm, registry, params=query, headers=headers)
        return _document(response, registry, scope)

    async def _exchange_or_anonymous(
        self, registry: str, challenge: Challenge, scope: str, entra: Entra
    ) -> dict[str, Any]:
        """Exchange an Entra ID token; where the registry refuses that, ask for what it gives to anybody.

        Registries of other tenants refuse it, and may still allow anonymous pulls (Azure/acr#559).
        """
        try:
            return await self._exchange(registry, challenge, scope, entra)
        except _Refused as refused:
            try:
                return await self._request_token(registry, challenge, scope, None)
            except PratiqueError:
                raise refused.error from None

    async def _exchange(self, registry: str, challenge: Challenge, scope: str, entra: Entra) -> dict[str, Any]:
        """Exchange the refresh token for an access token.

        Refresh tokens end early when the kind of the registry's permissions changes: a cached one that is refused is
        renewed once.
        """
        cached = self._refresh.get(registry)
        refresh = await self._refresh_token(registry, challenge.service, entra)
        response = await self._access_token(registry, challenge, scope, refresh)
        if response.status_code == 401:
            self._forget(registry, refresh)
            if cached is not None and cached.authorization == refresh:
                refresh = await self._refresh_token(registry, challenge.service, entra)
                response = await self._access_token(registry, challenge, scope, refresh)
        return _exchanged(response, registry, scope)

    async def _access_token(self, registry: str, challenge: Challenge, scope: str, refresh: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "service": challenge.service, "scope": scope, "refresh_token": refresh}
        return await self._send("POST", f"https://{registry}/oauth2/token", registry, data=form)

    def _forget(self, registry: str, refresh: str) -> None:
        """Drop a refresh token, unless another request has renewed it already."""
        if (cached := self._refresh.get(registry)) is not None and cached.authorization == refresh:
            del self._refresh[registry]

    async def _refresh_token(self, registry: str, service: str, entra: Entra) -> str:
        """Exchange an Entra ID token for a refresh token, once for all scopes.

        The Entra ID token goes to the registry itself, never to the realm that a challenge names.
        """
        async with self._locks[registry, "refresh"]:
            cached = self._refresh.get(registry)
            if cached is not None and time.monotonic() < cached.until:
                return cached.authorization
            form = {"grant_type": "access_token", "service": service, "access_token": await entra()}
            response = await self._send("POST", f"https://{registry}/oauth2/exchange", registry, data=form)
            refresh = _exchanged(response, registry, "").get("refresh_token")
            if not is_token(refresh):
                raise UnreadableAnswer(_ATTEMPTED, registry, "The response contains no refresh token.", "Run again.")
            seconds = lifetime({}, refresh) * (1 - _MARGIN)
            self._refresh[registry] = _CachedToken(refresh, time.monotonic() + seconds)
            self._permissions[registry] = "abac" if "aad_identity" in claims(refresh) else "unknown"
            return refresh

    async def _send(self, method: str, url: str, registry: str, **options: Any) -> httpx.Response:
        return await send(self._http, method, url, attempted=_ATTEMPTED, subject=registry, largest=_LARGEST, **options)


def _exchanged(response: httpx.Response, registry: str, scope: str) -> dict[str, Any]:
    """The document of an exchange.

    :raises _Refused: when this identity gets no token, and somebody else may get one
    """
    try:
        return _document(response, registry, scope)
    except (AuthenticationFailed, PermissionDenied) as error:
        raise _Refused(error) from None


def _document(response: httpx.Response, registry: str, scope: str) -> dict[str, Any]:
    if not response.is_success:
        error = response_error(response, _ATTEMPTED, registry)
        if isinstance(error, AuthenticationFailed | PermissionDenied):
            observed = f"Its token endpoint refuses {scope or 'this identity'}: {error.observed}"
            error = type(error)(_ATTEMPTED, registry, observed, error.remedy)
        raise error
    if is_web_page(response):
        raise web_page(response, _ATTEMPTED, registry)
    document = json_of(response)
    if not isinstance(document, dict):
        raise UnreadableAnswer(_ATTEMPTED, registry, "The token endpoint did not answer with JSON.", "Run again.")
    return document


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
