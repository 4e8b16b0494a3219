"""Docker Hub, GitHub's container registry and the Kubernetes registry: the distribution API, and who asks for tokens.

Docker Hub and ghcr.io want a bearer token even for public images, and give one to anybody; registry.k8s.io wants none.
All three are read-only here.
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
from sandbox.services.public_registries.state import DOCKER, GITHUB, KUBERNETES, PublicRegistries

TOKEN_SECONDS = 300


def public_registries() -> list[Service]:
    """The services of all three."""
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
    return [hub, tokens, site, github, kubernetes]


@dataclass(frozen=True)
class _AnonymousRegistry(RegistryBackend):
    """A registry that lets everybody read everything that is public."""

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
    """A registry that wants a token of its own for every request.

    :param realm: where to get one
    :param service: its audience
    """

    realm: str
    service: str

    async def authorize(self, call: Call, action: Action | None, repository: str = "") -> None:
        needed = None
        if action == "catalog":
            needed = TokenScope("registry", "catalog", ("*",))
        elif action is not None:
            needed = TokenScope("repository", repository, (action,))
        if (token := call.bearer()) is None:
            raise self._unauthorized(needed)
        try:
            claims = call.azure.state(PublicRegistries).signer.read(token, [self.service])
        except TokenRefused:
            raise self._unauthorized(needed, "invalid_token") from None
        if needed is not None and not grants(claims, needed):
            raise self._unauthorized(needed, "insufficient_scope")

    def _unauthorized(self, needed: TokenScope | None, error: str | None = None) -> Unauthorized:
        detail = [{"Type": needed.kind, "Name": needed.name, "Action": needed.actions[0]}] if needed else None
        return Unauthorized(detail, headers=challenge(self.realm, self.service, needed, error))


class _DockerHub(_TokenRegistry):
    def __init__(self) -> None:
        super().__init__(DOCKER, "https://auth.docker.io/token", "registry.docker.io")

    def count_pull(self, call: Call) -> dict[str, str]:
        counts = call.method == "GET"
        return call.azure.state(PublicRegistries).count_pull(call.client.address, counts=counts)


async def _docker_token(call: Call) -> Response:
    """A token for what may be pulled of what was asked for; asking for something private is not an error yet."""
    login = _login(call, DOCKER)
    return _token_answer(call, "registry.docker.io", _pullable(call, DOCKER, login))


async def _github_token(call: Call) -> Response:
    """A token for what was asked for, or a refusal when a part of it is private or does not exist."""
    login = _login(call, GITHUB)
    granted = _pullable(call, GITHUB, login)
    if len(granted) < len(requested_scopes(call.query_string)):
        raise Denied
    return _token_answer(call, GITHUB, granted)


async def _docker_site(call: Call) -> Response:
    """docker.io is a name in image references, not a registry: its web server sends browsers to the company's site."""
    return RedirectResponse("https://www.docker.com/", 301)


def _login(call: Call, registry: str) -> Credentials | None:
    """Who asks for the token; None for an anonymous client.

    :raises Unauthorized: for a user name or password that nobody has
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
