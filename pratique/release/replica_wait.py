"""Waits until replicas of a registry serve images, with everything below their digests.

A node needs all of an image: its index, the manifest for the node, and that manifest's configuration and layers. They
arrive in any order, so each is looked up at the replica's regional login server: manifests and blobs with a HEAD, after
each manifest was read once. What a replica has shown is not asked again in the same wait.

Facts: Microsoft Learn, "Geo-replication in Azure Container Registry" (eventual consistency); Azure/acr issues 588
(``blob unknown`` after a push) and 716.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from pratique.clock import Clock
from pratique.errors import (
    AuthenticationFailed,
    NetworkDenied,
    NotFound,
    NotReplicated,
    PermissionDenied,
    PratiqueError,
    Throttled,
    TransientError,
)
from pratique.images import ImageReference, ImportedImage
from pratique.oci.client import OciClient
from pratique.release.contents import manifests_below
from pratique.replicas import RegionalServer, ReplicaState, Replication
from pratique.text import first_few

T = TypeVar("T")
_AT_ONCE = 16  # requests
_NOT_READABLE = ReplicaState(not_observable="this worker cannot read the registry")
_NEXT = (
    "The images are in live/ and on record, and no manifests were pushed. Run again later: what is there already is "
    "not done again. If it takes longer as a rule, raise registries.replication_deadline_minutes. The state of a "
    "replica: az acr replication list -r <registry>"
)


@dataclass(frozen=True)
class Missing:
    """What a replica does not serve of an image.

    :ivar digests: of manifests and blobs; empty when the server has not answered
    :ivar problem: why it has not answered
    """

    server: RegionalServer
    image: ImportedImage
    digests: tuple[str, ...] = ()
    problem: TransientError | None = None

    def __str__(self) -> str:
        if self.problem is not None:
            return f"{self.server.region} does not answer about {self.image.reference.short}: {self.problem.observed}"
        lacks = first_few(self.digests, most=3)
        return f"{self.server.region} ({self.server.host}) lacks {lacks} of {self.image.reference}"


@dataclass
class ReplicaLook:
    """Looks at images in replicas, again and again until they are complete.

    :param images: as they are in the registry
    """

    client: OciClient
    images: Sequence[ImportedImage]
    servers: Sequence[RegionalServer]
    # Blobs by the digest of their manifest; hosts, repositories and digests that were seen together.
    _blobs: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    _seen: set[tuple[str, str, str]] = field(default_factory=set, init=False)
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock), init=False)
    _limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False)

    async def again(self) -> list[Missing]:
        """What is still missing, by region and image.

        :raises PermissionDenied, AuthenticationFailed: when a server refuses this identity
        :raises NetworkDenied: when this worker cannot reach a server
        :raises NotFound: when there is no such server
        """
        looks = [self._look(server, image) for server in self.servers for image in self.images]
        missing = [found for found in await _all(looks) if found is not None]
        await _all([self._require_server(server) for server in {found.server for found in missing}])
        return missing

    async def _look(self, server: RegionalServer, image: ImportedImage) -> Missing | None:
        place = ImageReference(server.host, image.reference.repository, image.reference.tag)
        manifests = (image.image.digest, *manifests_below(image.image))
        try:
            absent = await self._absent(place, manifests, self._has_manifest)
            blobs = dict.fromkeys(blob for digest in manifests for blob in self._blobs.get(digest, ()))
            absent += await self._absent(place, blobs, self.client.has_blob)
        except TransientError as error:
            return Missing(server, image, problem=error)
        except (AuthenticationFailed, PermissionDenied, NetworkDenied) as error:
            raise _refused(error, server) from None
        return Missing(server, image, tuple(absent)) if absent else None

    async def _absent(
        self, place: ImageReference, digests: Collection[str], has: Callable[[ImageReference, str], Awaitable[bool]]
    ) -> list[str]:
        """The digests that a repository does not have."""

        async def check(digest: str) -> bool:
            key = (place.registry, place.repository, digest)
            async with self._limit:
                if key not in self._seen and await has(place, digest):
                    self._seen.add(key)
            return key in self._seen

        found = await _all([check(digest) for digest in digests])
        return [digest for digest, there in zip(digests, found, strict=True) if not there]

    async def _has_manifest(self, place: ImageReference, digest: str) -> bool:
        async with self._locks[digest]:
            if digest not in self._blobs:
                try:
                    self._blobs[digest] = (await self.client.manifest(place.at(digest))).blobs
                except NotFound:
                    return False
                return True
        return await self.client.head(place.at(digest)) == digest

    async def _require_server(self, server: RegionalServer) -> None:
        """Tell a server that does not exist from one that has not got anything yet."""
        if any(host == server.host for host, _, _ in self._seen):
            return
        try:
            await self.client.ping(server.host)
        except TransientError:
            return
        except NotFound as error:
            observed = f"There is no such server, or it does not know the registry: {error.observed}"
            remedy = "Compare it with what Azure lists: az acr show-endpoints -n <registry>"
            raise NotFound(_attempted(server), server.host, observed, remedy) from None
        except (AuthenticationFailed, PermissionDenied, NetworkDenied) as error:
            raise _refused(error, server) from None


async def wait_for_replicas(
    client: OciClient,
    clock: Clock,
    images: Sequence[ImportedImage],
    replication: Replication,
    *,
    since: Mapping[ImageReference, datetime] = MappingProxyType({}),
    progress: Callable[[str], None] = lambda text: None,
) -> list[ImportedImage]:
    """Wait until every replica that counts serves the images, and look at least once.

    Where nobody can look, wait as long as is configured after the promotion; an image that has been waited for once is
    not waited for again. Images that this worker could not read in the registry cannot be looked at in replicas either.

    :param since: when images were promoted, by their references; those that are not in it were promoted now
    :param progress: is told what is missing or waited for, whenever that changes
    :return: the images, with what is known about them in replicas
    :raises NotReplicated: when something is missing at the deadline
    :raises PratiqueError: as :meth:`ReplicaLook.again`
    """
    blind = replication.unobserved
    unseen = [image for image in images if image.replicas is None and (blind or not image.verified)]
    known = blind or ReplicaState(regions=replication.regions)
    if not blind:
        await _look_until_complete(client, clock, [image for image in images if image.verified], replication, progress)
    await _pause(clock, [since.get(image.reference, clock.now()) for image in unseen], replication.pause, progress)
    return [replace(image, replicas=known if image.verified or blind else _NOT_READABLE) for image in images]


async def _look_until_complete(
    client: OciClient,
    clock: Clock,
    images: Sequence[ImportedImage],
    replication: Replication,
    progress: Callable[[str], None],
) -> None:
    look, until, told = ReplicaLook(client, images, replication.servers), clock.now() + replication.deadline, ""
    while missing := await look.again():
        left = (until - clock.now()).total_seconds()
        if left <= 0:
            raise _too_late(missing, replication)
        if (text := _listed(missing)) != told:
            progress(told := text)
        await clock.sleep(min(max(replication.interval.total_seconds(), _asked_for(missing)), left))


async def _pause(clock: Clock, promoted: Sequence[datetime], pause: timedelta, progress: Callable[[str], None]) -> None:
    """Wait until the last promotion is long enough ago."""
    now = clock.now()
    until = max((min(at, now) for at in promoted), default=now - pause) + pause
    if until > now:
        progress(f"nobody can look at the replicas: waiting until {until:%H:%M:%S} UTC")
    while (left := (until - clock.now()).total_seconds()) > 0:
        await clock.sleep(left)


async def require_replicas(client: OciClient, images: Sequence[ImportedImage], replication: Replication) -> None:
    """Look once whether the replicas that count serve the images. Without servers to look at, nothing is required.

    :raises NotReplicated: when something is missing
    :raises PratiqueError: as :meth:`ReplicaLook.again`
    """
    if missing := await ReplicaLook(client, images, replication.servers).again():
        raise _too_late(missing, replication, waited=False)


def _too_late(missing: Sequence[Missing], replication: Replication, *, waited: bool = True) -> NotReplicated:
    regions = sorted({found.server.region for found in missing})
    after = f"after {replication.deadline.total_seconds() / 60:g} minutes" if waited else "at the moment"
    return NotReplicated(
        "see the images in the replicas", ", ".join(regions), f"Still missing {after}: {_listed(missing)}.", _NEXT
    )


def _listed(missing: Sequence[Missing]) -> str:
    return first_few([str(found) for found in missing])


def _asked_for(missing: Sequence[Missing]) -> float:
    """Seconds that a server asked to wait."""
    problems = [found.problem for found in missing]
    return max((problem.retry_after or 0.0 for problem in problems if isinstance(problem, Throttled)), default=0.0)


def _refused(error: PratiqueError, server: RegionalServer) -> PratiqueError:
    """The same refusal, with the region, and why the run needs that server."""
    remedy = (
        f"{error.remedy} A run looks at every replica from which a registered cluster pulls; private endpoints get an "
        "address for each regional login server when these are enabled, and firewalls have to let the host through."
    )
    return type(error)(_attempted(server), server.host, error.observed, remedy)


def _attempted(server: RegionalServer) -> str:
    return f"look at the replica in {server.region}"


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """All results. When all have ended, an error is raised: one that is not transient, if there is any."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    failures = [outcome for outcome in ended if isinstance(outcome, BaseException)]
    if failures:
        raise min(failures, key=lambda failure: isinstance(failure, TransientError))
    return [outcome for outcome in ended if not isinstance(outcome, BaseException)]
