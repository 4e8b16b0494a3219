"""Locks what was promoted into ``live/``, and unlocks what nothing has needed for long enough."""

from __future__ import annotations

from typing import Any

from prefect import flow

from pratique.config import Bootstrap, ConfigParameter
from pratique.seal import report
from pratique.seal.survey import require_enabled
from tasks.configuration import configuration
from tasks.infrastructure import find_live_registry
from tasks.runtime import azure_runtime
from tasks.seal import conclude_seal, seal_images, survey_live
from tasks.step import NOTHING_TO_DO, named_states


@flow(name="seal_live", flow_run_name="seal live of {config.title}")
@named_states(lambda record: None if record["changed"] else NOTHING_TO_DO)
async def seal_live(config: ConfigParameter) -> dict[str, Any]:
    """Lock the tags and manifests in live/ that are on record, and unlock the retired ones.

    It needs an identity of its own, which may set locks and nothing else: docs/seal.md.

    Args:
        config: The configuration of prepare_cluster, or its place in Git.

    Returns:
        The record of the run, as a JSON object.
    """
    async with configuration(config) as read:
        return await _seal(read)


async def _seal(config: Bootstrap) -> dict[str, Any]:
    seal = require_enabled(config.registries.seal)
    async with azure_runtime(config, identity="seal"):
        registry = await find_live_registry(config.cluster, config.registries)
        survey = await survey_live(config, registry)
        outcome = await seal_images(seal, survey)
        return report.record(await conclude_seal(seal, outcome))
