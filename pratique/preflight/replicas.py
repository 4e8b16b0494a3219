"""Says which replicas of the registry a run will look at, and checks that it can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.cluster.infrastructure import find_registry
from pratique.config import Bootstrap
from pratique.errors import PratiqueError
from pratique.git.checkout import CommitAuthor
from pratique.images import LIVE, ImageReference
from pratique.oci.client import OciClient
from pratique.preflight.line import Line, failed
from pratique.records.branch import RecordsBranch
from pratique.records.clusters import cluster_key
from pratique.release.delivery import records_repository
from pratique.release.replication import find_replication
from pratique.secret import SecretSource

_NAME = "replicas"
#: A name that no image has: with the right to read it a server says that it is absent.
_ABSENT = f"{LIVE}pratique-check"


async def replica_line(config: Bootstrap, session: AzureSession, client: OciClient) -> Line:
    """What a run does about the replicas of the registry with ``live/``, and whether their servers let it look."""
    notes: list[str] = []
    try:
        registry = await find_registry(session, config.cluster, config.registries)
        if registry is None:
            return Line(_NAME, True, "the registry is not deployed yet")
        others = _other_clusters(config, session, registry, notes)
        replication = await find_replication(session, registry, config.registries, others)
        for server in replication.servers:
            await client.ping(server.host)
            await client.head(ImageReference(server.host, _ABSENT, "latest"))
    except PratiqueError as error:
        return failed(_NAME, error)
    detail = " ".join([f"{registry.login_server}: {replication.description}", *notes])
    if replication.not_observable and not replication.pause:
        return Line(_NAME, True, detail, _unobserved_step(registry), warning=True)
    return Line(_NAME, True, detail)


def _unobserved_step(registry: Registry) -> str:
    return (
        f"Switch the regional login servers on (az acr update -n {registry.name} --regional-endpoints enabled), or "
        "give registries.replication_minutes the time that replication takes. See docs/replicas.md."
    )


def _other_clusters(
    config: Bootstrap, session: AzureSession, registry: Registry, notes: list[str]
) -> Callable[[], Awaitable[Iterable[tuple[str, ...]]]]:
    """Reads the regions of other registered clusters. Where it cannot, they may pull from anywhere.

    :param notes: gets a sentence about that
    """

    async def read(name: str) -> bytes:
        return SecretSource.parse(name).read()

    async def others() -> Iterable[tuple[str, ...]]:
        author, own = config.manifests.author, cluster_key(session.subscription_id, config.cluster.resource_group)
        try:
            repository = await records_repository(config, read)
            clusters = await RecordsBranch(repository, CommitAuthor(author.name, author.email)).clusters()
        except PratiqueError as error:
            notes.append(f"The registered clusters could not be read from here ({error.observed.rstrip('.')}).")
            return [()]
        return [cluster.regions for cluster in clusters.of(registry.login_server) if cluster.cluster != own]

    return others
