"""Records a request's result in the log that the control API shows."""

from __future__ import annotations

import time

from starlette.responses import Response

from sandbox.core.routing import Call, Handler


async def log(call: Call, inner: Handler) -> Response:
    """Complete the entry; without a response its status stays 0."""
    started = time.perf_counter()
    try:
        response = await inner(call)
        call.entry.status = response.status_code
        return response
    finally:
        call.entry.milliseconds = round((time.perf_counter() - started) * 1000, 1)
