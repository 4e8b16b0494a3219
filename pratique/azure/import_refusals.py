"""Why Azure refused to import an image. The service reports every cause as the same failed operation.

>>> attempt = Import("quay.example", "a/b", "acr.azurecr.io")
>>> import_step("DENIED: client with IP '192.0.2.1' is not allowed access.", attempt)[1]
"Allow 192.0.2.1 in the firewall of quay.example: Azure's import came from there."

Facts: messages that users have published (Azure/acr#237, #457, #571; MicrosoftDocs/azure-docs#115975); Microsoft Learn,
"Import container images to a container registry".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pratique.errors import NetworkDenied, NotFound, OperationFailed, PratiqueError, Prohibited, Throttled
from pratique.images import official_name

_ADDRESS = re.compile(r"client with IP '([^']+)'", re.IGNORECASE)


@dataclass(frozen=True)
class Import:
    """What was to be imported.

    :ivar source: host or resource id of the source registry
    :ivar target: login server of the target registry
    :ivar with_login: whether Azure was given an account at the source
    """

    source: str
    repository: str
    target: str
    with_login: bool = False


@dataclass(frozen=True)
class _Row:
    """Messages that match the pattern, in any case, have this class and step."""

    pattern: re.Pattern[str]
    error: type[PratiqueError]
    step: Callable[[Import, str], str]


def _row(pattern: str, error: type[PratiqueError], step: Callable[[Import, str], str]) -> _Row:
    return _Row(re.compile(pattern, re.IGNORECASE), error, step)


def import_step(message: str, attempt: Import) -> tuple[type[PratiqueError], str] | None:
    """Class and next step for a refusal; ``None`` for an unknown one."""
    row = next((row for row in _ROWS if row.pattern.search(message)), None)
    return None if row is None else (row.error, row.step(attempt, message))


def _open_source(attempt: Import, message: str) -> str:
    address = _ADDRESS.search(message)
    allowed = address[1] if address else "the address that the message names"
    return f"Allow {allowed} in the firewall of {attempt.source}: Azure's import came from there."


def _open_target(attempt: Import, message: str) -> str:
    denied = re.search(r"access to ([^\s.]+)\S* denied", message, re.IGNORECASE)
    name = denied[1] if denied else attempt.target.partition(".")[0]
    return f"Let Azure's trusted services into the registry: az acr update -n {name} --allow-trusted-services true"


def _allow_export(attempt: Import, _: str) -> str:
    setting = "properties.policies.exportPolicy.status=enabled"
    return f"Allow exports from the source registry: az resource update --ids {attempt.source} --set {setting}"


def _sign_in(attempt: Import, _: str) -> str:
    if official := official_name(attempt.source, attempt.repository):
        return f"Write {attempt.source}/{official} in the catalogue: official images of Docker Hub are below library/."
    check = "Check the account in catalogue.credentials" if attempt.with_login else "Check the repository's name"
    account = "it may not" if attempt.with_login else "or add an account to catalogue.credentials that may"
    return f"{check}, {account} read {attempt.repository} at {attempt.source}."


def _missing(attempt: Import, message: str) -> str:
    if official_name(attempt.source, attempt.repository):
        return _sign_in(attempt, message)
    return "Check the source's repository and digest."


def _wait(attempt: Import, _: str) -> str:
    limit = f"Wait: {attempt.source} limits how often Azure may pull."
    return limit if attempt.with_login else f"{limit} An account in catalogue.credentials has a limit of its own."


def _other_source(attempt: Import, _: str) -> str:
    return f"Import from another registry: {attempt.source} does not answer as Azure's import needs it (RFC 7233)."


_ROWS = (
    _row(r"toomanyrequests|too many requests|rate limit|(status ?code|http)\W{0,3}429\b", Throttled, _wait),
    _row(r"is not allowed access|client with IP", NetworkDenied, _open_source),
    _row(r"access to \S+ denied|trusted services", NetworkDenied, _open_target),
    _row(r"export ?policy", Prohibited, _allow_export),
    _row(r"RFC 7233|unexpected length of body", OperationFailed, _other_source),
    _row(
        r"unauthori[sz]ed|authentication required|denied|forbidden|(status ?code|http)\W{0,3}40[13]\b",
        OperationFailed,
        _sign_in,
    ),
    _row(
        r"manifest.unknown|name.unknown|not.?found|does not exist|(status ?code|http)\W{0,3}404\b", NotFound, _missing
    ),
)
