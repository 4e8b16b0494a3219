"""The layers that every request passes on its way to a service, in the order given by :class:`sandbox.app.App`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.responses import Response

from sandbox.core.routing import Call, Handler

Middleware = Callable[[Call, Handler], Awaitable[Response]]


def chain(middleware: Sequence[Middleware], innermost: Handler) -> Handler:
    """A handler that passes a call through all layers, the first one outermost."""
    handler = innermost
    for layer in reversed(middleware):
        handler = _wrapped(layer, handler)
    return handler


def _wrapped(layer: Middleware, inner: Handler) -> Handler:
    async def handle(call: Call) -> Response:
        return await layer(call, inner)

    return handle
