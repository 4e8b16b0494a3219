"""Access to a login server: accepts Entra tokens, issues the registry's own tokens.

Covers the exchange (Entra token → refresh token → access token), basic authentication with a service principal's
secret or a refresh token, and the initial 401. RBAC decides what a token grants at the time of issue, so a role that
is assigned later needs a new token, and a token ends when the mode of the registry's permissions changes. Sources:
Azure/acr docs/AAD-OAuth.md; Microsoft Learn, "ACR authentication".
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, not_supported
from sandbox.core.rbac import Principal
from sandbox.core.resources import Document
from sandbox.core.routing import Call, answer
from sandbox.core.tokens import TokenRefused
from sandbox.services.acr.models import MODE, allows, policy_enabled, repository_permissions
from sandbox.services.acr.regions import DATA_SUFFIX, split_host
from sandbox.services.acr.rights import permitted, right
from sandbox.services.acr.state import Registries
from sandbox.services.entra.state import ARM_AUDIENCES, Entra
from sandbox.services.oci.distribution import Action
from sandbox.services.oci.errors import Denied, NameUnknown, Unauthorized
from sandbox.services.oci.tokens import TokenScope, access_claim, basic_credentials, challenge, grants, requested_scopes

REGISTRY_AUDIENCES = ("https://containerregistry.azure.net", "https://containerregistry.azure.net/")
NULL_USER = "00000000-0000-0000-0000-000000000000"
REFRESH_SECONDS = 3 * 3600
ACCESS_SECONDS = 75 * 60


def registry_of(call: Call) -> Document:
    """The registry behind the requested login server.

    :raises NameUnknown: when there is none; in Azure the name would not resolve
    """
    registry = call.azure.state(Registries).of_host(call.host)
    if registry is None:
        raise NameUnknown({"host": call.host}, f"there is no registry {call.host}")
    return registry


async def reachable(call: Call) -> None:
    """Check the registry's firewall first.

    :raises Denied: for a client that the network rules block
    :raises NotSupported: for a data endpoint, and for what a regional login server does not do here
    """
    regional = bool(split_host(call.host)[1])
    reads = call.method in ("GET", "HEAD") and not call.path.startswith("/acr/") and "/blobs/uploads" not in call.path
    if call.host.endswith(DATA_SUFFIX) or (regional and not (reads or call.path.startswith("/oauth2/"))):
        raise not_supported(call.method, call.host, call.path)
    private = "registry" in call.client.private_links and (not regional or call.azure.scenario.replicas.private)
    if not allows(registry_of(call), call.client.address, private=private):
        raise Denied(
            None,
            f"client with IP '{call.client.address}' is not allowed access. "
            "Refer https://aka.ms/acr/firewall to grant access.",
        )


async def authorize(call: Call, action: Action | None, repository: str) -> None:
    """Require an access token or basic credentials that cover the action; sets ``call.caller``.

    :raises Unauthorized: otherwise, with the challenge
    """
    registry, required = registry_of(call), _required(action, repository)
    if (sent := basic_credentials(call)) is not None:
        principal = _by_password(call, registry, *sent)
        covered = required is None or bool(permitted(call, registry, principal, required))
    else:
        claims = _claims(call, registry, required)
        principal = _subject(call, claims)
        covered = required is None or grants(claims, required)
    call.caller, call.entry.principal = principal, principal.name
    if required is not None:
        call.entry.action, call.entry.scope = right(call, registry, required), registry["id"]
    if not covered:
        raise _unauthorized(call, required, "insufficient_scope")


async def exchange(call: Call) -> Response:
    """Exchange an Entra access token for a refresh token."""
    form, registry = call.form(), registry_of(call)
    if form.get("grant_type") not in ("access_token", "access_token_refresh_token") or "access_token" not in form:
        raise Unauthorized(None, "grant_type access_token with an access_token is required")
    entra = call.azure.state(Entra)
    arm = ARM_AUDIENCES if policy_enabled(registry, "azureADAuthenticationAsArmPolicy") else ()
    try:
        principal = entra.principal_of(entra.signer.read(form["access_token"], (*REGISTRY_AUDIENCES, *arm)))
    except TokenRefused as refused:
        raise Unauthorized(str(refused)) from None
    call.azure.state(Registries).report_login(call, registry, principal)
    return answer({"refresh_token": _refresh_token(call, registry, principal)})


async def post_token(call: Call) -> Response:
    """Issue an access token for a refresh token, or for a user name and password."""
    form, registry = call.form(), registry_of(call)
    if form.get("grant_type") == "password":
        principal = _by_password(call, registry, form.get("username", ""), form.get("password", ""))
    else:
        principal = _by_refresh_token(call, registry, form.get("refresh_token", ""))
    return _token_answer(call, registry, principal, requested_scopes(call.body.decode()))


async def get_token(call: Call) -> Response:
    """The same with basic authentication, as docker and similar clients send it."""
    registry, sent = registry_of(call), basic_credentials(call)
    if sent is None:
        raise _unauthorized(call, None)
    return _token_answer(call, registry, _by_password(call, registry, *sent), requested_scopes(call.query_string))


def _token_answer(call: Call, registry: Document, principal: Principal, requested: list[TokenScope]) -> Response:
    call.entry.principal = principal.name
    granted = []
    for scope in requested:
        granted.append(TokenScope(scope.kind, scope.name, permitted(call, registry, principal, scope)))
        if repository_permissions(registry) and _refused(call, granted[-1]):
            raise _unauthorized(call, scope, "insufficient_scope")
    claims = {"sub": principal.object_id, "grant_type": "access_token", "access": access_claim(granted)}
    claims["mode"] = registry["properties"][MODE]
    token = call.azure.state(Registries).signer.issue(_service(registry), claims, ACCESS_SECONDS)
    return answer({"access_token": token})


def _refused(call: Call, granted: TokenScope) -> bool:
    """Whether no token is issued, with repository permissions; never one for all repositories (Azure/acr-cli#501)."""
    everywhere = (granted.kind, granted.name) == ("repository", "*")
    return everywhere or (not granted.actions and call.azure.scenario.registry_permissions.refusal == "token")


def _refresh_token(call: Call, registry: Document, principal: Principal) -> str:
    claims = {"sub": principal.object_id, "grant_type": "refresh_token", "mode": registry["properties"][MODE]}
    if repository_permissions(registry):
        claims["aad_identity"] = principal.object_id
    return call.azure.state(Registries).signer.issue(_service(registry), claims, REFRESH_SECONDS)


def _by_password(call: Call, registry: Document, user: str, password: str) -> Principal:
    if user == NULL_USER:
        return _by_refresh_token(call, registry, password)
    try:
        return call.azure.state(Entra).by_secret(user, password)
    except HttpFault:
        raise _unauthorized(call, None) from None


def _by_refresh_token(call: Call, registry: Document, token: str) -> Principal:
    try:
        claims = call.azure.state(Registries).signer.read(token, [_service(registry)])
    except TokenRefused as refused:
        raise Unauthorized(str(refused)) from None
    if claims.get("grant_type") != "refresh_token":
        raise Unauthorized("not a refresh token")
    if claims.get("mode") != registry["properties"][MODE]:
        raise Unauthorized("the registry's permissions have changed since the token was issued")
    return _subject(call, claims)


def _claims(call: Call, registry: Document, required: TokenScope | None) -> dict[str, Any]:
    if (token := call.bearer()) is None:
        raise _unauthorized(call, required)
    try:
        claims = call.azure.state(Registries).signer.read(token, [_service(registry)])
    except TokenRefused:
        raise _unauthorized(call, required, "invalid_token") from None
    if claims.get("grant_type") != "access_token" or claims.get("mode") != registry["properties"][MODE]:
        raise _unauthorized(call, required, "invalid_token")
    return claims


def _subject(call: Call, claims: dict[str, Any]) -> Principal:
    principal = call.azure.access.principals.get(str(claims["sub"]).lower())
    if principal is None:
        raise _unauthorized(call, None, "invalid_token")
    return principal


def _required(action: Action | None, repository: str) -> TokenScope | None:
    if action is None:
        return None
    return (
        TokenScope("registry", "catalog", ("*",))
        if action == "catalog"
        else TokenScope("repository", repository, (action,))
    )


def _service(registry: Document) -> str:
    login_server: str = registry["properties"]["loginServer"]
    return login_server


def _unauthorized(call: Call, required: TokenScope | None, error: str | None = None) -> Unauthorized:
    detail = [{"Type": required.kind, "Name": required.name, "Action": required.actions[0]}] if required else None
    message = "authentication required, visit https://aka.ms/acr/authorization for more information."
    host = call.host if call.azure.scenario.replicas.challenge == "regional" else split_host(call.host)[0]
    return Unauthorized(detail, message, challenge(f"https://{host}/oauth2/token", host, required, error))
