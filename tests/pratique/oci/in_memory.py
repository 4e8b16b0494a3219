"""Registries in memory, behind httpx's transport: for tests that need many."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient

Answer = Callable[[httpx.Request], httpx.Response]


def client_of(answer: Answer) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer), trust_env=False)


def registry_client(http: httpx.AsyncClient, login: Login | None = None, host: str = "", entra: str = "") -> OciClient:
    """A client of registries.

    :param login: at the host
    :param entra: an Entra ID token
    """

    async def token() -> str:
        return entra

    logins = {host: login} if login else {}
    return OciClient(http, Authenticator(http, logins=logins, entra=token if entra else None))
