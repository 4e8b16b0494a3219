"""The ASGI application: passes each request through the layers to its service's handler.

The layers, outermost first: request id → log → error envelope → host → authentication → throttling → faults → RBAC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from sys import intern
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.azure import Azure
from sandbox.core.routing import Call, Service
from sandbox.middleware import Middleware, chain
from sandbox.middleware.auth import authenticate, authorize
from sandbox.middleware.cut import Cut
from sandbox.middleware.envelope import envelope
from sandbox.middleware.faults import faults
from sandbox.middleware.host import Hosts
from sandbox.middleware.log import log
from sandbox.middleware.request_id import request_id
from sandbox.middleware.throttle import throttle
from sandbox.scenario import Client

Peer = tuple[str, int]


class App:
    """An ASGI application over the services.

    :param azure: returns the current state (a reset replaces it)
    :param clients: maps a connection's peer to the client's user name at the proxy and its place in the network
    :param abort: resets the peer's connection
    """

    def __init__(
        self,
        azure: Callable[[], Azure],
        services: Sequence[Service],
        clients: Callable[[Peer], tuple[str, Client]],
        abort: Callable[[Peer], None],
    ) -> None:
        self._azure = azure
        self._clients = clients
        self._abort = abort
        self._hosts = Hosts(services)
        outer: list[Middleware] = [request_id, log, envelope]
        inner: list[Middleware] = [self._hosts.find, authenticate, throttle, faults, authorize]
        self._answer = chain([*outer, *inner], _handle)

    def serves(self, host: str, *, plain: bool = False) -> bool:
        """Whether a service answers for the host.

        :param plain: without TLS
        """
        return bool(self._hosts.services(host, plain=plain))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"unsupported ASGI scope: {scope['type']}")
        call = await self._call(scope, receive)
        try:
            response = await self._answer(call)
        except Cut as cut:
            if cut.reset:
                self._abort(tuple(scope["client"]))
            await _disconnected(receive)
        else:
            await response(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive) -> Call:
        headers = _headers(scope["headers"])
        host = intern(headers.get("host", "").split(":")[0].lower())  # the log shares one string for each host
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw_path.split(b"?")[0].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        user, client = self._clients(tuple(scope["client"]))
        azure = self._azure()
        entry = azure.requests.begin(scope["method"], host, unquote(path), query, user)
        body = await _read(receive)
        return Call(
            azure=azure,
            method=scope["method"],
            host=host,
            path=path,
            query_string=query,
            headers=headers,
            body=body,
            client=client,
            entry=entry,
            raw_path=path,
            plain=scope["scheme"] == "http",
        )


async def _handle(call: Call) -> Response:
    if call.route is None:
        raise RuntimeError("no layer found a route")
    return await call.route.handler(call)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; a header sent several times becomes one list (RFC 9110, section 5.3)."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message: Any = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
