"""Translates every error of the Azure SDKs into a :class:`~pratique.errors.PratiqueError`.

::

    with azure_faults("read the vault", vault_id):
        vault = await session.vaults.vaults.get(group, name)

The HTTP status alone is not enough: a failed long-running operation arrives with the status 200 of the poll that
reported it, and Key Vault distinguishes a closed firewall from a missing role only in the inner error. What a known
code means is in :mod:`pratique.azure.refusals`.

Facts: ARM error envelope (Azure REST guidelines, "Handling errors"); Key Vault REST API error codes; azure-core's
exception mapping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from azure.core import exceptions as sdk

from pratique.azure.causes import Cause, innermost, outermost
from pratique.azure.refusals import ROLE, complete, known_refusal
from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    Conflict,
    NetworkDenied,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    Throttled,
    TransientError,
    Unavailable,
    UnreadableAnswer,
)
from pratique.http_errors import retry_after
from pratique.masking import masked, shortened

LONGEST = 900  # characters kept of a service's message
#: azure-core checks the JSON of answers that say they are JSON. Generated clients parse the others, such as a proxy's
#: login page with status 200, and let the parser's errors pass.
_NOT_JSON = (json.JSONDecodeError, UnicodeDecodeError)
_REMEDIES: Mapping[type[PratiqueError], str] = {
    AuthenticationFailed: "Check the worker's identity: AZURE_CLIENT_ID, AZURE_TENANT_ID and its secret, or az login.",
    PermissionDenied: ROLE,
    NetworkDenied: "Allow this worker's address, or run the worker inside the network.",
    NotFound: "Check the name, the resource group and the subscription.",
    Conflict: "Look at what already exists.",
    OperationFailed: "Fix what the message names, then run again.",
    Throttled: "Wait, then run again.",
    Unavailable: "Run again; if it persists, check the service's health.",
    UnreadableAnswer: "Report this: Pratique does not know the form of the service's answer.",
    ConfigurationError: "Set SSL_CERT_FILE to the certificate authorities that this network trusts.",
}


class NotRegistered(Exception):
    """A resource provider is not registered. Not an error of the SDK, so that the SDK neither repeats nor handles it.

    :ivar error: what the SDK would raise
    """

    def __init__(self, error: sdk.HttpResponseError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, kw_only=True)
class ServiceFault:
    """A service's error answer.

    :ivar status: HTTP status, or ``None`` without an answer
    :ivar outer: the error that the answer itself names
    :ivar causes: the innermost errors; at least one
    :ivar retry_after: seconds that the service asks to wait
    """

    status: int | None
    outer: Cause
    causes: tuple[Cause, ...]
    request_id: str = ""
    retry_after: float | None = None

    @property
    def inner_code(self) -> str:
        """The code of the first innermost error."""
        return self.causes[0].code

    def __str__(self) -> str:
        first, *more = self.causes
        nested = bool(more) or first.message != self.outer.message
        code, text = (self.outer.code, "; ".join(map(str, self.causes))) if nested else (first.code, first.message)
        label = " ".join(part for part in (_number(self.status), code) if part)
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{label}: {_short(text)}{request}" if label else f"{_short(text)}{request}"


def read_fault(error: sdk.HttpResponseError) -> ServiceFault:
    """Parse an SDK error."""
    answer, without = _answer(error), Cause("", str(error.message))
    causes = innermost(answer)
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    return ServiceFault(
        status=error.status_code,
        outer=outermost(answer) if causes else without,
        causes=causes or (without,),
        request_id=headers.get("x-ms-request-id", ""),
        retry_after=retry_after(headers),
    )


def translate(
    error: Exception, attempted: str, subject: str, remedies: Mapping[type[PratiqueError], str] | None = None
) -> PratiqueError:
    """Translate an SDK error.

    :param remedies: more specific next steps than the general ones, by error class
    """
    kind, observed, step, wait = _classify(error)
    translated = kind(attempted, subject, observed, (remedies or {}).get(kind) or step)
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
    :raises PratiqueError: in place of every error of azure-core, azure-identity and aiohttp, of time-outs, and of
        answers that are no JSON or nested too deeply to parse
    """
    try:
        yield
    except PratiqueError:
        raise
    except NotRegistered as missing:
        raise translate(missing.error, attempted, subject, remedies) from None
    except (
        sdk.AzureError,
        sdk.SerializationError,
        sdk.DeserializationError,
        aiohttp.ClientError,
        TimeoutError,
        OSError,
        RecursionError,
        *_NOT_JSON,
    ) as error:
        raise translate(error, attempted, subject, remedies) from None


def _classify(error: Exception) -> tuple[type[PratiqueError], str, str, float | None]:
    """Class, observation and next step for an error, and the seconds that the service asks to wait."""
    if isinstance(error, sdk.HttpResponseError):
        fault = read_fault(error)
        kind, step = _refused(_by_status(error, fault), fault)
        return kind, str(fault), step, fault.retry_after
    kind, observed = _without_answer(error)
    return kind, observed, _REMEDIES[kind], None


def _refused(by_status: type[PratiqueError], fault: ServiceFault) -> tuple[type[PratiqueError], str]:
    """Class and next step: those of the code, if it is known. A status that another attempt may fix stays transient."""
    refusal = known_refusal((*fault.causes, fault.outer))
    if refusal is None or (issubclass(by_status, TransientError) and not issubclass(refusal.error, TransientError)):
        return by_status, complete(_REMEDIES[by_status], fault.causes[0])
    return (by_status if issubclass(by_status, TransientError) else refusal.error), refusal.step


def _without_answer(error: Exception) -> tuple[type[PratiqueError], str]:
    text = _short(str(error)) or type(error).__name__
    if isinstance(error, _NOT_JSON):
        return UnreadableAnswer, f"The answer is not JSON: {text}"
    if isinstance(error, (sdk.SerializationError, sdk.DeserializationError, RecursionError)):
        return UnreadableAnswer, text
    if isinstance(error, (sdk.StreamConsumedError, sdk.StreamClosedError, sdk.ResponseNotReadError)):
        return UnreadableAnswer, text
    causes = (error, getattr(error, "inner_exception", None))
    if any(isinstance(cause, aiohttp.ClientConnectorCertificateError) for cause in causes):
        return ConfigurationError, text
    return Unavailable, f"No answer: {text}"


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
            return PermissionDenied
        case 404:
            return NotFound
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


def _answer(error: sdk.HttpResponseError) -> object:
    """The JSON of the answer; ``None`` without any."""
    try:
        return json.loads(error.response.text())  # type: ignore[union-attr]  # no response: AttributeError
    except (AttributeError, ValueError, RecursionError, sdk.AzureError):
        return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return masked(text) if len(text) <= LONGEST else shortened(text, LONGEST - 1) + "…"


def _number(status: int | None) -> str:
    return str(status) if status is not None and not 200 <= status < 300 else ""
