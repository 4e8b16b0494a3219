"""Entra ID on login.microsoftonline.com: discovery, keys, and tokens for applications and people.

Source: Microsoft Learn, "Microsoft identity platform and the OAuth 2.0 client credentials flow" and "OAuth 2.0 Resource
Owner Password Credentials"; RFC 6749 §4.3, §4.4 and §6, RFC 7523 §2.2 (client assertions), OpenID Connect Discovery
1.0. User realm discovery is not documented; its response contains what MSAL reads.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_plus

from starlette.responses import Response

from sandbox.core.errors import not_supported, oauth_envelope
from sandbox.core.rbac import Principal
from sandbox.core.routing import Call, Service, answer
from sandbox.services.entra.errors import entra_fault
from sandbox.services.entra.state import ARM_AUDIENCES, AUTHORITY, Entra
from sandbox.services.entra.users import GRAPH, LIFETIME, OPENID_SCOPES, PUBLIC_CLIENTS, Users

HOST = "login.microsoftonline.com"
ANY_TENANT = ("common", "organizations")
USER_GRANTS = ("password", "refresh_token")
#: Grants that Entra ID supports and the sandbox does not.
UNPLAYED_GRANTS = (
    "authorization_code",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:saml1_1-bearer",
    "urn:ietf:params:oauth:grant-type:saml2-bearer",
)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: The APIs in the tenant, without their trailing slash.
RESOURCES = frozenset(
    {
        *(audience.rstrip("/") for audience in ARM_AUDIENCES),
        "https://vault.azure.net",
        "https://storage.azure.com",
        "https://containerregistry.azure.net",
        GRAPH,
        "https://api.loganalytics.io",
        "https://api.loganalytics.azure.com",
    }
)

entra = Service("entra", (HOST, "login.windows.net", "sts.windows.net"), envelope=oauth_envelope)


@entra.get("/common/discovery/instance")
async def instance_discovery(call: Call) -> Response:
    """The clouds that an authority belongs to: always one."""
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
    """The public keys for verifying access tokens."""
    _tenant(call, any_tenant=True)
    return answer({"keys": [call.azure.state(Entra).signer.jwk()]})


@entra.get("/common/userrealm/{name}")
async def user_realm(call: Call) -> Response:
    """Where a person's password is checked; MSAL asks before it sends one."""
    domain = call.params["name"].rpartition("@")[2].lower()
    realm = {"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": "microsoftonline.com"}
    if domain in call.azure.state(Users).domains():
        realm |= {
            "account_type": "Managed",
            "domain_name": domain,
            "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        }
    return answer(realm)


@entra.post("/{tenant}/oauth2/v2.0/token")
async def token(call: Call) -> Response:
    """Tokens for a scope. The access token's audience is the scope without ``/.default`` or the permission's name."""
    form = call.form()
    grant_type = _field(call, form, "grant_type")
    _tenant(call, any_tenant=grant_type in USER_GRANTS)
    scopes = _field(call, form, "scope").split()
    if grant_type in USER_GRANTS:
        return answer(_user_tokens(call, form, scopes))
    _require_client_credentials(call, grant_type)
    # Of several scopes, the one that names a resource counts: az and MSAL add OpenID's scopes to it.
    resource = next((s.removesuffix("/.default") for s in scopes if s.endswith("/.default")), None)
    if resource is None:
        raise entra_fault(call.azure.clock, 1002012, scope=form["scope"])
    return answer(_app_token(call, form, resource))


@entra.post("/{tenant}/oauth2/token")
async def token_v1(call: Call) -> Response:
    """Client credentials with a resource; numbers in the response are strings."""
    form = call.form()
    _tenant(call)
    _require_client_credentials(call, _field(call, form, "grant_type"))
    resource = _field(call, form, "resource")
    body = _app_token(call, form, resource)
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
        if call.method == "GET":  # Discovery uses another code for the same error.
            fault.body["error"] = "invalid_tenant"
        raise fault
    return tenant


def _require_client_credentials(call: Call, grant_type: str) -> None:
    if grant_type in UNPLAYED_GRANTS:
        raise not_supported(f"the grant {grant_type} of POST", call.host, call.path)
    if grant_type != "client_credentials":
        raise entra_fault(call.azure.clock, 70003, grant_type=grant_type)


def _app_token(call: Call, form: dict[str, str], resource: str) -> dict[str, Any]:
    principal, by_secret = _client(call, form)
    _require_resource(call, resource)
    token = call.azure.state(Entra).issue(principal, resource, by_secret=by_secret, lifetime=LIFETIME)
    return {"token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token}


def _user_tokens(call: Call, form: dict[str, str], scopes: list[str]) -> dict[str, Any]:
    client_id = _field(call, form, "client_id")
    if client_id not in PUBLIC_CLIENTS:
        if not form.keys() & {"client_secret", "client_assertion"}:
            raise entra_fault(call.azure.clock, 7000218)
        _client(call, form)
    users = call.azure.state(Users)
    if form["grant_type"] == "password":
        user = users.by_password(_field(call, form, "username"), _field(call, form, "password"))
    else:
        user = users.by_refresh_token(client_id, _field(call, form, "refresh_token"))
    # A permission without a resource belongs to Microsoft Graph, and so does OpenID alone.
    requested = next((scope for scope in scopes if scope not in OPENID_SCOPES), "")
    resource = requested.rpartition("/")[0] or GRAPH
    _require_resource(call, resource)
    tokens = users.tokens(user, client_id, resource, scopes)
    return {**tokens, "client_info": users.client_info(user)} if form.get("client_info") == "1" else tokens


def _require_resource(call: Call, resource: str) -> None:
    if resource.rstrip("/") not in RESOURCES:
        raise entra_fault(call.azure.clock, 500011, resource=resource, tenant=call.azure.tenant_id)


def _client(call: Call, form: dict[str, str]) -> tuple[Principal, bool]:
    """The authenticated client, and whether it used a secret (RFC 6749 §2.3.1, RFC 7523 §2.2)."""
    directory = call.azure.state(Entra)
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
