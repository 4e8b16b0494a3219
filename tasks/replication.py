"""Finds the replicas that a promotion has to reach, and waits until they serve what was promoted."""

from __future__ import annotations

from collections.abc import Callable

from prefect import get_run_logger

from pratique.azure.registries import Registry
from pratique.config import Registries
from pratique.images import ImportedImage
from pratique.release import replica_wait, replication
from pratique.replicas import Replication
from tasks.policies import UNCACHED
from tasks.runtime import current, run_id
from tasks.step import NOTHING_TO_DO, step


@step(
    name="find replicas",
    run_name="find replicas of {registry.name}",
    outcome=lambda found: None if found.needed else NOTHING_TO_DO,
    unlinked=("settings",),
    **UNCACHED,
)
async def find_replicas(registry: Registry, settings: Registries) -> Replication:
    """Find the replicas from which registered clusters pull, and whether anybody can see what they have.

    :param registry: with live/
    """
    found = await replication_of(registry, settings)
    log = get_run_logger().warning if found.not_observable else get_run_logger().info
    log("%s: %s", registry.login_server, found.description)
    return found


async def replication_of(registry: Registry, settings: Registries) -> Replication:
    """As :func:`find_replicas`, in a step that needs it for something else."""
    runtime = current()

    async def others() -> list[tuple[str, ...]]:
        registered = (await (await runtime.records()).clusters()).of(registry.login_server)
        return [cluster.regions for cluster in registered if cluster.cluster != runtime.cluster_key]

    return await replication.find_replication(runtime.session, registry, settings, others)


@step(
    name="wait for replicas",
    run_name="wait for replicas of release {release}",
    unlinked=("release", "promoted"),
    **UNCACHED,
)
async def wait_for_replicas(release: str, promoted: list[ImportedImage], replicas: Replication) -> list[ImportedImage]:
    """Wait until the replicas serve every image of a release with everything below its digest.

    :raises NotReplicated: when something is missing at the deadline
    """
    return await replicate(promoted, replicas)


async def replicate(
    images: list[ImportedImage], replicas: Replication, waiting: Callable[[str], None] = lambda text: None
) -> list[ImportedImage]:
    """As :func:`wait_for_replicas`, in a step that does it for something else.

    :param waiting: is told what is waited for; not called if nothing is
    """
    if not replicas.needed:
        return images
    runtime, log = current(), get_run_logger()

    def progress(text: str) -> None:
        log.info("Waiting for replicas: %s", text)
        waiting(text)

    since = {}
    if replicas.not_observable and replicas.pause and any(image.replicas is None for image in images):
        promotions = await (await runtime.records()).promotions()
        since = replication.promotion_times(promotions, images, run_id())
    return await replica_wait.wait_for_replicas(
        runtime.oci,
        runtime.clock,
        images,
        replicas,
        since=since,
        progress=progress,
    )
