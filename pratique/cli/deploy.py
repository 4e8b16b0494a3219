"""Everything of ours that stands on a Prefect server: the work pool, the deployments, the automations.

    PREFECT_API_URL=... python -m pratique.cli.deploy        # from the root; make deploy does it

Harmless to repeat. An existing pool keeps its template, which may hold what was changed in the UI, unless one is given.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings

from pratique.cli.automations import (
    Ids,
    apply,
    automation,
    named_deployments,
    notification_block,
    notifies,
    read_files,
)
from pratique.cli.server_database import WARNINGS, server_database
from pratique.errors import ConfigurationError, PratiqueError

ROOT = Path(__file__).parents[2]
FILE = "deployments/prefect.yaml"
TEMPLATES = ROOT / "deployments" / "work-pools"
#: The pool that deployments/prefect.yaml names.
POOL = "pratique"
#: One of the flows that it deploys.
FLOW = "prepare_cluster"


class PoolType(StrEnum):
    """Where runs are executed."""

    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    AZURE_CONTAINER_INSTANCE = "azure-container-instance"


def main(
    pool_type: Annotated[
        PoolType | None, typer.Option(help="Type of the work pool; a new one is of type process by itself.")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Base job template for the pool; a new pool has deployments/work-pools/TYPE.json by itself.",
        ),
    ] = None,
    notify: Annotated[
        str, typer.Option(envvar="PRATIQUE_NOTIFY", help="Block that tells people, as TYPE/NAME; empty tells nobody.")
    ] = "",
) -> None:
    """Create or update the work pool, the deployments and the automations."""
    if get_current_settings().api.url is None:
        typer.echo("PREFECT_API_URL is not set: there is no server to deploy to.", err=True)
        raise typer.Exit(2)
    try:
        asyncio.run(_deploy(pool_type, template, notify))
    except PratiqueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (PrefectException, httpx.HTTPError) as error:
        typer.echo(f"Prefect's server, {get_current_settings().api.url}: {error or repr(error)}", err=True)
        raise typer.Exit(1) from None


async def _deploy(pool_type: PoolType | None, template: Path | None, notify: str) -> None:
    async with get_client() as client:
        # First of all: a wrong setting changes nothing.
        block = await notification_block(client, notify) if notify else None
        typer.echo(f"Work pool {POOL}: {await _pool(client, pool_type, template)}")
        _prefect_deploy()
        documents = read_files()
        deployments = {name: (await client.read_deployment_by_name(name)).id for name in named_deployments(documents)}
        ids = Ids(deployments, block)
        wanted = [automation(one, ids) for one in documents.values() if block is not None or not notifies(one)]
        for line in await apply(client, wanted):
            typer.echo(f"Automation {line}")
        if block is None:
            typer.echo("Nobody is notified of anything: PRATIQUE_NOTIFY names no block.")
        if warning := WARNINGS.get(await server_database(client, FLOW)):
            typer.echo(warning, err=True)


async def _pool(client: PrefectClient, kind: PoolType | None, template: Path | None) -> str:
    """What was done to the work pool.

    :raises ConfigurationError: when it is of another type, which cannot be changed
    """
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        kind = kind or PoolType.PROCESS
        source = template or TEMPLATES / f"{kind}.json"
        await client.create_work_pool(WorkPoolCreate(name=POOL, type=kind, base_job_template=await _read(source)))
        return f"created, of type {kind}, with {source.name}"
    if kind is not None and pool.type != kind:
        raise ConfigurationError(
            "change the work pool", POOL, f"It is of type {pool.type}.", "Leave --pool-type away, or delete the pool."
        )
    if template is None:
        return f"is there, of type {pool.type}"
    await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=await _read(template)))
    return f"is there, of type {pool.type}; it now has {template.name}"


async def _read(template: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(await asyncio.to_thread(template.read_text))
    return content


def _prefect_deploy() -> None:
    """Hand the file to Prefect's own command, which prints what it does."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", FILE]
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - no input of anybody's in it
    if done.returncode:
        raise ConfigurationError("deploy", FILE, "`prefect deploy` has failed, see above.", "Mend it and run it again.")


if __name__ == "__main__":
    typer.run(main)
