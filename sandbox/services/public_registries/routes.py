"""Docker Hub, GitHub's container registry, the Kubernetes registry, and an Azure registry of another tenant.

Docker Hub, ghcr.io and the other tenant's registry require a bearer token even for public images, and issue one to
anybody; registry.k8s.io does not. All are read-only here.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from sandbox.core.errors import oci_envelope
from sandbox.core.routing import Call, Service, answer
from sandbox.core.tokens import TokenRefused
from sandbox.scenario import Credentials
from sandbox.services.oci.distribution import Action, RegistryBackend, add_pulling
from sandbox.services.oci.errors import Denied, NameUnknown, Unauthorized
from sandbox.services.oci.store import RegistryStore
from sandbox.services.oci.tokens import (
    TokenScope,
    access_claim,
    basic_credentials,
    challenge,
    grants,
    requested_scopes,
)
from sandbox.services.public_registries.state import DOCKER, FOREIGN, GITHUB, KUBERNETES, PublicRegistries

TOKEN_SECONDS = 300


def public_registries() -> list[Service]:
    """The services of all registries."""
    hub = Service("dockerhub", ("registry-1.docker.io",), envelope=oci_envelope)
    add_pulling(hub, _DockerHub())
    tokens = Service("dockerhub-auth", ("auth.docker.io",), envelope=oci_envelope)
    tokens.get("/token")(_docker_token)
    site = Service("dockerhub-site", ("docker.io", "index.docker.io"), envelope=oci_envelope)
    site.get("/")(_docker_site)
    site.get("/{rest:path}")(_docker_site)
    github = Service("ghcr", ("ghcr.io",), envelope=oci_envelope)
    github.get("/token")(_github_token)
    add_pulling(github, _TokenRegistry(GITHUB, "https://ghcr.io/token", "ghcr.io"))
    kubernetes = Service("registry.k8s.io", ("registry.k8s.io",), envelope=oci_envelope)
    add_pulling(kubernetes, _AnonymousRegistry(KUBERNETES))
    foreign = Service("foreign-acr", (FOREIGN,), envelope=oci_envelope)
    foreign.get("/oauth2/token")(_foreign_token)
    foreign.post("/oauth2/token")(_foreign_exchange)
    foreign.post("/oauth2/exchange")(_foreign_exchange)
    add_pulling(foreign, _TokenRegistry(FOREIGN, f"https://{FOREIGN}/oauth2/token", FOREIGN))
    return [hub, tokens, site, github, kubernetes, foreign]


@dataclass(frozen=True)
class _AnonymousRegistry(RegistryBackend):
    """A registry that lets anybody read all public content."""

    registry: str

    def store(self, call: Call) -> RegistryStore:
        found = call.azure.state(PublicRegistries).store(self.registry)
        if found is None:
            raise NameUnknown({"registry": self.registry})
        return found

    async def authorize(self, call: Call, action: Action | None, repository: str = "") -> None:
        if action == "catalog":
            raise Denied
        public = call.azure.state(PublicRegistries)
        if repository and not public.may_pull(self.registry, repository, None):
            raise NameUnknown({"name": repository})


@dataclass(frozen=True)
class _TokenRegistry(_AnonymousRegistry):
    """A registry that requires its own token for every request.

    :param realm: URL of the token service
    :param service: its audience
    """

    realm: str
    service: str

    async def authorize(self, call: Call, action: Action | None, repository: str = "") -> None:
        required = None
        if action == "catalog":
            required = TokenScope("registry", "catalog", ("*",))
        elif action is not None:
            required = TokenScope("repository", repository, (action,))
        if (token := call.bearer()) is None:
            raise self._unauthorized(required)
        try:
            claims = call.azure.state(PublicRegistries).signer.read(token, [self.service])
        except TokenRefused:
            raise self._unauthorized(required, "invalid_token") from None
        if required is not None and not grants(claims, required):
            raise self._unauthorized(required, "insufficient_scope")

    def _unauthorized(self, required: TokenScope | None, error: str | None = None) -> Unauthorized:
        detail = [{"Type": required.kind, "Name": required.name, "Action": required.actions[0]}] if required else None
        return Unauthorized(detail, headers=challenge(self.realm, self.service, required, error))


class _DockerHub(_TokenRegistry):
    def __init__(self) -> None:
        super().__init__(DOCKER, "https://auth.docker.io/token", "registry.docker.io")

    def count_pull(self, call: Call) -> dict[str, str]:
        counts = call.method == "GET"
        return call.azure.state(PublicRegistries).count_pull(call.client.address, counts=counts)


async def _docker_token(call: Call) -> Response:
    """Issue a token for the pullable part of the requested scopes; requesting a private one is not an error."""
    login = _login(call, DOCKER)
    return _token_answer(call, "registry.docker.io", _pullable(call, DOCKER, login))


async def _github_token(call: Call) -> Response:
    """Issue a token for the requested scopes, or refuse when one is private or does not exist."""
    login = _login(call, GITHUB)
    granted = _pullable(call, GITHUB, login)
    if len(granted) < len(requested_scopes(call.query_string)):
        raise Denied
    return _token_answer(call, GITHUB, granted)


async def _foreign_token(call: Call) -> Response:
    """Issue an anonymous token for the public part of the requested scopes."""
    return _token_answer(call, FOREIGN, _pullable(call, FOREIGN, None))


async def _foreign_exchange(call: Call) -> Response:
    """Refuse a token of this tenant (Azure/acr#559)."""
    raise Unauthorized(None, "the token's tenant is not the registry's; visit https://aka.ms/acr/authorization")


async def _docker_site(call: Call) -> Response:
    """docker.io is a name in image references, not a registry: its web server redirects to the company's site."""
    return RedirectResponse("https://www.docker.com/", 301)


def _login(call: Call, registry: str) -> Credentials | None:
    """The credentials of the client; None for an anonymous client.

    :raises Unauthorized: for an unknown user name or password
    """
    sent = basic_credentials(call)
    if sent is None:
        return None
    login = Credentials(username=sent[0], password=sent[1])
    if not call.azure.state(PublicRegistries).knows(registry, login):
        raise Unauthorized(None, "incorrect username or password")
    return login


def _pullable(call: Call, registry: str, login: Credentials | None) -> list[TokenScope]:
    public = call.azure.state(PublicRegistries)
    return [
        TokenScope(scope.kind, scope.name, ("pull",))
        for scope in requested_scopes(call.query_string)
        if scope.kind == "repository" and "pull" in scope.actions and public.may_pull(registry, scope.name, login)
    ]


def _token_answer(call: Call, service: str, granted: list[TokenScope]) -> Response:
    signer = call.azure.state(PublicRegistries).signer
    token = signer.issue(service, {"access": access_claim(granted)}, TOKEN_SECONDS)
    issued = call.azure.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return answer({"token": token, "access_token": token, "expires_in": TOKEN_SECONDS, "issued_at": issued})
