"""Error responses, in the envelope of each family of services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Builds a body from status, code and message; each family of services has its own.
Envelope = Callable[[int, str, str], dict[str, Any]]

_OCI_CODES = {
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    429: "TOOMANYREQUESTS",
    501: "UNSUPPORTED",
    503: "UNAVAILABLE",
}


class HttpFault(Exception):
    """An error response, ready to be sent."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


def arm_fault(
    status: int,
    code: str,
    message: str,
    *,
    details: Sequence[Mapping[str, Any]] = (),
    target: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpFault:
    """ARM's envelope: ``{"error": {"code", "message", …}}``."""
    error: dict[str, Any] = {"code": code, "message": message}
    if target is not None:
        error["target"] = target
    if details:
        error["details"] = [dict(detail) for detail in details]
    return HttpFault(status, {"error": error}, headers)


def vault_fault(
    status: int, code: str, message: str, inner: str | None = None, headers: Mapping[str, str] | None = None
) -> HttpFault:
    """Key Vault's envelope: ARM's with an ``innererror`` that distinguishes the cases of one code."""
    error: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return HttpFault(status, {"error": error}, headers)


class NotSupported(HttpFault):
    """A 501 for something that Azure does and the sandbox does not; sent in the service's own envelope."""

    code = "NotSupportedBySandbox"

    def __init__(self, message: str) -> None:
        super().__init__(501, arm_envelope(501, self.code, message))
        self.message = message


def not_supported(method: str, host: str, path: str) -> NotSupported:
    """The 501 for an unsupported operation."""
    return NotSupported(f"The sandbox does not support {method} https://{host}{path}. Nothing was changed.")


def arm_envelope(status: int, code: str, message: str) -> dict[str, Any]:
    """The envelope of ARM, and of services built like it: Key Vault, Microsoft Graph, Log Analytics."""
    return {"error": {"code": code, "message": message}}


def oci_envelope(status: int, code: str, message: str) -> dict[str, Any]:
    """The registries' envelope (OCI distribution spec v1.1, "Error Codes"); it has few codes beyond content errors."""
    return {"errors": [{"code": _OCI_CODES.get(status, "UNKNOWN"), "message": f"{code}: {message}"}]}


def oauth_envelope(status: int, code: str, message: str) -> dict[str, Any]:
    """The token endpoints' envelope (RFC 6749, sections 4.1.2.1 and 5.2)."""
    error = {501: "unsupported_response_type", 503: "temporarily_unavailable"}.get(status, "server_error")
    return {"error": error, "error_description": f"{code}: {message}"}


def github_envelope(status: int, code: str, message: str) -> dict[str, Any]:
    """The envelope of GitHub's REST API."""
    return {"message": f"{code}: {message}", "documentation_url": "https://docs.github.com/rest", "status": str(status)}


def azure_devops_envelope(status: int, code: str, message: str) -> dict[str, Any]:
    """The envelope of Azure DevOps' REST API: an exception's name and message."""
    return {"$id": "1", "innerException": None, "message": message, "typeKey": code, "errorCode": 0, "eventId": 3000}
