"""Faults of requests that a test asked for (:mod:`sandbox.core.faults`).

They lie behind authentication: a request that is refused with a challenge meets none and counts for none. The control
host is out of their reach.
"""

from __future__ import annotations

import contextlib

from starlette.responses import Response

from sandbox.control import HOST
from sandbox.core.errors import HttpFault
from sandbox.core.faults import Fault
from sandbox.core.routing import Call, Handler
from sandbox.middleware.cut import Cut
from sandbox.middleware.envelope import envelope_of

_CODES = {
    408: "RequestTimeout",
    409: "Conflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


async def faults(call: Call, inner: Handler) -> Response:
    """Let the call meet the fault that stands in its way.

    :raises HttpFault: for a status
    :raises Cut: for a reset or a timeout, whose effect is there by then
    """
    faults = call.azure.faults
    standing = None if call.host == HOST else faults.of_request(call.method, call.host, call.path, call.entry.client)
    if standing is None:
        return await inner(call)
    fault = standing.fault
    call.entry.fault = fault.kind
    match fault.kind:
        case "status":
            raise _status(call, fault)
        case "slow":
            clock = call.azure.clock
            await clock.sleep_until(clock.elapsed() + fault.seconds)  # which makes no time pass on demand
            return await inner(call)
        case "reset-after" | "timeout-after":
            with contextlib.suppress(HttpFault):
                await inner(call)
    standing.caught.set()
    raise Cut(reset=fault.kind.startswith("reset"))


def _status(call: Call, fault: Fault) -> HttpFault:
    code = fault.code or _CODES.get(fault.status, "BadRequest" if fault.status < 500 else "InternalServerError")
    message = fault.message or "The service is out of order, as a fault of the sandbox asked."
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return HttpFault(fault.status, envelope_of(call)(fault.status, code, message), headers)
