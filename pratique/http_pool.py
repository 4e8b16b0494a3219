"""The HTTP client of a run: for each host the connections that are used, and a queue in front of them.

::

    async with open_http(httpx.Timeout(60, connect=10)) as http:
        await http.get("https://registry.example/v2/")

httpx's own pool is shared by all hosts, and keeps 20 of its 100 connections: under load, nearly every request begins
with a TLS handshake. It also looks at all connections several times for each request, and again for each request that
waits. Here, every connection is a pool of its own, requests wait for one in order, and the latest used one goes first.

Proxies, ``NO_PROXY`` and ``SSL_CERT_FILE`` are read from the environment, as httpx reads them.

Facts: httpcore 1.0 ``AsyncConnectionPool._assign_requests_to_connections``; httpx, "Environment Variables".
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import httpx

#: Requests to one host at once, each on a connection of its own.
AT_ONCE = 24
_KEPT_SECONDS = 50.0  # servers close idle connections after a minute or later
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEPT_SECONDS)


def open_http(timeout: httpx.Timeout | float) -> httpx.AsyncClient:
    """A client for requests to many hosts. Close it like any client of httpx.

    :param timeout: of each request, in seconds; the time in which it waits for others to the same host does not count
    """
    return httpx.AsyncClient(transport=_Hosts(), timeout=timeout)


class _Hosts(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self._tls = httpx.create_ssl_context()
        self._hosts: dict[tuple[str, str, int | None], _Host] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        key = request.url.scheme, request.url.host, request.url.port
        if key not in self._hosts:
            self._hosts[key] = _Host(self._tls)
        return await self._hosts[key].send(request)

    async def aclose(self) -> None:
        for host in self._hosts.values():
            await host.aclose()


class _Host:
    """The connections to a host, and the requests that wait for one.

    Each connection belongs to a client of httpx, because only clients read the environment's proxies.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._free = asyncio.Semaphore(AT_ONCE)
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []

    async def send(self, request: httpx.Request) -> httpx.Response:
        await self._free.acquire()
        connection = self._idle.pop() if self._idle else self._connection()
        try:
            response = await connection.send(request, stream=True, follow_redirects=False)
        except BaseException:
            self._release(connection)
            raise
        body = _Body(response, lambda: self._release(connection))
        return httpx.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )

    async def aclose(self) -> None:
        for connection in self._all:
            await connection.aclose()

    def _connection(self) -> httpx.AsyncClient:
        connection = httpx.AsyncClient(verify=self._tls, limits=_ONE)
        self._all.append(connection)
        return connection

    def _release(self, connection: httpx.AsyncClient) -> None:
        self._idle.append(connection)
        self._free.release()


class _Body(httpx.AsyncByteStream):
    """A response's body as it was sent. Closing it gives the connection to the next request."""

    def __init__(self, response: httpx.Response, release: Callable[[], None]) -> None:
        self._response, self._release = response, release
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_raw():
            yield part

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open = False
        try:
            await self._response.aclose()
        finally:
            self._release()
