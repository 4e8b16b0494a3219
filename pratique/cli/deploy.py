"""``pratique deploy``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pratique.cli.deployment_files import PoolType, require_files


def deploy(
    pool_type: Annotated[
        PoolType | None, typer.Option(help="Type of the work pool. A new pool is of type process by default.")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Base job template for the work pool. A new pool gets deployments/work-pools/TYPE.json by default.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file to set as the deployments' parameter 'config'.")
    ] = None,
    config_from: Annotated[
        str | None,
        typer.Option(help="Git repository, without credentials, where each run reads its configuration."),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Branch of the configuration there; main by default.")] = None,
    path: Annotated[
        str | None, typer.Option(help="Path of the configuration there; bootstrap.yaml by default.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Location of its token: file:PATH, env:NAME or prefect-secret:BLOCK.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Create deployments of this name for the configuration, beside those of others."),
    ] = None,
    notify: Annotated[
        str,
        typer.Option(
            envvar="PRATIQUE_NOTIFY", help="Block that sends notifications, as TYPE/NAME. Without one, none are sent."
        ),
    ] = "",
) -> None:
    """Create or update the work pool, the deployments and the automations on the Prefect server of PREFECT_API_URL."""
    from pratique.cli.configured_deployments import configured
    from pratique.cli.prefect_server import deploy_to_server

    require_files()
    source = {"remote": config_from, "branch": branch, "path": path, "token": token}
    asyncio.run(deploy_to_server(pool_type, template, notify, configured(config, source, name)))
