"""Translates every error of the Azure SDKs into a :class:`~pratique.errors.PratiqueError`.

::

    with azure_faults("read the vault", vault_id):
        vault = await session.vaults.vaults.get(group, name)

The HTTP status alone is not enough: a failed long-running operation arrives with the status 200 of the poll that
reported it, and Key Vault distinguishes a closed firewall from a missing role only in the inner error.

Facts: ARM error envelope (Azure REST guidelines, "Handling errors"); Key Vault REST API error codes; azure-core's
exception mapping.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from azure.core import exceptions as sdk

from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    Conflict,
    NetworkDenied,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    ScopeLocked,
    Throttled,
    Unavailable,
    UnreadableAnswer,
)
from pratique.http_errors import retry_after

LONGEST = 900  # characters kept of a service's message
_CLOSED = ("ForbiddenByFirewall", "ForbiddenByConnection", "ForbiddenByNsp")
_ACTION = re.compile(r"(?:perform action|Action:)\s*'([^']+)'")
_SCOPE = re.compile(r"(?:over scope|Resource:)\s*'([^']+)'")
_REMEDIES: Mapping[type[PratiqueError], str] = {
    AuthenticationFailed: "Check the worker's identity: AZURE_CLIENT_ID, AZURE_TENANT_ID and its secret, or az login.",
    NetworkDenied: "Allow this worker's address, or run the worker inside the network.",
    NotFound: "Check the name, the resource group and the subscription.",
    Conflict: "Look at what already exists.",
    ScopeLocked: "Remove the lock on the scope that the message names last, or ask its owner: az lock list.",
    OperationFailed: "Fix what the message names, then run again.",
    Throttled: "Wait, then run again.",
    Unavailable: "Run again; if it persists, check the service's health.",
    UnreadableAnswer: "Report this: Pratique does not know the form of the service's answer.",
    ConfigurationError: "Set SSL_CERT_FILE to the certificate authorities that this network trusts.",
}


@dataclass(frozen=True, kw_only=True)
class ServiceFault:
    """A service's error answer.

    :ivar status: HTTP status, or ``None`` without an answer
    :ivar inner_code: Key Vault's inner error code
    :ivar reasons: the innermost causes, as ``code: message``
    :ivar retry_after: seconds that the service asks to wait
    """

    status: int | None
    code: str
    inner_code: str
    message: str
    reasons: tuple[str, ...] = ()
    request_id: str = ""
    retry_after: float | None = None

    def __str__(self) -> str:
        text = _short("; ".join(self.reasons) or self.message)
        label = " ".join(part for part in (_number(self.status), self.inner_code or self.code) if part)
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{label}: {text}{request}" if label else f"{text}{request}"


def read_fault(error: sdk.HttpResponseError) -> ServiceFault:
    """Parse an SDK error."""
    body = _body(error)
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    inner = body.get("innererror")
    return ServiceFault(
        status=error.status_code,
        code=str(body.get("code") or ""),
        inner_code=str(inner.get("code") or "") if isinstance(inner, dict) else "",
        message=str(body.get("message") or error.message),
        reasons=tuple(dict.fromkeys(_innermost(body))) if body.get("details") else (),
        request_id=headers.get("x-ms-request-id", ""),
        retry_after=retry_after(headers),
    )


def translate(
    error: Exception, attempted: str, subject: str, remedies: Mapping[type[PratiqueError], str] | None = None
) -> PratiqueError:
    """Translate an SDK error.

    :param remedies: more specific next steps than the general ones, by error class
    """
    kind, observed, wait = _classify(error)
    remedy = (remedies or {}).get(kind) or (
        _permission_remedy(observed) if kind is PermissionDenied else _REMEDIES[kind]
    )
    translated = kind(attempted, subject, observed, remedy)
    if isinstance(translated, Throttled):
        translated.retry_after = wait
    return translated


@contextmanager
def azure_faults(
    attempted: str, subject: str, *, remedies: Mapping[type[PratiqueError], str] | None = None
) -> Iterator[None]:
    """Translate every SDK error that the block raises.

    The SDK's error is not chained, because it holds the request and so the passwords and keys of its body.

    :param attempted: what the block does, as a verb phrase
    :param subject: what it does it to
    :raises PratiqueError: in place of every error of azure-core, azure-identity and aiohttp, of time-outs, and of JSON
        that is nested too deeply to parse
    """
    try:
        yield
    except PratiqueError:
        raise
    except (
        sdk.AzureError,
        sdk.SerializationError,
        sdk.DeserializationError,
        aiohttp.ClientError,
        TimeoutError,
        OSError,
        RecursionError,
    ) as error:
        raise translate(error, attempted, subject, remedies) from None


def _classify(error: Exception) -> tuple[type[PratiqueError], str, float | None]:
    if isinstance(error, sdk.HttpResponseError):
        fault = read_fault(error)
        return _by_status(error, fault), str(fault), fault.retry_after
    text = _short(str(error)) or type(error).__name__
    if isinstance(error, (sdk.SerializationError, sdk.DeserializationError, RecursionError)):
        return UnreadableAnswer, text, None
    if isinstance(error, (sdk.StreamConsumedError, sdk.StreamClosedError, sdk.ResponseNotReadError)):
        return UnreadableAnswer, text, None
    causes = (error, getattr(error, "inner_exception", None))
    if any(isinstance(cause, aiohttp.ClientConnectorCertificateError) for cause in causes):
        return ConfigurationError, text, None
    return Unavailable, f"No answer: {text}", None


def _by_status(error: sdk.HttpResponseError, fault: ServiceFault) -> type[PratiqueError]:
    match fault.status:
        case None:
            return _by_class(error)
        case 429:
            return Throttled
        case status if status == 408 or (status >= 500 and status != 501):
            return Unavailable
        case _ if isinstance(error, sdk.DecodeError):
            return _by_class(error)
        case 401:
            return AuthenticationFailed
        case 403:
            return NetworkDenied if fault.inner_code in _CLOSED else PermissionDenied
        case 404:
            return NotFound
        case 409 if fault.code == "ScopeLocked":
            return ScopeLocked
        case 409 | 412:
            return Conflict
        case status if 300 <= status < 400:
            return UnreadableAnswer
        case _ if isinstance(error, sdk.ClientAuthenticationError):
            return AuthenticationFailed
        case _:
            return OperationFailed


def _by_class(error: sdk.HttpResponseError) -> type[PratiqueError]:
    match error:
        case sdk.IncompleteReadError():
            return Unavailable
        case sdk.ClientAuthenticationError():
            return AuthenticationFailed
        case sdk.ResourceNotFoundError():
            return NotFound
        case sdk.ResourceExistsError() | sdk.ResourceModifiedError():
            return Conflict
        case sdk.DecodeError() | sdk.TooManyRedirectsError() | sdk.ResourceNotModifiedError():
            return UnreadableAnswer
        case _:
            return OperationFailed


def _permission_remedy(observed: str) -> str:
    action, scope = _ACTION.search(observed), _SCOPE.search(observed)
    what = action[1] if action else "this action"
    where = f" on {scope[1]}" if scope else ""
    return f"Give the worker's identity a role with {what}{where} (az role assignment create), then run again."


def _body(error: sdk.HttpResponseError) -> dict[str, Any]:
    """The ``error`` object of the answer, whichever SDK model parsed it."""
    try:
        document = json.loads(error.response.text())  # type: ignore[union-attr]  # no response: AttributeError
    except (AttributeError, ValueError, sdk.AzureError):
        document = None
    body = document.get("error") if isinstance(document, dict) else None
    if isinstance(body, dict):
        return body
    if isinstance(body, str):  # Entra ID's form
        return {"code": body, "message": document.get("error_description", body)}
    return {}


def _innermost(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the leaves of nested ``details``; ARM wraps a provider's answer as JSON in a message."""
    details = [detail for detail in node.get("details") or () if isinstance(detail, dict)]
    message = str(node.get("message") or "")
    if not details and message.lstrip().startswith("{"):
        try:
            wrapped = json.loads(message)
        except ValueError:
            wrapped = {}
        wrapped = wrapped.get("error", wrapped) if isinstance(wrapped, dict) else {}
        if isinstance(wrapped, dict) and wrapped.get("message"):
            details = [wrapped]
    if not details:
        yield f"{node.get('code') or 'Error'}: {message}"
    for detail in details:
        yield from _innermost(detail)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _number(status: int | None) -> str:
    return str(status) if status is not None and not 200 <= status < 300 else ""
