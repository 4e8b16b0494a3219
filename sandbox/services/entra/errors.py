"""Entra ID's errors, by AADSTS number.

Source: Microsoft Learn, "Microsoft Entra authentication and authorization error codes".
"""

from __future__ import annotations

import uuid

from sandbox.core.clock import Clock
from sandbox.core.errors import HttpFault

#: number: (HTTP status, OAuth 2.0 error, text)
_REFUSALS = {
    50027: (401, "invalid_client", "JWT token is invalid or malformed. {detail}"),
    50034: (
        400,
        "invalid_grant",
        "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account "
        "must be added to the directory.",
    ),
    50059: (
        400,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    50126: (400, "invalid_grant", "Error validating credentials due to invalid username or password."),
    70003: (400, "unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    90002: (
        400,
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    500011: (
        400,
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    ),
    700016: (
        400,
        "unauthorized_client",
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700024: (401, "invalid_client", "Client assertion is not within its valid time range."),
    700211: (
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer '{issuer}'.",
    ),
    700212: (
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion audience '{audience}'.",
    ),
    700213: (
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{subject}'.",
    ),
    900144: (400, "invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    1002012: (
        400,
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    ),
    7000215: (
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{client_id}'.",
    ),
    7000216: (
        401,
        "invalid_client",
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    ),
    7000218: (
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    9002313: (400, "invalid_grant", "Invalid request. Request is malformed or invalid."),
}


def entra_fault(clock: Clock, number: int, **details: str) -> HttpFault:
    """The token endpoint's envelope (RFC 6749 §5.2) with Entra's own fields.

    :param number: AADSTS number
    :param details: values for the placeholders in the text
    """
    status, error, text = _REFUSALS[number]
    now = clock.now()
    trace_id, correlation_id = str(uuid.uuid4()), str(uuid.uuid4())
    description = (
        f"AADSTS{number}: {text.format(**details)} Trace ID: {trace_id} Correlation ID: {correlation_id} "
        f"Timestamp: {now:%Y-%m-%d %H:%M:%SZ}"
    )
    body = {
        "error": error,
        "error_description": description,
        "error_codes": [number],
        "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    return HttpFault(status, body)
