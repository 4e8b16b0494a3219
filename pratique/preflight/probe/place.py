"""What a probe looks at: the session, the registry, and the names that the report must not tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pratique.azure.resource_ids import ResourceId, subscriptions_of
from pratique.azure.session import AzureSession, Caller
from pratique.cluster.infrastructure import Infrastructure, RegistryGroups, registry_groups
from pratique.config import Bootstrap
from pratique.errors import NotFound
from pratique.oci.client import OciClient
from pratique.preflight.probe.redaction import Redactor
from pratique.preflight.probe.registry_log import Me

_SHORTEST_LABEL = 4  # characters of a part of a host name that is a name of its own


@dataclass
class Place:
    """Where a probe looks.

    :ivar infrastructure: ``None`` while nothing is deployed, or when it could not be found
    """

    config: Bootstrap
    session: AzureSession
    client: OciClient
    caller: Caller
    infrastructure: Infrastructure | None = None
    redactor: Redactor = field(default_factory=Redactor)

    @property
    def me(self) -> Me:
        """The identity that runs the probe."""
        return Me(self.caller.object_id, self.caller.application_id, self.caller.name)

    @property
    def registry_groups(self) -> RegistryGroups:
        """The resource groups of the registries."""
        return registry_groups(self.session, self.config.cluster, self.config.registries)

    @property
    def judged(self) -> AzureSession:
        """The session in the subscription of the registry with ``quarantine/``, whose findings the gate waits for."""
        return self.session.in_subscription(subscriptions_of([self.registry_groups.quarantine])[0])

    def deployed(self) -> Infrastructure:
        """The cluster's infrastructure.

        :raises NotFound: when there is none
        """
        if self.infrastructure is None:
            cluster = self.config.cluster
            raise NotFound(
                "find the registry", cluster.deployment, "It is not deployed yet.", "Run 'pratique prepare'."
            )
        return self.infrastructure

    def learn(self) -> None:
        """Give placeholders to the names that are known beforehand."""
        for kind, name in self._names():
            self.redactor.learn(kind, name)
        for image in self.config.catalogue.images:
            for repository in dict.fromkeys((image.reference.repository, image.location.repository)):
                placeholder = self.redactor.learn("repository", repository)
                self.redactor.alias(placeholder, (repository.replace("/", "-"), repository.replace("/", "_")))

    def _names(self) -> Iterator[tuple[str, str]]:
        config, caller = self.config, self.caller
        for subscription in subscriptions_of([self.session.subscription, *self.registry_groups.all]):
            yield "subscription", subscription
        yield "tenant", caller.tenant_id
        yield "principal", caller.object_id
        if caller.application_id:
            yield "application", caller.application_id
        yield "user", caller.name
        for group in (config.cluster.resource_group, config.network.resource_group):
            yield "group", group
        yield "deployment", config.network.deployment
        for host in (config.certificate.subject or "", urlsplit(config.manifests.remote).hostname or ""):
            yield from _host_names(host.removeprefix("*."))
        if (found := self.infrastructure) is not None:
            for registry in (found.registry, found.quarantine):
                yield "registry", registry.name
                yield "group", ResourceId.parse(registry.id).group
            yield "vault", found.vault.name


def _host_names(host: str) -> Iterator[tuple[str, str]]:
    """A host, and the parts of it that are names; the last part is a public suffix."""
    if host:
        yield "host", host
    for label in host.split(".")[:-1]:
        if len(label) >= _SHORTEST_LABEL:
            yield "name", label
