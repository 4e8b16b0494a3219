"""Reads what a run of the seal decides on: the registry, the records, and what all clusters need.

It fetches no image. What uses images is read as a rescan reads it; where that is not possible, nothing is unlocked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pratique.config import Bootstrap, Seal
from pratique.errors import ConfigurationError, NotFound, PratiqueError
from pratique.git.checkout import Repository
from pratique.images import LIVE
from pratique.oci import acr
from pratique.oci.client import OciClient
from pratique.oci.locks import Content, read_content
from pratique.records import cases as case_file
from pratique.records import clusters as cluster_file
from pratique.records import promotions as promotion_file
from pratique.records.branch import RecordsBranch
from pratique.records.cases import Cases
from pratique.records.clusters import RegisteredCluster
from pratique.records.promotions import Promotions
from pratique.rescan.listing import login_finder, registered_clusters
from pratique.rescan.usage import Usage, read_usage, unreadable_clusters
from pratique.rescan.users import Users
from pratique.seal.images import Recorded, recorded_images
from pratique.seal.needs import Needs

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is in ``live/``, and what needs it.

    :ivar registry: login server
    :ivar notes: sentences on what could not be read
    """

    registry: str
    contents: tuple[Content, ...]
    recorded: Recorded
    needs: Needs
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Surveyor:
    """Reads a survey.

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

    async def take(self, registry: str) -> Survey:
        """Read everything.

        :param registry: login server
        :raises NetworkDenied: when this worker cannot reach the registry
        :raises PratiqueError: when the registry or the records cannot be read
        """
        texts = await self.records.texts(cluster_file.FILE, promotion_file.FILE, case_file.FILE)
        promotions = Promotions.parse(texts.get(promotion_file.FILE))
        cases = Cases.parse(texts.get(case_file.FILE))
        known, doubt = registered_clusters(texts.get(cluster_file.FILE))
        others = [other for other in known.of(registry) if other.cluster != self.cluster]
        usage, contents = await asyncio.gather(self._usage(registry, others), self._contents(registry))
        users = Users(usage.uses, (*doubt.unreadable, *usage.unreadable))
        return Survey(
            registry=registry,
            contents=contents,
            recorded=recorded_images(registry, contents, promotions),
            needs=Needs(users, cases, self._catalogues(others)),
            notes=(*doubt.notes, *usage.notes),
        )

    async def _usage(self, registry: str, others: Sequence[RegisteredCluster]) -> Usage:
        """Who uses images. Manifests of the own cluster that cannot be read keep nothing from being locked."""
        find_login = login_finder(self.config, self.manifests, self.read)
        try:
            return await read_usage(registry, self.manifests, others, find_login, cluster=self.cluster)
        except PratiqueError as error:
            return unreadable_clusters(error, "all clusters")

    async def _contents(self, registry: str) -> tuple[Content, ...]:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def read(repository: str) -> Content:
            async with limit:
                try:
                    return await read_content(self.client, registry, repository)
                except NotFound:
                    return Content(repository, {}, {})

        return tuple(await asyncio.gather(*map(read, await acr.repositories(self.client, registry, LIVE))))

    def _catalogues(self, others: Sequence[RegisteredCluster]) -> dict[str, frozenset[str] | None]:
        own = frozenset(f"{repository}:{tag}" for repository, tag in self.config.catalogue.sources)
        named: dict[str, frozenset[str] | None] = {"this configuration": own}
        for other in others:
            named[other.cluster] = None if other.catalogue is None else frozenset(other.catalogue)
        return named


def require_enabled(seal: Seal) -> Seal:
    """The settings of the seal.

    :raises ConfigurationError: when it is off
    """
    if seal.enabled:
        return seal
    raise ConfigurationError(
        "seal live/",
        "registries.seal",
        "It is off, so nothing is locked or unlocked.",
        "Set registries.seal.enabled to true, or switch the schedule of seal_live off. docs/seal.md says what to do "
        "first, and how to lift all locks.",
    )
