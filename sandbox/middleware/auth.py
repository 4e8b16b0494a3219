"""Authentication, which comes before the layers that ignore rights, and authorization, which comes after them."""

from __future__ import annotations

from starlette.responses import Response

from sandbox.core.routing import Call, Handler


async def authenticate(call: Call, inner: Handler) -> Response:
    """Let the service identify the caller; it raises its own 401."""
    if call.service is not None and call.service.authenticate is not None:
        await call.service.authenticate(call)
    if call.caller is not None:
        call.entry.principal = call.caller.name
    return await inner(call)


async def authorize(call: Call, inner: Handler) -> Response:
    """Check the route's RBAC action. Data planes check their data actions themselves, since their errors differ.

    :raises HttpFault: ARM's 403
    """
    route = call.route
    if route is not None and route.action is not None:
        call.entry.action, call.entry.scope = route.action, route.scope(call)
        call.require(route.action, call.entry.scope)
    return await inner(call)
