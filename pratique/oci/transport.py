"""HTTP requests to registries: authenticated when challenged, limited in size, with mapped errors.

Facts: OCI distribution-spec v1.1, "Authentication"; RFC 9110, section 11.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from pratique.errors import AuthenticationFailed, PermissionDenied
from pratique.http_answers import is_web_page, send
from pratique.images import DOCKER_HUB
from pratique.oci.auth import Authenticator, Login
from pratique.oci.faults import response_error, web_page
from pratique.oci.rights import missing_right

ANY_TYPE = "*/*"  # for content that its digest proves
LARGEST_MANIFEST = 4 * 1024 * 1024  # bytes; what registries must accept at least


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request, with the texts for an error about it.

    :ivar scope: of the token that it needs
    :ivar largest: bytes of the response body
    :ivar content: body to send, of the type ``content_type``; ``None`` for a request without a body
    :ivar follow: whether to follow redirects; if not, a redirect is an answer like others
    """

    attempted: str
    subject: str
    registry: str
    url: str
    scope: str = ""
    accept: str = "application/json"
    largest: int = LARGEST_MANIFEST
    method: str = "GET"
    content: bytes | None = None
    content_type: str = "application/octet-stream"
    follow: bool = True


class Transport:
    """Sends requests to any registry.

    :ivar http: shared by the process
    """

    def __init__(self, http: httpx.AsyncClient, auth: Authenticator) -> None:
        self.http = http
        self._auth = auth

    async def docker_login(self, registry: str) -> Login:
        """A login for another program, valid for as long as a run takes; see :mod:`pratique.oci.auth`.

        :raises AuthenticationFailed: when there are no credentials for the registry
        """
        return await self._auth.docker_login(registry)

    async def send(self, request: Request) -> httpx.Response:
        """Send the request, and send it again with a token if the registry responds with a challenge.

        :raises PermissionDenied: with the missing role, when an Azure registry knows the identity and refuses it
        """
        try:
            return await self._send(request)
        except (AuthenticationFailed, PermissionDenied) as error:
            permissions = self._auth.permissions(request.registry)
            if permissions is None or not request.scope:
                raise
            raise missing_right(error, request.registry, request.scope, permissions) from None

    async def _send(self, request: Request) -> httpx.Response:
        async with self._auth.contact(request.registry):
            authorization = await self._auth.ahead(request.registry, request.scope)
            response = await self._read(request, authorization)
            if challenged := response.status_code == 401:
                challenge = response.headers.get("WWW-Authenticate", "")
                authorization = await self._auth.answer(request.registry, request.scope, challenge, authorization)
        if challenged:
            response = await self._read(request, authorization)
        if not (response.is_success or (response.has_redirect_location and not request.follow)):
            raise response_error(response, request.attempted, request.subject)
        if request.accept != ANY_TYPE and is_web_page(response):
            raise web_page(response, request.attempted, request.subject)
        return response

    async def _read(self, request: Request, authorization: str | None) -> httpx.Response:
        """The response with its body, up to the size limit. Registries redirect blobs to their storage."""
        headers = {"Accept": request.accept, **({"Authorization": authorization} if authorization else {})}
        if request.content is not None:
            headers["Content-Type"] = request.content_type
        return await send(
            self.http,
            request.method,
            request.url,
            attempted=request.attempted,
            subject=request.subject,
            largest=request.largest,
            headers=headers,
            content=request.content,
            follow_redirects=request.follow,
        )


def base_url(registry: str) -> str:
    """URL of the registry's API; Docker Hub serves it on a different host."""
    return f"https://{'registry-1.docker.io' if registry in DOCKER_HUB else registry}"
