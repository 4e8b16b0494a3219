"""The Azure Instance Metadata Service, as far as a managed identity needs it: plain HTTP on a link-local address.

A client reaches it with the sandbox as its proxy for HTTP as well, or with AZURE_POD_IDENTITY_AUTHORITY_HOST. The
machine has one identity, the pipeline's. Source: Microsoft Learn, "How to use managed identities for Azure resources on
an Azure VM to acquire an access token".
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, oauth_envelope
from sandbox.core.routing import Call, Service, answer
from sandbox.services.entra.state import Entra

HOST = "169.254.169.254"
LIFETIME = 86_400

imds = Service("imds", (HOST, "127.0.0.1"), envelope=oauth_envelope, plain=True)


@imds.get("/metadata/identity/oauth2/token")
async def token(call: Call) -> Response:
    """A token for the machine's identity; numbers in the response are strings."""
    query, identity = call.query, call.azure.scenario.identity
    if call.headers.get("metadata", "").lower() != "true":
        raise _refused("Required metadata header not specified")
    if not query.get("api-version") or not query.get("resource"):
        raise _refused("Required query variable 'resource' or 'api-version' is missing")
    named = {"client_id": identity.client_id, "object_id": identity.object_id}
    if any(query.get(key, value) != value for key, value in named.items()):
        raise _refused("Identity not found")
    principal = call.azure.access.principals[identity.object_id]
    issued = call.azure.state(Entra).issue(principal, query["resource"], by_secret=False, lifetime=LIFETIME)
    now = int(call.azure.clock.now().timestamp())
    times = {"expires_in": LIFETIME, "ext_expires_in": LIFETIME, "expires_on": now + LIFETIME, "not_before": now}
    document: dict[str, Any] = {key: str(value) for key, value in times.items()}
    document |= {"access_token": issued, "client_id": identity.client_id}
    return answer({**document, "resource": query["resource"], "token_type": "Bearer"})


def _refused(message: str) -> HttpFault:
    return HttpFault(400, {"error": "invalid_request", "error_description": message})
