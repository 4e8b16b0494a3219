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
    notify: Annotated[
        str,
        typer.Option(
            envvar="PRATIQUE_NOTIFY", help="Block that sends notifications, as TYPE/NAME. Without one, none are sent."
        ),
    ] = "",
) -> None:
    """Create or update the work pool, the deployments and the automations on the Prefect server of PREFECT_API_URL."""
    from pratique.cli.prefect_server import deploy_to_server

    require_files()
    asyncio.run(deploy_to_server(pool_type, template, notify))
