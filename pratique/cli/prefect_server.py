"""Create or update what Pratique needs on a Prefect server: the work pool, the deployments, the automations.

Safe to repeat. An existing work pool keeps its template, which may have been changed in the UI, unless one is given.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from pratique.cli.automations import (
    Ids,
    apply_automations,
    build_automation,
    deployments_to_run,
    notification_block,
    notifies,
    read_files,
)
from pratique.cli.configured_deployments import Configured, prefect_files, read_deployments, set_parameters
from pratique.cli.deployment_files import FLOW, POOL, PoolType
from pratique.cli.prefect_faults import prefect_faults
from pratique.cli.server_database import WARNINGS, server_database
from pratique.deployment import CHECKOUT
from pratique.errors import ConfigurationError
from pratique.markdown import plain
from pratique.masking import masked

#: Up to the exception's own line, which says what is wrong.
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)*", re.MULTILINE)


async def deploy_to_server(
    pool_type: PoolType | None, template: Path | None, notify: str, wanted: Configured | None = None
) -> None:
    """Deploy to the server of ``PREFECT_API_URL``, and print what was done.

    :param pool_type: ``None`` for the type of the existing pool, or ``process``
    :param template: base job template; ``None`` keeps the existing pool's, or takes the one of the type
    :param notify: block for notifications, as TYPE/NAME; empty for none
    :param wanted: configuration of the deployments
    :raises ConfigurationError: for a wrong setting
    :raises Unavailable: when the server does not answer
    :raises PratiqueError: when the server refuses a request
    """
    if get_current_settings().api.url is None:
        raise ConfigurationError(
            "deploy", "PREFECT_API_URL", "It is not set.", "Set it to the API of your Prefect server."
        )
    with prefect_faults("deploy"):
        async with get_client() as client:
            await _deploy(client, pool_type, template, notify, wanted or Configured())


async def _deploy(
    client: PrefectClient, pool_type: PoolType | None, template: Path | None, notify: str, chosen: Configured
) -> None:
    # First, so that a wrong setting changes nothing.
    block = await notification_block(client, notify) if notify else None
    typer.echo(f"Work pool {POOL}: {await _apply_work_pool(client, pool_type, template)}")
    before = await read_deployments(client, chosen)
    with tempfile.TemporaryDirectory(prefix="pratique-deploy-") as folder:
        for file in await asyncio.to_thread(prefect_files, chosen, Path(folder)):
            _prefect_deploy(str(file))
    for line in await set_parameters(client, chosen, before):
        typer.echo(f"Deployment {line}")
    documents = read_files()
    deployments = {name: (await client.read_deployment_by_name(name)).id for name in deployments_to_run(documents)}
    ids = Ids(deployments, block)
    automations = [
        build_automation(document, ids)
        for document in documents.values()
        if block is not None or not notifies(document)
    ]
    for line in await apply_automations(client, automations):
        typer.echo(f"Automation {line}")
    if block is None:
        typer.echo("No notifications will be sent: --notify and PRATIQUE_NOTIFY name no block.")
    typer.echo(f"Next, in a checkout on the machine that is to execute runs: prefect worker start --pool {POOL}")
    if warning := WARNINGS.get(await server_database(client, FLOW)):
        typer.echo(warning, err=True)


async def _apply_work_pool(client: PrefectClient, pool_type: PoolType | None, template: Path | None) -> str:
    """Create or update the work pool; returns what was done.

    :raises ConfigurationError: when it exists with another type, which cannot be changed
    """
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        pool_type = pool_type or PoolType.PROCESS
        template = template or pool_type.template
        body = WorkPoolCreate(name=POOL, type=pool_type, base_job_template=await _read_json(template))
        await client.create_work_pool(body)
        return f"created, of type {pool_type}, with template {template.name}"
    if pool_type is not None and pool.type != pool_type:
        raise ConfigurationError(
            "change the work pool", POOL, f"It is of type {pool.type}.", "Omit --pool-type, or delete the pool."
        )
    if template is None:
        return f"exists, of type {pool.type}"
    await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=await _read_json(template)))
    return f"updated, of type {pool.type}, with template {template.name}"


async def _read_json(path: Path) -> dict[str, Any]:
    """:raises ConfigurationError: when the file is not a JSON object"""
    content = await asyncio.to_thread(path.read_bytes)
    try:
        document = json.loads(content)
    except ValueError as error:
        document, problem = None, str(error)
    else:
        problem = "It is not an object"
    if not isinstance(document, dict):
        remedy = "Start from one of deployments/work-pools."
        raise ConfigurationError("read the work pool's template", str(path), f"{plain(problem)}.", remedy)
    return document


def _prefect_deploy(file: str) -> None:
    """Run Prefect's own command on a file, and print what it prints, without logins and tracebacks."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file]
    done = subprocess.run(  # noqa: S603 - constant arguments
        command, cwd=CHECKOUT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    typer.echo(masked(_TRACEBACK.sub("", done.stdout)), nl=False)
    if done.returncode:
        raise ConfigurationError(
            "deploy", file, "`prefect deploy` failed; its output is above.", "Fix the cause and run the command again."
        )
