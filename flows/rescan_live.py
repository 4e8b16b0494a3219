"""Every image in ``live/`` again, under today's policy and findings, and whether each came there by way of the gate."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import flow

from flows.settling import settled
from pratique.audit.provenance import AuditReport
from pratique.azure.registries import Registry
from pratique.config import Bootstrap
from pratique.errors import PratiqueError
from pratique.rescan import report
from pratique.rescan.inventory import Inventory
from pratique.rescan.report import Rescan
from tasks.audit import audit_live_images
from tasks.infrastructure import find_infrastructure
from tasks.live import follow_up, judge, list_live, react, require_explained, vouch
from tasks.runtime import azure_runtime
from tasks.states import NOT_VERIFIED, NOTHING_TO_DO, ended
from tasks.whole import Whole


@flow(name="rescan_live", flow_run_name="rescan live of {config.cluster.resource_group}")
async def rescan_live(config: Bootstrap) -> dict[str, Any]:
    """Judge what is in live/, follow up on it as the configuration says, and explain how it came there.

    Args:
        config: The same configuration that prepare_cluster runs with.

    Returns:
        The record of the rescan, as JSON has it.
    """
    return await ended(_rescan(config), _name)


def _name(record: dict[str, Any]) -> str | None:
    if record["outcome"] == report.NOT_VERIFIED:
        return NOT_VERIFIED
    return None if record["changes"] else NOTHING_TO_DO


async def _rescan(config: Bootstrap) -> dict[str, Any]:
    async with azure_runtime(config):
        infrastructure = await find_infrastructure(config.cluster)
        inventory = await list_live(config, infrastructure)
        judged = asyncio.ensure_future(_judged(config, inventory))
        audited = asyncio.ensure_future(_audited(infrastructure.registry, inventory.value))
        await settled(judged, audited)
        return report.record(judged.result().value)


async def _judged(config: Bootstrap, inventory: Whole[Inventory]) -> Whole[Rescan]:
    rescan = await follow_up(config, inventory, await judge(config, inventory))
    try:
        rescan = await react(config, rescan)
    except PratiqueError as error:
        # What is known has to be told all the same; and at risk outweighs what could not be done about it.
        await vouch(Whole(rescan.value.warning(f"A reaction failed. {error}")))
        raise
    return await vouch(rescan)


async def _audited(registry: Registry, inventory: Inventory) -> AuditReport:
    return await require_explained(await audit_live_images(registry, inventory.references, inventory.promotions))
