"""Microsoft Graph on graph.microsoft.com: the signed-in user, and names for object ids.

Source: Microsoft Graph REST API v1.0, "Get a user", "directoryObject: getByIds" and "Microsoft Graph error responses".
"""

from __future__ import annotations

import uuid
from typing import Any

from jwt import ExpiredSignatureError, InvalidAudienceError
from starlette.responses import Response

from sandbox.core.errors import HttpFault
from sandbox.core.rbac import Principal
from sandbox.core.routing import Call, Service, answer
from sandbox.core.tokens import TokenRefused
from sandbox.scenario import User
from sandbox.services.entra.state import Entra
from sandbox.services.entra.users import GRAPH, Users

#: The last one is Graph's application id.
AUDIENCES = (GRAPH, f"{GRAPH}/", "00000003-0000-0000-c000-000000000000")
MOST_IDS = 1000


async def graph_caller(call: Call) -> None:
    """:raises HttpFault: Graph's 401"""
    if call.bearer() is None:
        raise _fault(call, 401, "InvalidAuthenticationToken", "Access token is empty.")
    try:
        call.azure.state(Entra).caller(call, AUDIENCES)
    except TokenRefused as refused:
        raise _fault(call, 401, "InvalidAuthenticationToken", _reason(refused)) from None


graph = Service("graph", ("graph.microsoft.com",), authenticate=graph_caller, api_versions=("v1.0",))


@graph.get("/v1.0/me")
async def me(call: Call) -> Response:
    """The signed-in person; applications have none."""
    user = _signed_in(call)
    if user is None:
        message = "/me request is only valid with delegated authentication flow."
        raise _fault(call, 400, "BadRequest", message)
    return answer({"@odata.context": f"{GRAPH}/v1.0/$metadata#users/$entity", **_user(user)})


@graph.post("/v1.0/directoryObjects/getByIds")
async def get_by_ids(call: Call) -> Response:
    """The directory objects among the ids, filtered by ``types``.

    People may read the directory. Applications need Directory.Read.All, which none has here.
    """
    if _signed_in(call) is None:
        raise _fault(call, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    requested = call.json()
    ids = requested.get("ids")
    if not isinstance(ids, list) or len(ids) > MOST_IDS:
        raise _fault(call, 400, "Request_BadRequest", f"The parameter 'ids' must list at most {MOST_IDS} ids.")
    types = {str(kind).lower() for kind in requested.get("types") or ["directoryObject"]}
    principals = call.azure.access.principals
    found = [principals[key] for key in dict.fromkeys(str(i).lower() for i in ids) if key in principals]
    objects = [_object(call, p) for p in found if types & {"directoryobject", p.kind.lower()}]
    return answer({"@odata.context": f"{GRAPH}/v1.0/$metadata#directoryObjects", "value": objects})


def _signed_in(call: Call) -> User | None:
    return call.azure.state(Users).of(call.principal.object_id) if call.claims.get("idtyp") == "user" else None


def _object(call: Call, principal: Principal) -> dict[str, Any]:
    kind = principal.kind[0].lower() + principal.kind[1:]
    common = {"@odata.type": f"#microsoft.graph.{kind}"}
    user = call.azure.state(Users).of(principal.object_id)
    if user is not None:
        return {**common, **_user(user)}
    document: dict[str, Any] = {**common, "id": principal.object_id, "displayName": principal.name}
    if principal.client_id is not None:
        document |= {"appId": principal.client_id, "servicePrincipalNames": [principal.client_id]}
    return document


def _user(user: User) -> dict[str, Any]:
    """The properties that Graph selects by default."""
    return {
        "id": user.object_id,
        "displayName": user.display_name or user.name,
        "userPrincipalName": user.name,
        "mail": user.name,
        "givenName": None,
        "surname": None,
        "jobTitle": None,
        "mobilePhone": None,
        "businessPhones": [],
        "officeLocation": None,
        "preferredLanguage": None,
    }


def _reason(refused: TokenRefused) -> str:
    match refused.__cause__:
        case ExpiredSignatureError():
            return "Lifetime validation failed, the token is expired."
        case InvalidAudienceError():
            return "Access token validation failure. Invalid audience."
    return f"Access token validation failure. {refused}"


def _fault(call: Call, status: int, code: str, message: str) -> HttpFault:
    inner = {
        "date": f"{call.azure.clock.now():%Y-%m-%dT%H:%M:%S}",
        "request-id": str(uuid.uuid4()),
        "client-request-id": call.headers.get("client-request-id", str(uuid.uuid4())),
    }
    return HttpFault(status, {"error": {"code": code, "message": message, "innerError": inner}})
