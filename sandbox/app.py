"""The application: what every request passes on its way to a service.

In order: request id → log → host → authentication → RBAC → handler → error envelope.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.azure import Azure
from sandbox.core.errors import HttpFault, arm_fault, not_played
from sandbox.core.routing import Call, Service, fault_answer
from sandbox.scenario import Client

_log = logging.getLogger(__name__)


class App:
    """An ASGI application over the services.

    :param azure: gives the present state (a reset replaces it)
    :param clients: tells by the connection's peer where the client stands
    """

    def __init__(
        self,
        azure: Callable[[], Azure],
        services: Sequence[Service],
        clients: Callable[[tuple[str, int]], tuple[str, Client]],
    ) -> None:
        self._azure = azure
        self._services = services
        self._clients = clients

    def plays(self, host: str) -> bool:
        """Whether some service answers for the host."""
        return any(service.plays(host) for service in self._services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        call = await self._call(scope, receive)
        started = time.perf_counter()
        response = await self._answer(call)
        call.entry.status = response.status_code
        call.entry.milliseconds = round((time.perf_counter() - started) * 1000, 1)
        for name, value in _request_ids(call).items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive) -> Call:
        headers = _headers(scope["headers"])
        host = headers.get("host", "").split(":")[0].lower()
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw_path.split(b"?")[0].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        user, client = self._clients(tuple(scope["client"]))
        azure = self._azure()
        entry = azure.requests.begin(scope["method"], host, unquote(path), query, user)
        body = await _read(receive)
        return Call(azure, scope["method"], host, path, query, headers, body, client, entry)

    async def _answer(self, call: Call) -> Response:
        try:
            return await self._dispatch(call)
        except HttpFault as fault:
            return fault_answer(fault)
        except Exception as error:
            _log.exception("%s https://%s%s broke", call.method, call.host, call.path)
            return fault_answer(arm_fault(500, "InternalServerError", f"The sandbox broke: {error!r}"))

    async def _dispatch(self, call: Call) -> Response:
        candidates = [service for service in self._services if service.plays(call.host)]
        for service in candidates:
            if (match := service.match(call.method, call.path)) is None:
                continue
            route, call.params = match
            call.path = unquote(call.path)
            call.entry.service, call.entry.operation = service.name, route.name
            if service.authenticate is not None:
                await service.authenticate(call)
            if call.caller is not None:
                call.entry.principal = call.caller.name
            if route.action is not None:
                call.entry.action, call.entry.scope = route.action, route.scope(call)
                call.require(route.action, call.entry.scope)
            return await route.handler(call)
        raise not_played(call.method, call.host, unquote(call.path))


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By lower-case name; a header that is sent several times is one list (RFC 9110, section 5.3)."""
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


def _request_ids(call: Call) -> dict[str, str]:
    request_id = str(uuid.uuid4())
    ids = {"x-ms-request-id": request_id, "x-ms-correlation-request-id": request_id}
    if client_request_id := call.headers.get("x-ms-client-request-id"):
        ids["x-ms-client-request-id"] = client_request_id
    return ids
