"""The contents of the public registries: the walkthrough's images, with the scenario's additions and replacements."""

from __future__ import annotations

from sandbox.azure import Azure
from sandbox.core.tokens import TokenSigner
from sandbox.scenario import Credentials
from sandbox.services.oci.catalogue import WALKTHROUGH, image_spec, merged
from sandbox.services.oci.errors import Denied, NameUnknown, OciError, TooManyRequests, Unauthorized
from sandbox.services.oci.images import ImageSpec, build
from sandbox.services.oci.manifests import Manifest
from sandbox.services.oci.pool import BlobPool
from sandbox.services.oci.store import RegistryStore

DOCKER, GITHUB, KUBERNETES = "docker.io", "ghcr.io", "registry.k8s.io"
#: A registry of Azure that belongs to another tenant and allows anonymous pulls.
FOREIGN = "contoso.azurecr.io"
REGISTRIES = (DOCKER, GITHUB, KUBERNETES, FOREIGN)

_DOCKER_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_PULL_WINDOW = 6 * 3600


class PublicRegistries:
    """The registries outside Azure, by the host in image references.

    :ivar signer: signs their tokens
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._stores = {name: RegistryStore(azure.state(BlobPool), azure.clock.now) for name in REGISTRIES}
        self._private = dict(azure.scenario.private_repositories)
        self._pulls: dict[str, tuple[float, int]] = {}
        self.signer = TokenSigner("public registries", azure.home.rsa_key("public-registries"), "public-registries")
        declared = (image_spec(i.reference, i.base, i.packages, i.platforms) for i in azure.scenario.images)
        for spec in merged(WALKTHROUGH, declared):
            self.publish(spec)

    def name(self, registry: str) -> str:
        """The registry's name in image references, from that name or one of Docker Hub's other hosts."""
        return DOCKER if registry in _DOCKER_ALIASES else registry

    def store(self, registry: str) -> RegistryStore | None:
        """The content of a registry; None when the sandbox does not support it."""
        return self._stores.get(self.name(registry))

    def publish(self, spec: ImageSpec) -> Manifest:
        """Build an image and store it under its tag, which moves if it exists. Returns the index.

        :raises ValueError: when the sandbox does not support the registry
        """
        store = self.store(spec.registry)
        if store is None:
            raise ValueError(f"{spec.registry} is not supported; known registries: {', '.join(REGISTRIES)}")
        image = build(spec)
        for digest, content in image.blobs.items():
            store.put_blob(spec.repository, content, digest)
        for manifest in image.manifests:
            store.put_manifest(spec.repository, manifest.digest, manifest)
        store.put_manifest(spec.repository, spec.tag, image.index)
        return image.index

    def knows(self, registry: str, login: Credentials) -> bool:
        """Whether these are valid credentials at the registry."""
        return any(name.startswith(f"{registry}/") and login == known for name, known in self._private.items())

    def may_pull(self, registry: str, repository: str, login: Credentials | None) -> bool:
        """Whether the repository exists and is public, or allows these credentials."""
        store = self._stores[registry]
        required = self._private.get(f"{registry}/{repository}")
        return repository in store.repositories() and (required is None or required == login)

    def refusal(self, registry: str, repository: str, login: Credentials | None) -> OciError | None:
        """The registry's error for somebody who may not pull; ``None`` for others.

        None of them distinguishes a private repository from a missing one.
        """
        if self.may_pull(registry, repository, login):
            return None
        if registry == GITHUB:
            return Denied()
        if registry == KUBERNETES:
            return NameUnknown({"name": repository})
        return Unauthorized([{"Type": "repository", "Class": "", "Name": repository, "Action": "pull"}])

    def count_pull(self, address: str, *, counts: bool) -> dict[str, str]:
        """Docker Hub's limit for anonymous pulls: headers for the response.

        :param counts: whether this request is a pull (GET of a manifest) or only a check (HEAD)
        :raises TooManyRequests: when the address has pulled too often in six hours
        """
        limit, at = self._azure.scenario.docker_hub_pull_limit, self._azure.clock.elapsed()
        started, pulls = self._pulls.get(address, (at, 0))
        if at - started >= _PULL_WINDOW:
            started, pulls = at, 0
        pulls += counts
        self._pulls[address] = (started, pulls)
        headers = {
            "ratelimit-limit": f"{limit};w={_PULL_WINDOW}",
            "ratelimit-remaining": f"{max(0, limit - pulls)};w={_PULL_WINDOW}",
            "docker-ratelimit-source": address,
        }
        if pulls > limit:
            raise TooManyRequests(None, "You have reached your unauthenticated pull rate limit.", headers)
        return headers
