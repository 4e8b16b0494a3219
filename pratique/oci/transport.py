"""Requests to registries over HTTP: authenticated when challenged, bounded in size, their failures errors of ours.

Facts: OCI distribution-spec v1.1, "Authentication"; RFC 9110, section 11.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from pratique.errors import UnreadableAnswer
from pratique.http_errors import connection_faults
from pratique.oci.auth import Authenticator, Login
from pratique.oci.faults import refusal

LARGEST_MANIFEST = 4 * 1024 * 1024  # bytes; what registries must accept at least
_HUB = frozenset({"docker.io", "index.docker.io"})


@dataclass(frozen=True)
class Request:
    """One request, and the words for its failure.

    :ivar scope: of the token that it needs
    :ivar largest: bytes of an answer's body
    :ivar content: that is sent, of the type ``content_type``; ``None`` for a request without a body
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


class Transport:
    """Sends to any registry.

    :param http: shared by the process
    """

    def __init__(self, http: httpx.AsyncClient, auth: Authenticator) -> None:
        self._http = http
        self._auth = auth

    async def docker_login(self, registry: str) -> Login:
        """With what another program signs in to the registry, for as long as a run takes; see :mod:`pratique.oci.auth`.

        :raises AuthenticationFailed: when there is nothing to sign in with
        """
        return await self._auth.docker_login(registry)

    async def send(self, request: Request) -> httpx.Response:
        """One request, and a second one when the first is answered with a challenge."""
        authorization = self._auth.authorization(request.registry, request.scope)
        answer = await self._read(request, authorization)
        if answer.status_code == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            authorization = await self._auth.answer(request.registry, request.scope, challenge, authorization)
            answer = await self._read(request, authorization)
        if not answer.is_success:
            raise refusal(answer, request.attempted, request.subject)
        return answer

    async def _read(self, request: Request, authorization: str | None) -> httpx.Response:
        """The answer with its body, which must not be too large. Blobs are redirected to storage."""
        headers = {"Accept": request.accept, **({"Authorization": authorization} if authorization else {})}
        if request.content is not None:
            headers["Content-Type"] = request.content_type
        content = bytearray()
        with connection_faults(request.attempted, request.subject):
            async with self._http.stream(
                request.method, request.url, headers=headers, content=request.content, follow_redirects=True
            ) as answer:
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > request.largest:
                        observed = f"It is larger than {request.largest} bytes."
                        raise UnreadableAnswer(request.attempted, request.subject, observed, "Check the reference.")
        return httpx.Response(
            answer.status_code, headers=_plain(answer.headers), content=bytes(content), request=answer.request
        )


def base_url(registry: str) -> str:
    """Docker Hub's API has a host of its own."""
    return f"https://{'registry-1.docker.io' if registry in _HUB else registry}"


def _plain(headers: httpx.Headers) -> httpx.Headers:
    """Headers of the decoded body."""
    dropped = ("content-encoding", "content-length", "transfer-encoding")
    return httpx.Headers([(name, value) for name, value in headers.multi_items() if name.lower() not in dropped])
