"""The checks before a vault's data plane, in Azure's order: token, firewall, and RBAC or access policies.

Source: Microsoft Learn, "Azure Key Vault REST API error codes", "Authentication, requests and responses" and
"Transition to a network security perimeter"; texts of public issues for access policies and perimeters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from jwt import ExpiredSignatureError, InvalidAudienceError
from starlette.responses import Response

from sandbox.core.errors import HttpFault, vault_fault
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Handler
from sandbox.core.tokens import TokenRefused
from sandbox.services.entra.state import AUTHORITY, Entra
from sandbox.services.keyvault.state import Vaults

RESOURCE = "https://vault.azure.net"
SERVICE_VERSION = "1.9.0.0"


async def vault_caller(call: Call) -> None:
    """Check token and firewall.

    :raises HttpFault: 401 with the challenge, or 403 with ``innererror`` ForbiddenByFirewall, ForbiddenByConnection or
        ForbiddenByNsp
    """
    vault = vault_of(call)
    if call.bearer() is None:
        raise _challenge(call, "AKV10000: Request is missing a Bearer or PoP token.")
    try:
        call.azure.state(Entra).caller(call, (RESOURCE, f"{RESOURCE}/"))
    except TokenRefused as refused:
        raise _challenge(call, _reason(refused)) from None
    if "vault" in call.client.private_links:
        return
    rules = call.azure.state(Vaults).network_rules(vault["name"])
    if not rules.public:
        message = (
            "Public network access is disabled and request is not from a trusted service nor via an approved private "
            f"link.\r\n{_caller(call)}\r\n{_vault_line(vault)}"
        )
        raise vault_fault(403, "Forbidden", message, "ForbiddenByConnection", _headers(call))
    if rules.perimeter:
        message = f"The request was forbidden by NSP policy.\r\n{_caller(call)}\r\n{_vault_line(vault)}"
        raise vault_fault(403, "Forbidden", message, "ForbiddenByNsp", _headers(call))
    if not rules.allows(call.client.address):
        message = (
            "Client address is not authorized and caller is not a trusted service.\r\n"
            f"Client address: {call.client.address}\r\n{_caller(call)}\r\n{_vault_line(vault)}"
        )
        raise vault_fault(403, "Forbidden", message, "ForbiddenByFirewall", _headers(call))


def needs(action: str, permission: str) -> Callable[[Handler], Handler]:
    """The decorated route needs a right on the object in its path, or on the vault.

    :param action: the data action, below ``Microsoft.KeyVault/vaults/``
    :param permission: its name in an access policy
    """
    full = f"Microsoft.KeyVault/vaults/{action}"

    def guard(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(call: Call) -> Response:
            try:
                _require(call, full, permission)
                response = await handler(call)
            except HttpFault as fault:
                fault.headers |= _headers(call)
                raise
            response.headers.update(_headers(call))
            return response

        guarded.data_action = full  # type: ignore[attr-defined]  # the support table reads it
        return guarded

    return guard


def vault_of(call: Call) -> Document:
    """The vault behind the host.

    :raises HttpFault: when there is none; in Azure its name would not resolve
    """
    vault = call.azure.state(Vaults).of_host(call.host)
    if vault is None:
        message = f"The sandbox has no vault '{call.host}'. In Azure this host name would not resolve."
        raise vault_fault(404, "VaultNotFound", message)
    return vault


def _require(call: Call, action: str, permission: str) -> None:
    vault = vault_of(call)
    kind = action.split("/")[2]
    name = call.params.get("name")
    scope = f"{vault['id']}/{kind}/{name}" if name else vault["id"]
    call.entry.action, call.entry.scope = action, scope
    if not vault["properties"].get("enableRbacAuthorization"):
        _require_policy(call, vault, kind, permission)
        return
    if not call.azure.access.allowed(call.principal.object_id, action, scope, data=True):
        message = (
            "Caller is not authorized to perform action on resource.\r\n"
            "If role assignments, deny assignments or role definitions were changed recently, please observe "
            f"propagation time.\r\n{_caller(call)}\r\nAction: '{action}'\r\nResource: '{scope.lower()}'\r\n"
            f"Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null\r\n{_vault_line(vault)}"
        )
        raise vault_fault(403, "Forbidden", message, "ForbiddenByRbac")


def _require_policy(call: Call, vault: Document, kind: str, permission: str) -> None:
    """:param kind: of the object: certificates or secrets"""
    policies = vault["properties"].get("accessPolicies") or []
    own = [each for each in policies if str(each.get("objectId")).lower() == call.principal.object_id.lower()]
    if not own:
        message = (
            f"Access denied. Caller was not found on any access policy.\r\n{_caller(call)}\r\n{_vault_line(vault)}"
        )
        raise vault_fault(403, "Forbidden", message, "AccessDenied")
    granted = {name.lower() for each in own for name in (each.get("permissions") or {}).get(kind) or []}
    if granted.isdisjoint({permission, "all"}):
        caller, name = _caller(call).removeprefix("Caller: "), f"{vault['name']};location={vault['location']}"
        message = (
            f"The user, group or application '{caller}' does not have {kind} {permission} permission on key vault "
            f"'{name}'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
        )
        raise vault_fault(403, "Forbidden", message, "ForbiddenByPolicy")


def _challenge(call: Call, message: str) -> HttpFault:
    challenge = f'Bearer authorization="{AUTHORITY}/{call.azure.tenant_id}", resource="{RESOURCE}"'
    return vault_fault(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge, **_headers(call)})


def _reason(refused: TokenRefused) -> str:
    match refused.__cause__:
        case ExpiredSignatureError():
            return "AKV10021: The token is expired."
        case InvalidAudienceError():
            return f"AKV10022: Invalid audience. Expected {RESOURCE}."
    return f"AKV10023: The token is not valid. {refused}"


def _headers(call: Call) -> dict[str, str]:
    vault = vault_of(call)
    return {
        "x-ms-keyvault-region": vault["location"],
        "x-ms-keyvault-service-version": SERVICE_VERSION,
        "x-ms-keyvault-network-info": f"conn_type=Ipv4;addr={call.client.address};act_addr_fam=InterNetwork;",
    }


def _caller(call: Call) -> str:
    return f"Caller: appid={call.claims['appid']};oid={call.claims['oid']};iss={call.claims['iss']}"


def _vault_line(vault: Document) -> str:
    return f"Vault: {vault['name']};location={vault['location']}"
