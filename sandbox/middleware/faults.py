"""Injects faults into requests (:mod:`sandbox.core.faults`).

This layer comes after authentication: a request that is refused with a challenge neither meets a fault nor counts as
a match. Faults do not apply to the control host.
"""

from __future__ import annotations

import contextlib

from starlette.responses import HTMLResponse, PlainTextResponse, Response

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
_LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form method=post></form></body></html>"


async def faults(call: Call, inner: Handler) -> Response:
    """Apply the fault that hits the call, if any.

    :raises HttpFault: for a status
    :raises Cut: for a reset or a timeout; ``reset-after`` and ``timeout-after`` apply the request's effect first
    """
    faults = call.azure.faults
    active = None if call.host == HOST else faults.of_request(call.method, call.host, call.path, call.entry.client)
    if active is None:
        return await inner(call)
    fault = active.fault
    call.entry.fault = fault.kind
    match fault.kind:
        case "status" if fault.plain:
            return PlainTextResponse(fault.message or "", fault.status, _retry_after(fault))
        case "status":
            raise _status(call, fault)
        case "web-page":
            return HTMLResponse(_LOGIN_PAGE)
        case "truncated":
            return _first_half(await inner(call))
        case "slow":
            clock = call.azure.clock
            await clock.sleep_until(clock.elapsed() + fault.seconds)  # which makes no time pass on demand
            return await inner(call)
        case "reset-after" | "timeout-after":
            with contextlib.suppress(HttpFault):
                await inner(call)
    active.caught.set()
    raise Cut(reset=fault.kind.startswith("reset"))


def _first_half(answer: Response) -> Response:
    """An answer whose body ends in the middle, as if it were whole: with a length that fits."""
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return Response(bytes(answer.body)[: len(answer.body) // 2], answer.status_code, headers)


def _status(call: Call, fault: Fault) -> HttpFault:
    code = fault.code or _CODES.get(fault.status, "BadRequest" if fault.status < 500 else "InternalServerError")
    message = fault.message or "The sandbox injected this error."
    body = envelope_of(call)(fault.status, code, message)
    if fault.details and isinstance(error := body.get("error"), dict):
        error["details"] = list(fault.details)
    return HttpFault(fault.status, body, _retry_after(fault))


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
