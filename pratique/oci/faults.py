"""Turns error responses of registries into errors of :mod:`pratique.errors`.

Facts: OCI distribution-spec v1.1, "Error Codes"; Azure Container Registry, "Configure public registry access".
"""

from __future__ import annotations

import httpx

from pratique.errors import (
    AuthenticationFailed,
    NetworkDenied,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    Throttled,
    Unavailable,
)
from pratique.http_answers import json_of
from pratique.http_errors import retry_after
from pratique.markdown import one_line

LONGEST = 600  # characters of a registry's message that are kept
_NETWORK_DENIED = "is not allowed access"  # in Azure's message, with code DENIED


def response_error(response: httpx.Response, attempted: str, subject: str) -> PratiqueError:
    """The error for an unsuccessful response, whose body must have been read."""
    codes, observed = _error_codes(response)
    status = response.status_code
    if status == 429 or "TOOMANYREQUESTS" in codes:
        throttled = Throttled(attempted, subject, observed, "Wait, or configure credentials for this registry.")
        throttled.retry_after = retry_after(response.headers)
        return throttled
    if status == 401:
        remedy = "Check that the repository exists, and configure credentials for this registry if it is private."
        return AuthenticationFailed(attempted, subject, observed, remedy)
    if status == 403 and _NETWORK_DENIED in observed:
        remedy = "Give this worker access to the registry: a private endpoint, or a rule for its address."
        return NetworkDenied(attempted, subject, observed, remedy)
    if status == 403:
        return PermissionDenied(attempted, subject, observed, "Grant the worker's identity the right to pull from it.")
    if status == 404:
        return NotFound(attempted, subject, observed, "Check the registry, the repository and the tag or digest.")
    if status == 408 or (status >= 500 and status != 501):
        return Unavailable(attempted, subject, observed, "Run again.")
    return OperationFailed(attempted, subject, observed, "Fix what the registry reports, then run again.")


def _error_codes(response: httpx.Response) -> tuple[set[str], str]:
    """The error codes, and the status with the registry's messages."""
    document = json_of(response)
    errors = document.get("errors") if isinstance(document, dict) else None
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    messages = "; ".join(f"{error.get('code')}: {error.get('message')}" for error in listed)
    text = one_line(messages or response.reason_phrase)[:LONGEST]
    return {str(error.get("code")) for error in listed}, f"{response.status_code} {text}"
