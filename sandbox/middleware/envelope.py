"""Turns exceptions of layers and services into responses in the envelope of the service's family."""

from __future__ import annotations

import logging
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import Envelope, HttpFault, NotSupported, arm_envelope
from sandbox.core.routing import Call, Handler, answer
from sandbox.middleware.cut import Cut

_log = logging.getLogger(__name__)


async def envelope(call: Call, inner: Handler) -> Response:
    """Answer every failure except a connection that is cut on purpose."""
    try:
        return await inner(call)
    except NotSupported as gap:
        return _refusal(call, gap.status, gap.code, gap.message)
    except HttpFault as fault:
        return _rendered(call, fault.body, fault.status, fault.headers)
    except Cut:
        raise
    except Exception as error:
        _log.exception("%s https://%s%s crashed", call.method, call.host, call.path)
        return _refusal(call, 500, "InternalServerError", f"Internal error in the sandbox: {error!r}")


def envelope_of(call: Call) -> Envelope:
    """The envelope of the host's service."""
    return call.service.envelope if call.service is not None else arm_envelope


def _refusal(call: Call, status: int, code: str, message: str) -> Response:
    return _rendered(call, envelope_of(call)(status, code, message), status, {})


def _rendered(call: Call, body: dict[str, Any], status: int, headers: dict[str, str]) -> Response:
    render = call.service.render if call.service is not None else answer
    return render(body, status, headers)
