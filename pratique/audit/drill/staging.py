"""Puts a drill's images into ``live/``, and removes them.

The images have repositories of their own below :data:`DRILL`, so that no manifest is shared with an image in use: the
walkthrough's busybox has the digest of the released one, and deleting one would delete the other. Cleaning up after a
drill that crashed needs no record of it, because everything below these names belongs to a drill.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pratique.azure.import_pacing import paced_import
from pratique.azure.registries import Registry, RegistryCredentials, Upstream, import_image
from pratique.azure.session import AzureSession
from pratique.errors import (
    ConfigurationError,
    DrillNotRemoved,
    NetworkDenied,
    PratiqueError,
    Prohibited,
    TransientError,
)
from pratique.images import DRILL, LIVE, ImageReference
from pratique.oci.client import OciClient
from pratique.oci.locks import unlock_everything
from pratique.oci.pushing import delete_repository, empty_image, push, repository_exists

TAG = "SkippedQuarantine"
IMPORTED = f"{DRILL}library/busybox"
PUSHED = f"{DRILL}pushed"
REPOSITORIES = (IMPORTED, PUSHED)
#: Seconds after which an import has ended that was running when its drill crashed; most take about seventy.
LINGERS = 150.0
LOOK_AGAIN_SECONDS = 5.0
ATTEMPTS = 3

_TEXT = "A drill of Pratique: pushed past the quarantine on purpose. Contains no program."

Way = Literal["import", "push"]


@dataclass(frozen=True)
class StagedImage:
    """An image that a drill has put into ``live/``, past the quarantine.

    :ivar reference: with its tag, and with its digest if this worker knows it
    :ivar began: start of the import or push, by this worker's clock
    """

    way: Way
    reference: ImageReference
    began: datetime


def check_names(repositories: Collection[str]) -> None:
    """Check that no image of the catalogue has a repository that a drill would delete.

    :param repositories: repositories of the catalogue's images, without ``live/``
    :raises ConfigurationError: when an image has such a repository
    """
    prefix = DRILL.removeprefix(LIVE)
    if taken := sorted(name for name in repositories if name.startswith(prefix)):
        raise ConfigurationError(
            "reserve the drill's repositories",
            ", ".join(taken),
            f"The next drill removes everything below {DRILL}.",
            "Give these images another name.",
        )


async def stage_import(
    session: AzureSession, registry: Registry, source: ImageReference, credentials: RegistryCredentials | None
) -> StagedImage:
    """Import an image straight into ``live/``, as somebody might do by mistake."""
    began = datetime.now(UTC)
    upstream = Upstream(source.registry, source.repository, source.digest or source.tag or "", credentials)

    async def work() -> None:
        await import_image(session, registry, source=upstream, targets=[f"{IMPORTED}:{TAG}"], force=True)

    await paced_import(session, registry, work)
    return StagedImage("import", ImageReference(registry.login_server, IMPORTED, TAG), began)


async def stage_push(client: OciClient, registry: Registry) -> StagedImage:
    """Push an image straight into ``live/``.

    :raises PermissionDenied: when the identity may not push
    """
    began, place = datetime.now(UTC), ImageReference(registry.login_server, PUSHED, TAG)
    return StagedImage("push", place.at(await push(client, place, empty_image(_TEXT))), began)


async def remove_images(client: OciClient, registry: Registry) -> list[str]:
    """Delete all images that drills have put into ``live/``, and read back that they are gone.

    Also call this before a drill: an earlier one may have crashed, and a drill that cannot delete must not begin.

    :returns: the repositories that existed
    :raises NetworkDenied: when this worker cannot reach the registry
    :raises PermissionDenied: when the identity may not delete, even if there is nothing to delete
    :raises DrillNotRemoved: when a repository was deleted and still exists
    """
    try:
        return [repository for repository in REPOSITORIES if await _remove(client, registry, repository)]
    except NetworkDenied as error:
        remedy = "Run the drill on a worker that reaches the registry's data plane, which deleting images requires."
        raise NetworkDenied(error.attempted, error.subject, error.observed, remedy) from None


async def clean_up(client: OciClient, registry: Registry) -> list[str]:
    """Like :func:`remove_images`, after a drill: any error means that an image may still be in ``live/``.

    :raises DrillNotRemoved: in place of every other error
    """
    try:
        return await remove_images(client, registry)
    except DrillNotRemoved:
        raise
    except PratiqueError as error:
        raise _not_removed(registry, error.observed, error.remedy) from None


async def clean_up_after_crash(client: OciClient, registry: Registry) -> list[str]:
    """Like :func:`clean_up`, after a drill that may have crashed during an import, which Azure still completes.

    Repeats the removal until the imported image has appeared and is removed, or :data:`LINGERS` have passed.
    """
    removed = await clean_up(client, registry)
    deadline = time.monotonic() + LINGERS
    while IMPORTED not in removed and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        removed += await clean_up(client, registry)
    return removed


async def _remove(client: OciClient, registry: Registry, repository: str) -> bool:
    """Remove a repository, and return whether it existed. Transient errors are retried.

    Locks of its tags and manifests, such as a drill of the seal leaves when it crashes, are lifted first.

    :raises PratiqueError: when it cannot be deleted
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            found = await _delete(client, registry.login_server, repository)
            if not await repository_exists(client, registry.login_server, repository):
                return found
        except TransientError:
            if attempt == ATTEMPTS:
                raise
        await asyncio.sleep(attempt)
    raise _not_removed(
        registry, f"{repository} was deleted but still exists.", "Find out who else writes to the repository."
    )


async def _delete(client: OciClient, host: str, repository: str) -> bool:
    """Delete a repository, whatever of it is locked; a lock of the repository itself stays, and keeps it."""
    try:
        return await delete_repository(client, host, repository)
    except Prohibited:
        if not await unlock_everything(client, host, repository):
            raise
    return await delete_repository(client, host, repository)


def _not_removed(registry: Registry, observed: str, remedy: str) -> DrillNotRemoved:
    commands = "; ".join(
        f"az acr repository delete -n {registry.name} --repository {repository} --yes" for repository in REPOSITORIES
    )
    return DrillNotRemoved(
        "remove the drill's images", f"{registry.login_server}/{DRILL}", observed, f"{remedy} Then: {commands}"
    )
