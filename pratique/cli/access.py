"""``pratique renew`` and ``pratique sweep``: the commands that need the vault."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from pratique.cli.flow_runner import FlowRunner
from pratique.cli.frame import ConfigArgument, load
from pratique.cli.output import print_certificate, print_line

if TYPE_CHECKING:
    from pratique.access.revoke import SweepResult
    from pratique.config import Bootstrap


def renew(config: ConfigArgument) -> None:
    """Import the certificate if the vault's is missing, expires soon, or is older than yours."""
    runner = FlowRunner(config)

    from flows.renew_certificate import renew_certificate

    renewal = runner.run(renew_certificate(runner.config))
    print_line(f"{'imported' if renewal.imported else 'nothing to do'}: {renewal.reason}")
    print_certificate(renewal.certificate, renewal.vault, renewal.thumbprint, renewal.expires_on)


def sweep(
    config: ConfigArgument,
    everything: Annotated[
        bool, typer.Option("--all", help="Revoke all temporary access, also what has not expired.")
    ] = False,
) -> None:
    """Revoke temporary access to the vault that has expired. Needs Azure, but no Prefect server."""
    swept = asyncio.run(_sweep(load(config), everything))
    for outcome, leases in (("revoked", swept.ended), ("kept   ", swept.left)):
        for lease in leases:
            print_line(f"{outcome} {lease}")
    for record in swept.unusable:
        print_line(f"ignored {record}")
    found = len(swept.ended) + len(swept.left)
    print_line(f"{found} found, {len(swept.ended)} revoked, {len(swept.left)} kept")
    swept.require_proof()


async def _sweep(config: Bootstrap, everything: bool) -> SweepResult:
    from pratique.access import revoke
    from pratique.azure.session import AzureSession
    from pratique.cluster.infrastructure import find_vault

    async with AzureSession.open(config.subscription_id, config.cloud, identity=config.registries.identity) as session:
        vault = await find_vault(session, config.cluster)
        return await revoke.sweep(session, vault.id, everything=everything) if vault else revoke.SweepResult()
