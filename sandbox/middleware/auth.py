"""Who calls, asked before and rights checked after the layers that do not care for rights."""

from __future__ import annotations

from starlette.responses import Response

from sandbox.core.routing import Call, Handler


async def authenticate(call: Call, inner: Handler) -> Response:
    """Let the service find out who calls; it raises its own 401."""
    if call.service is not None and call.service.authenticate is not None:
        await call.service.authenticate(call)
    if call.caller is not None:
        call.entry.principal = call.caller.name
    return await inner(call)


async def authorize(call: Call, inner: Handler) -> Response:
    """Check the route's RBAC action. Data planes check their data actions themselves: their refusals differ.

    :raises HttpFault: ARM's 403
    """
    route = call.route
    if route is not None and route.action is not None:
        call.entry.action, call.entry.scope = route.action, route.scope(call)
        call.require(route.action, call.entry.scope)
    return await inner(call)
