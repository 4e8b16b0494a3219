"""The worker's identity: environment variables, a workload or managed identity, or ``az login``, in that order.

The first source that is configured decides, and stays the only one once it has given a token: a pause of the managed
identity must not turn a run into the person who has signed in with ``az login`` on the same machine.

The SDK reports a token service that is down, or slow, as a credential that is not configured. Here that is transient,
and only where nothing is configured does an error say so.

Facts: azure-identity 1.27, its credentials for managed identities, workload identities and ``az``; Microsoft Learn,
"How to use managed identities for Azure resources on an Azure VM to acquire an access token", "Error handling";
Azure/azure-sdk-for-python#35452 and #36637.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import aiohttp
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity import CredentialUnavailableError
from azure.identity.aio import AzureCliCredential, DefaultAzureCredential, ManagedIdentityCredential

from pratique.azure.clouds import Cloud
from pratique.azure.faults import read_fault
from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    PratiqueError,
    Throttled,
    Unavailable,
    UnreadableAnswer,
)

CLI_SECONDS = 30  # az may start slowly on a busy machine
#: Of the managed identity's endpoint, to which the SDK gives one second to accept its first connection.
PROBES = 3

_ATTEMPTED = "get a token"
_SUBJECT = "the worker's identity"
#: Statuses by which a managed identity's endpoint says that it is busy or being updated.
_BUSY = frozenset({404, 408, 410, 429, *range(500, 600)})
#: What the az CLI, and the libraries under it, say about a network that fails.
_NETWORK = re.compile(
    r"max retries exceeded|timed? ?out|connection (?:aborted|refused|reset)|name resolution|unreachable|ProxyError|"
    r"temporarily unavailable|try again",
    re.IGNORECASE,
)
_REMEDIES: Mapping[str, str] = {
    "busy": "Run again; if it persists, check the managed identity's endpoint, or the network, of this machine.",
    "refused": "Check that the identity of AZURE_CLIENT_ID, registries.identity, drill.identity or "
    "registries.seal.identity is assigned to this "
    "machine, or sign in again (az login).",
    "absent": "Set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, assign a managed identity, or az login.",
}


@dataclass(frozen=True)
class _Failure:
    """Why a source gave no token.

    :ivar standing: ``absent`` when it is not configured, ``busy`` when another attempt may succeed
    :ivar slow: whether it may be there, and did not answer in time
    """

    standing: Literal["absent", "refused", "busy"]
    text: str
    slow: bool = False


class WorkerIdentity:
    """Gives tokens of the first source that is configured.

    :param chain: whose sources are asked one by one, so that their errors stay what they are
    :param named: whether the configuration names the managed identity
    """

    def __init__(self, chain: DefaultAzureCredential, named: bool = False) -> None:
        self._chain = chain
        self._named = named
        self._sources = cast(Sequence[AsyncTokenCredential], chain.credentials)
        self._proven = False

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **options: Any
    ) -> AccessToken:
        """A token, as azure-core asks for it.

        :raises Unavailable: when a source that is configured does not answer
        :raises AuthenticationFailed: when none is configured, or one is refused
        """
        options |= {"claims": claims, "tenant_id": tenant_id}
        failures: list[_Failure] = []
        for source in self._sources:
            found = await self._ask_again(source, scopes, options)
            if isinstance(found, AccessToken):
                self._sources, self._proven = (source,), True
                return found
            failures.append(found)
            if self._named and found.standing == "refused":
                break  # the machine has identities, and not this one: nobody else takes its place
        raise _no_token(failures)

    async def _ask_again(
        self, source: AsyncTokenCredential, scopes: Sequence[str], options: Mapping[str, Any]
    ) -> AccessToken | _Failure:
        """Ask a source, and ask it again if it may only be slow."""
        for _ in range(PROBES - 1):
            found = await self._ask(source, scopes, options)
            if isinstance(found, AccessToken) or not found.slow:
                return found
        return await self._ask(source, scopes, options)

    async def _ask(
        self, source: AsyncTokenCredential, scopes: Sequence[str], options: Mapping[str, Any]
    ) -> AccessToken | _Failure:
        try:
            return await source.get_token(*scopes, **options)
        except CredentialUnavailableError as error:
            return _why(source, error, proven=self._proven, named=self._named)
        except HttpResponseError as error:
            if isinstance(source, ManagedIdentityCredential) and error.status_code in _BUSY:
                raise _busy(error) from None
            if isinstance(source, AzureCliCredential) and _NETWORK.search(_line(error)):
                return _Failure("busy", _line(error))
            raise
        except OSError as error:
            remedy = "Check AZURE_FEDERATED_TOKEN_FILE, and the account that the worker runs as."
            raise AuthenticationFailed(_ATTEMPTED, _SUBJECT, f"{_line(error)}.", remedy) from None
        except ValueError as error:
            raise _misconfigured(error) from None
        except (LookupError, TypeError) as error:
            observed = f"The answer of its endpoint has no {_line(error)}."
            raise UnreadableAnswer(_ATTEMPTED, _SUBJECT, observed, "Check the endpoint.") from None

    async def close(self) -> None:
        await self._chain.close()

    async def __aenter__(self) -> WorkerIdentity:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def worker_identity(cloud: Cloud, transport: AioHttpTransport, identity: str | None = None) -> WorkerIdentity:
    """The identity that the environment configures.

    :param identity: client id of the managed or workload identity; default: AZURE_CLIENT_ID, or the only one
    :raises ConfigurationError: when a variable of azure-identity has a value that it cannot use, or when the
        environment has the credentials of another identity than ``identity``
    """
    if identity:
        _require_no_other(identity)
    # For the public cloud, AZURE_AUTHORITY_HOST may name another authority, as usual in azure-identity.
    authority = {} if cloud.name == "public" else {"authority": cloud.authority}
    try:
        return WorkerIdentity(
            DefaultAzureCredential(
                **authority,
                **(
                    {"managed_identity_client_id": identity, "workload_identity_client_id": identity}
                    if identity
                    else {}
                ),
                exclude_shared_token_cache_credential=True,
                exclude_visual_studio_code_credential=True,
                exclude_powershell_credential=True,
                exclude_developer_cli_credential=True,
                process_timeout=CLI_SECONDS,
                transport=transport,
            ),
            named=bool(identity),
        )
    except (ValueError, OSError) as error:
        raise _misconfigured(error) from None


def _require_no_other(identity: str) -> None:
    """:raises ConfigurationError: when the environment has the credentials of another service principal"""
    secrets = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
    client = os.environ.get("AZURE_CLIENT_ID", "")
    if client.lower() != identity.lower() and (found := [name for name in secrets if os.environ.get(name)]):
        raise ConfigurationError(
            _ATTEMPTED,
            f"identity {identity}",
            f"The configuration names this identity, but {found[0]} belongs to {client or 'another one'}.",
            "Run this flow on a work pool with that identity, or correct registries.identity or drill.identity.",
        )


def _why(
    source: AsyncTokenCredential, error: CredentialUnavailableError, *, proven: bool, named: bool = False
) -> _Failure:
    """What it means that the SDK calls a source unavailable.

    :param proven: whether the source has given a token before
    :param named: whether the configuration names the managed identity
    """
    text = _line(error)
    if isinstance(source, ManagedIdentityCredential):
        return _why_no_identity(error, text, proven or named or _names_an_identity())
    if isinstance(source, AzureCliCredential) and _NETWORK.search(text):
        return _Failure("busy", text)
    # Somebody who has signed in with az, but not for what is asked now, has a credential.
    absent = not proven and "claims" not in text
    return _Failure("absent" if absent else "refused", text)


def _why_no_identity(error: CredentialUnavailableError, text: str, expected: bool) -> _Failure:
    """What it means that the managed identity is unavailable.

    :param expected: whether it has given a token before, or the environment names it
    """
    cause = error.__cause__
    status = error.status_code or (cause.status_code if isinstance(cause, HttpResponseError) else None)
    if status in _BUSY:
        return _Failure("busy", f"{text} Status {status}.")
    if status is not None:
        return _Failure("refused" if expected else "absent", text)
    slow = isinstance(cause, ServiceRequestTimeoutError | ServiceResponseTimeoutError)
    if expected or _broke_off(cause):
        return _Failure("busy", f"{text} {_line(cause)}", slow)
    return _Failure("absent", text, slow)


def _names_an_identity() -> bool:
    """Whether the environment names a managed identity: by its endpoint, or by its id and no other credential."""
    others = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")
    endpoints = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST")
    client = os.environ.get("AZURE_CLIENT_ID") and not any(os.environ.get(name) for name in others)
    return bool(client) or any(os.environ.get(name) for name in endpoints)


def _broke_off(cause: BaseException | None) -> bool:
    """Whether the endpoint accepted the connection, and then broke it or kept silent."""
    inner = getattr(cause, "inner_exception", None)
    unreached = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    return isinstance(cause, ServiceResponseError) or (
        isinstance(inner, aiohttp.ClientError) and not isinstance(inner, unreached)
    )


def _no_token(failures: Sequence[_Failure]) -> PratiqueError:
    """The error when no source gave a token: by the one that came closest."""
    texts = {standing: " ".join(one.text for one in failures if one.standing == standing) for standing in _REMEDIES}
    if texts["busy"]:
        return Unavailable(_ATTEMPTED, _SUBJECT, f"It does not answer now: {texts['busy']}", _REMEDIES["busy"])
    if texts["refused"]:
        return AuthenticationFailed(_ATTEMPTED, _SUBJECT, texts["refused"], _REMEDIES["refused"])
    observed = f"No credential is configured: {texts['absent']}"
    return AuthenticationFailed(_ATTEMPTED, _SUBJECT, observed, _REMEDIES["absent"])


def _busy(error: HttpResponseError) -> PratiqueError:
    """The error for an endpoint that says that it is busy; ``404`` and ``410`` are what it says while it is updated."""
    fault = read_fault(error)
    kind = Throttled if fault.status == 429 else Unavailable
    busy = kind(_ATTEMPTED, _SUBJECT, f"The managed identity's endpoint is busy: {fault}", "Wait, then run again.")
    if isinstance(busy, Throttled):
        busy.retry_after = fault.retry_after
    return busy


def _misconfigured(error: Exception) -> ConfigurationError:
    remedy = "Correct the variables AZURE_… of azure-identity."
    return ConfigurationError(_ATTEMPTED, _SUBJECT, _line(error), remedy)


def _line(error: BaseException | None) -> str:
    message = error.message if isinstance(error, AzureError) else str(error or "")
    return " ".join(str(message).split())
