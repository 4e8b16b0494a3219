"""Access to a storage account: an Entra token with a role, or a signature with the account's key.

Sources: REST API, Azure Storage, "Authorize with Shared Key" and "Authorize with Microsoft Entra ID" (bearer challenge;
"Permissions for calling blob and queue data operations"). UNVERIFIED: which code Storage returns for a token with
another audience or issuer; the sandbox returns InvalidAuthenticationInfo for all of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs

from sandbox.core.errors import HttpFault
from sandbox.core.resources import Document
from sandbox.core.routing import Call
from sandbox.core.tokens import TokenRefused
from sandbox.services.blobs.errors import VERSION, blob_fault
from sandbox.services.blobs.store import ACCOUNT_TYPE, Accounts
from sandbox.services.entra.state import AUTHORITY, Entra

RESOURCE = "https://storage.azure.com"
CONTAINERS = f"{ACCOUNT_TYPE}/blobServices/containers"
BLOBS = f"{CONTAINERS}/blobs"
_CLOCK_SKEW = timedelta(minutes=15)
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_UNSIGNED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
    "including the signature."
)


async def blob_caller(call: Call) -> None:
    """Find the account and authenticate the caller; ``call.caller`` stays empty for a signature with the account's key.

    :raises HttpFault: 401 with the bearer challenge, or 403
    """
    call.answer_headers["x-ms-version"] = call.headers.get("x-ms-version", VERSION)
    account = account_of(call)
    scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
    if not credentials:
        raise _challenge(call, "NoAuthenticationInformation", "There is no Authorization header.")
    if scheme.lower() == "sharedkey":
        _check_signature(call, account, credentials)
        return
    try:
        call.azure.state(Entra).caller(
            call, (RESOURCE, f"{RESOURCE}/", f"https://{call.host}", f"https://{call.host}/")
        )
    except TokenRefused as refused:
        raise _challenge(call, "InvalidAuthenticationInfo", str(refused)) from None


def account_of(call: Call) -> Document:
    """The account behind the host.

    :raises HttpFault: when there is none; in Azure its name would not resolve
    """
    account = call.azure.state(Accounts).of_host(call.host)
    if account is None:
        message = f"The sandbox has no storage account '{call.host}'. In Azure this host name would not resolve."
        raise blob_fault(404, "ResourceNotFound", message)
    return account


def require(call: Call, action: str, *others: str, data: bool, container: str, blob: str | None = None) -> None:
    """Require a role that allows one of the actions; the account's key allows everything.

    :raises HttpFault: 403 AuthorizationPermissionMismatch
    """
    scope = f"{account_of(call)['id']}/blobServices/default/containers/{container}"
    if blob is not None:
        scope += f"/blobs/{blob}"
    call.entry.action, call.entry.scope = action, scope
    if call.caller is None:
        return
    who = call.caller.object_id
    if not any(call.azure.access.allowed(who, name, scope, data=data) for name in (action, *others)):
        message = "This request is not authorized to perform this operation using this permission."
        raise blob_fault(403, "AuthorizationPermissionMismatch", message)


def _check_signature(call: Call, account: Document, credentials: str) -> None:
    key = call.azure.state(Accounts).keys.get(account["name"].lower())
    if key is None:
        message = "Key based authentication is not permitted on this storage account."
        raise blob_fault(403, "KeyBasedAuthenticationNotPermitted", message)
    name, _, signature = credentials.partition(":")
    text = _string_to_sign(call, account["name"])
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    if name != account["name"] or not hmac.compare_digest(signature, base64.b64encode(digest).decode()):
        detail = (
            f"The MAC signature found in the HTTP request '{signature}' is not the same as any computed signature. "
        )
        detail += f"Server used following string to sign: '{text}'."
        raise blob_fault(403, "AuthenticationFailed", _UNSIGNED, AuthenticationErrorDetail=detail)
    _check_date(call)


def _check_date(call: Call) -> None:
    date = call.headers.get("x-ms-date") or call.headers.get("date", "")
    try:
        late = abs(call.azure.clock.now() - parsedate_to_datetime(date)) > _CLOCK_SKEW
    except (TypeError, ValueError):
        late = True
    if late:
        raise blob_fault(
            403, "AuthenticationFailed", _UNSIGNED, AuthenticationErrorDetail=f"Request date header not valid: {date!r}"
        )


def _string_to_sign(call: Call, account: str) -> str:
    signed = {name: call.headers.get(name, "") for name in _SIGNED}
    if signed["content-length"] == "0":
        signed["content-length"] = ""
    if "x-ms-date" in call.headers:
        signed["date"] = ""
    own = sorted((name for name in call.headers if name.startswith("x-ms-")), key=_rank)
    query = parse_qs(call.query_string, keep_blank_values=True)
    return "\n".join(
        [
            call.method,
            *signed.values(),
            *(f"{name}:{call.headers[name].strip()}" for name in own),
            f"/{account}{call.raw_path}",
            *(f"{name.lower()}:{','.join(sorted(query[name]))}" for name in sorted(query, key=str.lower)),
        ]
    )


def _rank(name: str) -> tuple[str, str]:
    """Sort key in Storage's culture: hyphens count only when nothing else differs, underscores come first."""
    return name.replace("-", "").replace("_", " "), name


def _challenge(call: Call, code: str, detail: str) -> HttpFault:
    challenge = f"Bearer authorization_uri={AUTHORITY}/{call.azure.tenant_id}/oauth2/authorize resource_id={RESOURCE}"
    message = (
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
    )
    return blob_fault(401, code, message, {"WWW-Authenticate": challenge}, AuthenticationErrorDetail=detail)
