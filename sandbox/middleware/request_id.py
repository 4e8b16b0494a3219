"""The outermost layer: ids and whatever else goes on every answer."""

from __future__ import annotations

import uuid

from starlette.responses import Response

from sandbox.core.routing import Call, Handler


async def request_id(call: Call, inner: Handler) -> Response:
    """Name the request as Azure does, and repeat the client's own name for it."""
    response = await inner(call)
    name = str(uuid.uuid4())
    headers = {"x-ms-request-id": name, "x-ms-correlation-request-id": name, **call.answer_headers}
    if client_request_id := call.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client_request_id
    for header, value in headers.items():
        response.headers.setdefault(header, value)
    return response
