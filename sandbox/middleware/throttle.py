"""ARM's rate limit: each request takes a token; headers carry the remaining ones; with none left the answer is 429."""

from __future__ import annotations

import math
import re

from starlette.responses import Response

from sandbox.azure import Azure
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.routing import Call, Handler
from sandbox.core.throttling import KINDS, Buckets, Kind, Taken

HOST = "management.azure.com"

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)


class Throttle:
    """The buckets of each subscription, and those for calls outside a subscription."""

    def __init__(self, azure: Azure) -> None:
        self.subscriptions = {name: Buckets(azure.clock.elapsed) for name in azure.subscription_ids}
        self.tenant = Buckets(azure.clock.elapsed)


async def throttle(call: Call, inner: Handler) -> Response:
    """Take a token for an authenticated caller of ARM.

    :raises HttpFault: 429 SubscriptionRequestsThrottled or TenantRequestsThrottled, with Retry-After
    """
    if call.host != HOST or call.caller is None:
        return await inner(call)
    found = _SUBSCRIPTION.match(call.path)
    kind, limits = KINDS.get(call.method, "writes"), call.azure.state(Throttle)
    principal = call.caller.object_id
    taken = (limits.subscriptions[found[1].lower()] if found else limits.tenant).take(principal, kind)
    call.azure.clock.after(taken.fills)
    scope = "subscription" if found else "tenant"
    call.answer_headers[f"x-ms-ratelimit-remaining-{scope}-{kind}"] = str(taken.remaining)
    if found:
        call.answer_headers[f"x-ms-ratelimit-remaining-subscription-global-{kind}"] = str(taken.remaining_of_all)
    if taken.wait > 0:
        raise _throttled(call, kind, found[1] if found else None, taken)
    return await inner(call)


def _throttled(call: Call, kind: Kind, subscription: str | None, taken: Taken) -> HttpFault:
    """The error text is the current one for subscriptions; the tenant's is modelled on it (UNVERIFIED)."""
    seconds = max(1, math.ceil(call.azure.clock.wall(taken.wait)))
    code = "SubscriptionRequestsThrottled" if subscription else "TenantRequestsThrottled"
    where = f"subscription '{subscription}'" if subscription else f"tenant '{call.azure.tenant_id}'"
    message = (
        f"Number of '{kind.removesuffix('s')}' requests for {where} actor '{call.principal.object_id}' exceeded. "
        f"Please try again after '{seconds}' seconds after additional tokens are available. Refer to "
        "https://aka.ms/arm-throttling for additional information."
    )
    return arm_fault(429, code, message, headers={"Retry-After": str(seconds)})
