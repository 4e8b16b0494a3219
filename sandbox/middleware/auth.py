"""Authentication, which comes before the layers that ignore rights, and authorization, which comes after them."""

from __future__ import annotations

from starlette.responses import Response

from sandbox.core.conditions import NO_ATTRIBUTES
from sandbox.core.locks import Operation
from sandbox.core.routing import Call, Handler

_ARM = "management.azure.com"
#: What a lock forbids, by method; POST counts as a write.
_LOCKABLE: dict[str, Operation] = {"PUT": "write", "PATCH": "write", "POST": "write", "DELETE": "delete"}


async def authenticate(call: Call, inner: Handler) -> Response:
    """Let the service identify the caller; it raises its own 401."""
    if call.service is not None and call.service.authenticate is not None:
        await call.service.authenticate(call)
    if call.caller is not None:
        call.entry.principal = call.caller.name
    return await inner(call)


async def authorize(call: Call, inner: Handler) -> Response:
    """Check the route's RBAC action, and in ARM the locks. Data planes check their data actions, with their own errors.

    :raises HttpFault: ARM's 403, or 409 ScopeLocked
    """
    route = call.route
    if route is not None and route.action is not None:
        call.entry.action, call.entry.scope = route.action, route.scope(call)
        attributes = NO_ATTRIBUTES if route.attributes is None else route.attributes(call)
        call.require(route.action, call.entry.scope, attributes)
    operation = _LOCKABLE.get(call.method)
    if operation and call.host == _ARM and call.service and not call.service.ignores_locks:
        call.azure.locks.require(operation, call.path)
    return await inner(call)
