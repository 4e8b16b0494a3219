"""Lists what is in ``live/`` and who uses it: from the registry, the records, and the manifests of all clusters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from pratique.config import Bootstrap
from pratique.errors import UnreadableAnswer
from pratique.git.checkout import Repository
from pratique.git.credentials import Credentials
from pratique.oci.client import OciClient
from pratique.records import clusters as cluster_file
from pratique.records import promotions as promotion_file
from pratique.records import registry_policy as policy_file
from pratique.records.branch import RecordsBranch
from pratique.records.clusters import Clusters
from pratique.records.promotions import Promotions
from pratique.records.registration import require_policy
from pratique.records.registry_policy import PolicyRecord
from pratique.release import delivery
from pratique.rescan.inventory import Inventory, Knowledge, take_inventory
from pratique.rescan.usage import FindLogin, Usage, no_reader, read_usage, unreadable_clusters


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Lists what is in ``live/``.

    :ivar cluster: key of the configuration's cluster
    :ivar manifests: repository of its own manifests
    :ivar read: reads a secret by its name
    """

    config: Bootstrap
    cluster: str
    client: OciClient
    records: RecordsBranch
    manifests: Repository
    read: Callable[[str], Awaitable[bytes]]

    async def take(self, policy: PolicyRecord) -> Inventory:
        """List the images.

        :param policy: the configuration's, for the registry
        :raises ConfigurationError: when it is laxer than the registry's policy: nothing laxer cures an image
        :raises PratiqueError: when the registry, the records or the own manifests cannot be read
        """
        registry = policy.registry
        texts = await self.records.texts(cluster_file.FILE, promotion_file.FILE, policy_file.FILE)
        known, doubt = registered_clusters(texts.get(cluster_file.FILE))
        others = [other for other in known.of(registry) if other.cluster != self.cluster]
        setting = self.config.registries.policy
        require_policy(texts.get(policy_file.FILE), policy, setting=setting, others=(*others, *doubt.unreadable))
        find_login = login_finder(self.config, self.manifests, self.read)
        usage = await read_usage(registry, self.manifests, others, find_login, cluster=self.cluster)
        knowledge = Knowledge(
            Promotions.parse(texts.get(promotion_file.FILE)),
            usage.uses,
            self.config.catalogue.sources,
            (*doubt.unreadable, *usage.unreadable),
        )
        inventory = await take_inventory(self.client, registry, knowledge)
        return replace(
            inventory,
            notes=(*doubt.notes, *usage.notes, *inventory.notes),
            cluster=self.cluster,
            clusters=frozenset({self.cluster, *(other.cluster for other in others)}),
            promoters=known.promoters(registry) | {*self.config.registries.promoters},
        )


def login_finder(config: Bootstrap, manifests: Repository, read: Callable[[str], Awaitable[bytes]]) -> FindLogin:
    """Finds the login to another cluster's repository: that of the own manifests, or one of ``registries.readers``.

    :param manifests: the configuration's own
    :param read: reads a secret by its name
    """

    async def find(remote: str) -> Credentials:
        if remote == config.manifests.remote:
            return replace(manifests.credentials, signing=None)
        reader = config.registries.reader_of(remote)
        if reader is None:
            raise no_reader(remote)
        return await delivery.credentials(remote, reader, read)

    return find


def registered_clusters(text: str | None) -> tuple[Clusters, Usage]:
    """The clusters on record, and what it means if the list cannot be read: any of them may use any image.

    :param text: of the file with the clusters
    """
    try:
        return Clusters.parse(text), Usage(())
    except UnreadableAnswer as error:
        return Clusters(), unreadable_clusters(error)
