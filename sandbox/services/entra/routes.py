"""Entra ID on login.microsoftonline.com: discovery, keys, and tokens for applications.

Source: Microsoft Learn, "Microsoft identity platform and the OAuth 2.0 client credentials flow"; RFC 6749 §4.4,
RFC 7523 §2.2 (client assertions), OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_plus

from starlette.responses import Response

from sandbox.core.rbac import Principal
from sandbox.core.routing import Call, Service, answer
from sandbox.services.entra.errors import entra_fault
from sandbox.services.entra.part import ARM_AUDIENCES, AUTHORITY, Entra

HOST = "login.microsoftonline.com"
LIFETIME = 3599
ANY_TENANT = ("common", "organizations")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: The APIs that the tenant knows, without their trailing slash.
RESOURCES = frozenset(
    {
        *(audience.rstrip("/") for audience in ARM_AUDIENCES),
        "https://vault.azure.net",
        "https://containerregistry.azure.net",
        "https://graph.microsoft.com",
        "https://api.loganalytics.io",
    }
)

entra = Service("entra", (HOST, "login.windows.net", "sts.windows.net"))


@entra.get("/common/discovery/instance")
async def instance_discovery(call: Call) -> Response:
    """The clouds that an authority belongs to: here there is one."""
    aliases = [HOST, "login.windows.net", "sts.windows.net", "login.microsoft.com"]
    return answer(
        {
            "tenant_discovery_endpoint": f"{AUTHORITY}/common/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": HOST, "preferred_cache": "login.windows.net", "aliases": aliases}],
        }
    )


@entra.get("/{tenant}/v2.0/.well-known/openid-configuration")
async def openid_configuration(call: Call) -> Response:
    tenant = _tenant(call, any_tenant=True)
    own = tenant if tenant not in ANY_TENANT else "{tenantid}"
    return answer(_configuration(tenant, f"{AUTHORITY}/{own}/v2.0", "/v2.0"))


@entra.get("/{tenant}/.well-known/openid-configuration")
async def openid_configuration_v1(call: Call) -> Response:
    tenant = _tenant(call, any_tenant=True)
    own = tenant if tenant not in ANY_TENANT else "{tenantid}"
    return answer(_configuration(tenant, f"https://sts.windows.net/{own}/", ""))


@entra.get("/{tenant}/discovery/v2.0/keys")
@entra.get("/{tenant}/discovery/keys")
async def keys(call: Call) -> Response:
    """The keys of access tokens."""
    _tenant(call, any_tenant=True)
    return answer({"keys": [call.azure.part(Entra).signer.jwk()]})


@entra.post("/{tenant}/oauth2/v2.0/token")
async def token(call: Call) -> Response:
    """Client credentials with a scope; the token's audience is the scope without ``/.default``."""
    form = _request(call)
    scope = _field(call, form, "scope")
    # Of several scopes the one that names a resource counts: az and MSAL add OpenID's own to it.
    resource = next((s.removesuffix("/.default") for s in scope.split() if s.endswith("/.default")), None)
    if resource is None:
        raise entra_fault(call.azure.clock, 1002012, scope=scope)
    return answer(_token(call, form, resource))


@entra.post("/{tenant}/oauth2/token")
async def token_v1(call: Call) -> Response:
    """Client credentials with a resource; numbers are strings here."""
    form = _request(call)
    resource = _field(call, form, "resource")
    body = _token(call, form, resource)
    not_before = int(call.azure.clock.now().timestamp())
    numbers = {"expires_in": LIFETIME, "ext_expires_in": LIFETIME, "expires_on": not_before + LIFETIME}
    return answer(
        {**body, **{key: str(n) for key, n in numbers.items()}, "not_before": str(not_before), "resource": resource}
    )


def _configuration(tenant: str, issuer: str, version: str) -> dict[str, Any]:
    base = f"{AUTHORITY}/{tenant}"
    return {
        "token_endpoint": f"{base}/oauth2{version}/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{base}/discovery{version}/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "authorization_endpoint": f"{base}/oauth2{version}/authorize",
        "device_authorization_endpoint": f"{base}/oauth2{version}/devicecode",
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
    }


def _tenant(call: Call, *, any_tenant: bool = False) -> str:
    tenant = call.params["tenant"].lower()
    if tenant in ANY_TENANT and not any_tenant:
        raise entra_fault(call.azure.clock, 50059)
    if tenant != call.azure.tenant_id and tenant not in ANY_TENANT:
        fault = entra_fault(call.azure.clock, 90002, tenant=tenant)
        if any_tenant:  # Discovery has another word for the same refusal.
            fault.body["error"] = "invalid_tenant"
        raise fault
    return tenant


def _request(call: Call) -> dict[str, str]:
    _tenant(call)
    form = call.form()
    grant_type = _field(call, form, "grant_type")
    if grant_type != "client_credentials":
        raise entra_fault(call.azure.clock, 70003, grant_type=grant_type)
    return form


def _token(call: Call, form: dict[str, str], resource: str) -> dict[str, Any]:
    principal, by_secret = _client(call, form)
    if resource.rstrip("/") not in RESOURCES:
        raise entra_fault(call.azure.clock, 500011, resource=resource, tenant=call.azure.tenant_id)
    token = call.azure.part(Entra).issue(principal, resource, by_secret=by_secret, lifetime=LIFETIME)
    return {"token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token}


def _client(call: Call, form: dict[str, str]) -> tuple[Principal, bool]:
    """The authenticated client, and whether a secret proved it (RFC 6749 §2.3.1, RFC 7523 §2.2)."""
    directory = call.azure.part(Entra)
    if basic := _basic(call):
        return directory.by_secret(*basic), True
    client_id = _field(call, form, "client_id")
    if form.get("client_assertion_type") == ASSERTION_TYPE and "client_assertion" in form:
        return directory.by_assertion(client_id, form["client_assertion"]), False
    if "client_secret" not in form:
        raise entra_fault(call.azure.clock, 7000216)
    return directory.by_secret(client_id, form["client_secret"]), True


def _basic(call: Call) -> tuple[str, str] | None:
    scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise entra_fault(call.azure.clock, 7000216) from None
    return unquote_plus(user), unquote_plus(password)


def _field(call: Call, form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise entra_fault(call.azure.clock, 900144, parameter=name)
    return form[name]
