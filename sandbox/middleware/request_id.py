"""The outermost layer: adds request ids and other headers to every response."""

from __future__ import annotations

import uuid

from starlette.responses import Response

from sandbox.core.routing import Call, Handler


async def request_id(call: Call, inner: Handler) -> Response:
    """Add a request id as Azure does, and return the client's own request id."""
    response = await inner(call)
    name = str(uuid.uuid4())
    headers = {"x-ms-request-id": name, "x-ms-correlation-request-id": name, **call.answer_headers}
    if client_request_id := call.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client_request_id
    for header, value in headers.items():
        response.headers.setdefault(header, value)
    return response
