"""Which replicas of a registry have to serve a promoted image, and whether anybody can see that they do.

A promotion is complete when every replica from which a registered cluster pulls serves the image
(:mod:`pratique.release.replica_wait`)::

    replication = await find_replication(session, registry, config.registries, others)
    replication.description
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime, timedelta

from pratique.azure.registries import Registry
from pratique.azure.replications import region_name, regional_servers, replica_regions
from pratique.azure.session import AzureSession
from pratique.config import Registries
from pratique.images import ImageReference, ImportedImage
from pratique.records.promotions import Promotions
from pratique.replicas import Replication

#: The regions of one cluster; none when they are not known.
Pulls = Collection[str]


async def find_replication(
    session: AzureSession,
    registry: Registry,
    settings: Registries,
    others: Callable[[], Awaitable[Iterable[Pulls]]],
) -> Replication:
    """Find the replicas that have to serve what is promoted. It takes one request for a registry without replicas.

    :param others: reads the regions of the other clusters that are registered for the registry
    :raises PermissionDenied: when this identity may not list the replicas
    """
    elsewhere = await replica_regions(session, registry)
    if not elsewhere:
        return Replication()
    found, pause = await regional_servers(session, registry), timedelta(minutes=settings.replication_minutes)
    if found.reason:
        return Replication(not_observable=found.reason, pause=pause)
    regions = pulled_regions((region_name(registry.location), *elsewhere), [settings.regions, *await others()])
    return Replication(
        servers=tuple(found.server(registry, region, session.cloud.acr_suffix) for region in regions),
        deadline=timedelta(minutes=settings.replication_deadline_minutes),
        interval=timedelta(seconds=settings.replication_interval_seconds),
        pause=pause,
    )


def pulled_regions(replicas: Collection[str], clusters: Iterable[Pulls]) -> tuple[str, ...]:
    """The regions of the replicas from which any of the clusters may pull, sorted.

    A cluster whose regions are not known may pull from every replica, and so may one that names a region without a
    replica: Azure routes it to another one.

    :param replicas: regions of all replicas, with the home region
    """
    known = {*replicas}
    pulled: set[str] = set()
    for regions in clusters:
        named = {region_name(region) for region in regions}
        pulled |= named if named and named <= known else known
    return tuple(sorted(pulled))


def promotion_times(
    promotions: Promotions, images: Iterable[ImportedImage], run: str
) -> dict[ImageReference, datetime]:
    """When images were promoted, as far as that is on record, by their references.

    An image that this run has just imported again is not in it, whatever is on record.

    :param run: id of this flow run
    """
    records = {record.reference: record for record in promotions.records}
    return {
        image.reference: record.at
        for image in images
        if (record := records.get(image.reference)) and (image.outcome == "already there" or record.run == run)
    }
