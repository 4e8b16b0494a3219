"""What Prefect calls when a run has ended badly, possibly in another process than the run's own."""

from __future__ import annotations

import logging
from typing import Any

from prefect.client.schemas.objects import FlowRun, State

from pratique.config import Bootstrap
from pratique.infrastructure import find_vault
from pratique.vault_access import close_access
from tasks.runtime import azure_runtime, lease_owner

_log = logging.getLogger("prefect.pratique.hooks")


async def end_leases_of_run(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Revoke whatever the run still holds. The run's own ``finally`` has mostly done so: then this only reads."""
    config = Bootstrap.model_validate(flow_run.parameters["config"])
    async with azure_runtime(config) as runtime:
        vault = await find_vault(runtime.session, config.cluster)
        if vault is None:
            return
        ended = await close_access(runtime.session, vault, lease_owner(flow_run.id))
        for lease in ended:
            _log.warning("Ended lease %s that %s had left on vault %s", lease.id, lease.owner, vault.name)
