"""Checks every image in ``live/`` again under the current policy and findings, and audits how each got there."""

from __future__ import annotations

from typing import Any

from prefect import flow

from pratique.branches import run_branches
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap, ConfigParameter
from pratique.errors import PratiqueError
from pratique.rescan import report
from pratique.rescan.inventory import Inventory
from pratique.rescan.record import record
from pratique.rescan.report import Rescan
from tasks.audit import audit_live_images
from tasks.configuration import configuration
from tasks.infrastructure import find_infrastructure
from tasks.rescan import assess_live, conclude_rescan, follow_up, list_live, react
from tasks.runtime import azure_runtime
from tasks.step import NOT_VERIFIED, NOTHING_TO_DO, named_states


def _outcome(recorded: dict[str, Any]) -> str | None:
    if recorded["outcome"] == report.NOT_VERIFIED:
        return NOT_VERIFIED
    return None if recorded["changes"] else NOTHING_TO_DO


@flow(name="rescan_live", flow_run_name="rescan live of {config.title}")
@named_states(_outcome)
async def rescan_live(config: ConfigParameter) -> dict[str, Any]:
    """Check the images in live/, react as configured, and audit how they got there.

    Args:
        config: The configuration of prepare_cluster, or its place in Git.

    Returns:
        The record of the rescan, as a JSON object.
    """
    async with configuration(config) as read:
        return await _check(read)


async def _check(config: Bootstrap) -> dict[str, Any]:
    async with azure_runtime(config, judged="live"):
        infrastructure = await find_infrastructure(config.cluster, config.registries)
        inventory = await list_live(config, infrastructure)
        async with run_branches() as start:
            rescan = start(_rescan(config, infrastructure, inventory))
            start(_audit(infrastructure, inventory))
        return record(rescan.result())


async def _rescan(config: Bootstrap, infrastructure: Infrastructure, inventory: Inventory) -> Rescan:
    assessments = await assess_live(config, inventory)
    rescan = await follow_up(config, inventory, assessments)
    try:
        rescan = await react(config, infrastructure, rescan)
    except PratiqueError as error:
        # The findings are reported anyway, and images at risk are more severe than a failed reaction.
        await conclude_rescan(rescan.with_warning(f"A reaction failed. {error}"))
        raise
    return await conclude_rescan(rescan)


async def _audit(infrastructure: Infrastructure, inventory: Inventory) -> None:
    audit = await audit_live_images(infrastructure, inventory.references, inventory.promotions, inventory.promoters)
    audit.require_explained()
