"""What registries and httpx refuse with, told in our own words.

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
from pratique.http_errors import retry_after

LONGEST = 600  # characters of a registry's message that are kept
_CLOSED = "is not allowed access"  # Azure's registries, with code DENIED


def refusal(answer: httpx.Response, attempted: str, subject: str) -> PratiqueError:
    """The error for an answer other than success, whose body has been read."""
    codes, observed = _told(answer)
    status = answer.status_code
    if status == 429 or "TOOMANYREQUESTS" in codes:
        throttled = Throttled(attempted, subject, observed, "Wait, or give credentials for this registry.")
        throttled.retry_after = retry_after(answer.headers)
        return throttled
    if status == 401:
        remedy = "Check that the repository exists, and give credentials for this registry if it is private."
        return AuthenticationFailed(attempted, subject, observed, remedy)
    if status == 403 and _CLOSED in observed:
        remedy = "Let this worker reach the registry: a private endpoint, or a rule for its address."
        return NetworkDenied(attempted, subject, observed, remedy)
    if status == 403:
        return PermissionDenied(attempted, subject, observed, "Give the worker's identity the right to pull from it.")
    if status == 404:
        return NotFound(attempted, subject, observed, "Check the registry, the repository and the tag or digest.")
    if status == 408 or (status >= 500 and status != 501):
        return Unavailable(attempted, subject, observed, "Run again.")
    return OperationFailed(attempted, subject, observed, "Mend what the registry names, then run again.")


def _told(answer: httpx.Response) -> tuple[set[str], str]:
    """Error codes, and the registry's words with the status before them."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    errors = document.get("errors") if isinstance(document, dict) else None
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    said = "; ".join(f"{error.get('code')}: {error.get('message')}" for error in listed)
    words = " ".join((said or answer.reason_phrase).split())[:LONGEST]
    return {str(error.get("code")) for error in listed}, f"{answer.status_code} {words}"
