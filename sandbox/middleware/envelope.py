"""From what a layer or a service raises to an answer in the envelope of the service's family."""

from __future__ import annotations

import logging

from starlette.responses import Response

from sandbox.core.errors import Envelope, HttpFault, NotPlayed, arm_envelope
from sandbox.core.routing import Call, Handler, answer, fault_answer
from sandbox.middleware.cut import Cut

_log = logging.getLogger(__name__)


async def envelope(call: Call, inner: Handler) -> Response:
    """Answer for every failure but a connection that is cut on purpose."""
    try:
        return await inner(call)
    except NotPlayed as gap:
        return answer(envelope_of(call)(gap.status, gap.code, gap.message), gap.status)
    except HttpFault as fault:
        return fault_answer(fault)
    except Cut:
        raise
    except Exception as error:
        _log.exception("%s https://%s%s broke", call.method, call.host, call.path)
        return answer(envelope_of(call)(500, "InternalServerError", f"The sandbox broke: {error!r}"), 500)


def envelope_of(call: Call) -> Envelope:
    """That of the host's service."""
    return call.service.envelope if call.service is not None else arm_envelope
