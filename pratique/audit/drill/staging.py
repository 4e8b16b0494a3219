"""What a drill puts into ``live/``, and how it all goes away again.

Its images have repositories of their own below :data:`DRILL`, so that no manifest is shared with an image in use: the
walkthrough's busybox has the digest of the released one, and deleting the one would delete the other. Whoever comes
after a drill that died needs no record of it: what is below these names is a drill's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pratique.azure.registries import Registry, RegistryCredentials, Upstream, import_image
from pratique.azure.session import AzureSession
from pratique.errors import ConfigurationError, DrillNotRemoved, NetworkDenied, PratiqueError, TransientError
from pratique.images import DRILL, LIVE, ImageReference
from pratique.oci.client import OciClient
from pratique.oci.pushing import delete_repository, empty_image, push, repository_exists

TAG = "SkippedQuarantine"
IMPORTED = f"{DRILL}library/busybox"
PUSHED = f"{DRILL}pushed"
REPOSITORIES = (IMPORTED, PUSHED)
#: Seconds in which an import ends that was under way when its drill died; most take about seventy.
LINGERS = 150.0
LOOK_AGAIN_SECONDS = 5.0
ATTEMPTS = 3

_TEXT = "A drill of Pratique: pushed past the quarantine on purpose. Runs nothing."

Way = Literal["import", "push"]


@dataclass(frozen=True)
class Staged:
    """An image that is in ``live/`` without having been in quarantine.

    :ivar reference: with tag; with the digest where this worker knows it
    :ivar began: when it was begun, by this worker's clock
    """

    way: Way
    reference: ImageReference
    began: datetime


def check_names(repositories: Collection[str]) -> None:
    """No image of the catalogue may have its place where drills delete.

    :param repositories: of the catalogue's images, without ``live/``
    :raises ConfigurationError: when one has
    """
    prefix = DRILL.removeprefix(LIVE)
    if taken := sorted(name for name in repositories if name.startswith(prefix)):
        raise ConfigurationError(
            "choose the drill's place",
            ", ".join(taken),
            f"Whatever is below {DRILL} is removed by the next drill.",
            "Bring these images in under another name.",
        )


async def stage_import(
    session: AzureSession, registry: Registry, source: ImageReference, credentials: RegistryCredentials | None
) -> Staged:
    """Import an image straight into ``live/``, as somebody would who knows no better."""
    began = datetime.now(UTC)
    upstream = Upstream(source.registry, source.repository, source.digest or source.tag or "", credentials)
    await import_image(session, registry, source=upstream, targets=[f"{IMPORTED}:{TAG}"], force=True)
    return Staged("import", ImageReference(registry.login_server, IMPORTED, TAG), began)


async def stage_push(client: OciClient, registry: Registry) -> Staged:
    """Push an image straight into ``live/``.

    :raises PermissionDenied: when the identity may not push
    """
    began, place = datetime.now(UTC), ImageReference(registry.login_server, PUSHED, TAG)
    return Staged("push", place.at(await push(client, place, empty_image(_TEXT))), began)


async def remove_images(client: OciClient, registry: Registry) -> list[str]:
    """Delete whatever drills have put into ``live/``, and read back that it is gone.

    Done before a drill as well: an earlier one may have died, and who cannot delete must not begin.

    :returns: the repositories that were there
    :raises NetworkDenied: when this worker does not reach the registry
    :raises PermissionDenied: when the identity may not delete, whether or not there is anything
    :raises DrillNotRemoved: when something was deleted, and still stands
    """
    try:
        return [one for one in REPOSITORIES if await _removed(client, registry, one)]
    except NetworkDenied as error:
        remedy = "Run the drill on a worker with a way to the registry's data plane: only there are images deleted."
        raise NetworkDenied(error.attempted, error.subject, error.observed, remedy) from None


async def take_back(client: OciClient, registry: Registry) -> list[str]:
    """The same after a drill, when there is something to remove: whatever goes wrong is grave.

    :raises DrillNotRemoved: instead of any other error
    """
    try:
        return await remove_images(client, registry)
    except DrillNotRemoved:
        raise
    except PratiqueError as error:
        raise _left(registry, error.observed, error.remedy) from None


async def take_back_late(client: OciClient, registry: Registry) -> list[str]:
    """The same after a drill that died, perhaps in the middle of an import, which Azure finishes all the same.

    Looks until the import has come and gone, or :data:`LINGERS` have passed.
    """
    removed = await take_back(client, registry)
    until = time.monotonic() + LINGERS
    while IMPORTED not in removed and time.monotonic() < until:
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        removed += await take_back(client, registry)
    return removed


async def _removed(client: OciClient, registry: Registry, repository: str) -> bool:
    """Whether it was there.

    :raises PratiqueError: when it cannot be deleted, in several attempts where they are worth it
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            found = await delete_repository(client, registry.login_server, repository)
            if not await repository_exists(client, registry.login_server, repository):
                return found
        except TransientError:
            if attempt == ATTEMPTS:
                raise
        await asyncio.sleep(attempt)
    raise _left(registry, f"{repository} was deleted, and is still there.", "Look who else writes to it.")


def _left(registry: Registry, observed: str, remedy: str) -> DrillNotRemoved:
    commands = "; ".join(
        f"az acr repository delete -n {registry.name} --repository {one} --yes" for one in REPOSITORIES
    )
    return DrillNotRemoved(
        "remove the drill's images", f"{registry.login_server}/{DRILL}", observed, f"{remedy} Then: {commands}"
    )
