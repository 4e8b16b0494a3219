"""Turns error responses of registries into errors of :mod:`pratique.errors`.

Facts: OCI distribution-spec v1.1, "Error Codes"; Azure Container Registry, "Configure public registry access".
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from urllib.parse import parse_qs

import httpx

from pratique.errors import (
    AuthenticationFailed,
    DigestMismatch,
    NetworkDenied,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    Prohibited,
    Throttled,
    Unavailable,
    UnreadableAnswer,
)
from pratique.http_answers import is_web_page, json_of
from pratique.http_errors import retry_after
from pratique.images import ImageReference, digest_of
from pratique.markdown import one_line, plain
from pratique.masking import masked

_MESSAGES = ("message", "detail", "details", "error_description", "error")  # where services put a text
LONGEST = 600  # characters of a registry's message that are kept
_READ = 16 * 1024  # characters that are masked before it is cut
_SECRET_FIELDS = ("access_token", "refresh_token", "password", "client_secret", "assertion")
_DISALLOWED = "REGISTRY_DISALLOWED_OPERATION"  # Azure's code, with status 405, where an attribute forbids it
_LOCKED = re.compile(r"\boperation is disallowed\b", re.IGNORECASE)  # in its message
_NETWORK_DENIED = "is not allowed access"  # in Azure's message, with code DENIED
_RIGHT = (
    "If it is private, add an account for the registry to catalogue.credentials, or give the worker's identity the "
    "right to pull from it (AcrPull, or Container Registry Repository Reader)."
)


#: The step for what a lock forbids. Nothing else of a registry's answer says who has set it.
LOCKED_STEP = (
    "Find out what is locked: az acr repository show -n <registry> --image <repository:tag>. In live/ it is the seal, "
    "which seal_live sets on what was promoted and lifts from what is no longer used (docs/seal.md); a rescan may have "
    "blocked pulls (docs/continuous-scanning.md)."
)


def is_locked_answer(text: str) -> bool:
    """Whether an error of an Azure registry, or of an import into it, says that a lock forbids the operation."""
    return _DISALLOWED in text or _LOCKED.search(text) is not None


def response_error(response: httpx.Response, attempted: str, subject: str) -> PratiqueError:
    """The error for an unsuccessful response, whose body must have been read."""
    codes, observed = _error_codes(response)
    status = response.status_code
    if status == 429 or "TOOMANYREQUESTS" in codes:
        throttled = Throttled(attempted, subject, observed, "Wait, or configure credentials for this registry.")
        throttled.retry_after = retry_after(response.headers)
        return throttled
    if status == 401:
        return AuthenticationFailed(attempted, subject, observed, f"Check that the repository exists. {_RIGHT}")
    if status == 403 and _NETWORK_DENIED in observed:
        remedy = "Give this worker access to the registry: a private endpoint, or a rule for its address."
        return NetworkDenied(attempted, subject, observed, remedy)
    if status == 403:
        remedy = f"Check the name: some registries answer 403 for a repository or a tag that does not exist. {_RIGHT}"
        return PermissionDenied(attempted, subject, observed, remedy)
    if _DISALLOWED in codes or (status == 405 and is_locked_answer(observed)):
        return Prohibited(attempted, subject, observed, LOCKED_STEP)
    if status == 404:
        return NotFound(attempted, subject, observed, "Check the registry, the repository and the tag or digest.")
    if status == 408 or (status >= 500 and status != 501):
        return Unavailable(attempted, subject, observed, "Run again.")
    return OperationFailed(attempted, subject, observed, "Fix what the registry reports, then run again.")


def web_page(response: httpx.Response, attempted: str, subject: str) -> UnreadableAnswer:
    """The error for a page that stands where a registry should answer."""
    remedy = (
        "Check the registry's address: container clients may need another one than browsers. A proxy that asks for a "
        "login has to let this worker through."
    )
    observed = f"{response.request.url.host} answers with a web page, such as a login page, not as a registry."
    return UnreadableAnswer(attempted, subject, observed, remedy)


def other_digest(reference: ImageReference, claimed: str, content: bytes) -> DigestMismatch | UnreadableAnswer:
    """The error for content whose SHA-256 digest is not the claimed one.

    :param claimed: may be a SHA-512 digest, which the image-spec allows
    """
    algorithm, _, value = claimed.partition(":")
    if algorithm == "sha512" and hashlib.sha512(content).hexdigest() == value:
        observed = f"Its digest is SHA-512 ({claimed[:20]}…), which is legal."
        remedy = "Import it from another registry: Azure's registries know an image by its SHA-256 digest only."
        return UnreadableAnswer("read the image", str(reference), observed, remedy)
    observed = f"It should be {plain(claimed)} but is {digest_of(content)}."
    return DigestMismatch("verify the digest", str(reference), observed, "Do not use this registry.")


def _error_codes(response: httpx.Response) -> tuple[set[str], str]:
    """The error codes in upper case, and the status with the registry's messages."""
    document = json_of(response)
    errors = document.get("errors") if isinstance(document, dict) else None
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    messages = "; ".join(f"{error.get('code')}: {error.get('message')}" for error in listed)
    said = masked((messages or _plain(response, document))[:_READ], _sent_secrets(response.request))
    text = one_line(said)[:LONGEST]
    return {str(error.get("code")).upper() for error in listed}, f"{response.status_code} {text}"


def _plain(response: httpx.Response, document: object) -> str:
    """The reason of a response without the specification's errors: what its text says, or its status."""
    if isinstance(document, dict):
        said = next((document[key] for key in _MESSAGES if isinstance(document.get(key), str)), "")
    elif is_web_page(response):
        said = "a web page"
    else:
        said = response.text if response.headers.get("Content-Type", "").startswith("text/plain") else ""
    return f"{response.reason_phrase}: {said}" if said.strip() else response.reason_phrase


def _sent_secrets(request: httpx.Request) -> list[str]:
    """The credentials that a request carries, which its response may repeat."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    secrets = [credential]
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            secrets.append(base64.b64decode(credential).decode().partition(":")[2])
    if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(request.content.decode(errors="replace"))
        secrets += [value for name in _SECRET_FIELDS for value in form.get(name, ())]
    return [secret for secret in secrets if secret]
