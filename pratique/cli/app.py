"""Prepare everything that an AKS cluster for regulated workloads needs before it is bootstrapped.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 blocked by the gate, or live images at risk.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn, cast

import typer
from rich.console import Console
from rich.table import Table

from pratique.access import revoke
from pratique.access.revoke import Swept
from pratique.azure.session import AzureSession
from pratique.cluster.infrastructure import find_vault
from pratique.config import Bootstrap, load
from pratique.errors import ConfigurationError, GateBlocked, LiveImagesAtRisk, LiveImagesUnexplained, PratiqueError
from pratique.preflight.check import run_checks
from pratique.preflight.plan import Plan
from pratique.release.summary import Delivery, Preparation

FAILED, MISUSED, BLOCKED = 1, 2, 3
_REFUSALS = (GateBlocked, LiveImagesAtRisk, LiveImagesUnexplained)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
#: Off a terminal lines may be as long as they like: digests are there to be copied and compared.
_out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 240)

ConfigArgument = Annotated[Path, typer.Argument(help="Configuration file; see examples/bootstrap.yaml.")]


@app.command()
def prepare(
    config: ConfigArgument,
    output: Annotated[Path | None, typer.Option(help="Write the result to this file, as JSON.")] = None,
) -> None:
    """Prepare everything that the cluster needs before it is bootstrapped."""
    # Importing Prefect takes a second, which 'check' and '--help' need not spend.
    from flows.prepare_cluster import prepare_cluster

    loaded = _load(config)
    _without_tracebacks()
    try:
        result = cast(Preparation, asyncio.run(prepare_cluster(loaded)))
    except PratiqueError as error:
        _fail(error)
    _show(result)
    if output is not None:
        output.write_text(json.dumps(dataclasses.asdict(result), default=str, indent=1))


@app.command()
def plan(
    config: ConfigArgument,
    output: Annotated[Path | None, typer.Option(help="Write the plan to this file, as JSON.")] = None,
) -> None:
    """Look what 'prepare' would do, as things stand. Changes nothing."""
    from flows.prepare_cluster import prepare_cluster

    loaded = _load(config)
    _without_tracebacks()
    try:
        found = cast(Plan, asyncio.run(prepare_cluster(loaded, plan_only=True)))
    except PratiqueError as error:
        _fail(error)
    _out.print(found.text(), markup=False, highlight=False)
    if output is not None:
        output.write_text(json.dumps(dataclasses.asdict(found), indent=1))


@app.command()
def release(
    config: ConfigArgument,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Source of an image as the catalogue writes it, with its release; may be repeated."),
    ] = None,
) -> None:
    """Release the images of a changed catalogue into a cluster that was prepared before."""
    from flows.release_images import release_images

    loaded = _load(config)
    _without_tracebacks()
    try:
        result = asyncio.run(release_images(loaded, only or []))
    except PratiqueError as error:
        _fail(error)
    _show_images(result)
    _show_commits(result)


@app.command()
def renew(config: ConfigArgument) -> None:
    """Import the certificate when the vault's is missing, about to expire, or older than the one at hand."""
    from flows.renew_certificate import renew_certificate

    loaded = _load(config)
    _without_tracebacks()
    try:
        done = asyncio.run(renew_certificate(loaded))
    except PratiqueError as error:
        _fail(error)
    _out.print(f"{'imported' if done.imported else 'nothing to do'}: {done.reason}", markup=False, highlight=False)
    _show_certificate(done.certificate, done.vault, done.thumbprint, done.expires_on)


@app.command()
def rescan(
    config: ConfigArgument,
    output: Annotated[Path | None, typer.Option(help="Write the record to this file, as JSON.")] = None,
) -> None:
    """Judge what is in live/ under today's policy and findings, and follow up on it as the configuration says."""
    from flows.rescan_live import rescan_live

    loaded = _load(config)
    _without_tracebacks()
    try:
        record = asyncio.run(rescan_live(loaded))
    except PratiqueError as error:
        _fail(error)
    if output is not None:
        output.write_text(json.dumps(record, indent=1))
    states = ", ".join(f"{count} {state}" for state, count in record["states"].items()) or "none"
    _out.print(f"{record['outcome']}: {record['images']} images in live/: {states}", markup=False, highlight=False)
    for change in record["changes"]:
        _out.print(f"{change['kind']}: {change['image']}: {change['why']}", markup=False, highlight=False)
    for note in record["notes"]:
        _out.print(f"note: {note}", markup=False, highlight=False)


@app.command()
def drill(
    config: ConfigArgument,
    confirm: Annotated[
        str, typer.Option(help='Type "bypass the quarantine": for some minutes live/ holds an image nobody judged.')
    ],
) -> None:
    """Go past the quarantine on purpose, hear whether the alarm rings, and remove the image again."""
    from flows.drill_quarantine_bypass import CONFIRMATION, drill_quarantine_bypass

    loaded = _load(config)
    if confirm != CONFIRMATION:
        _fail(ConfigurationError("begin the drill", confirm, "It is not confirmed.", f"--confirm {CONFIRMATION!r}"))
    _without_tracebacks()
    try:
        report = asyncio.run(drill_quarantine_bypass(loaded, confirm))
    except PratiqueError as error:
        _fail(error)
    _out.print(report.markdown(), markup=False, highlight=False)


@app.command()
def sweep(
    config: ConfigArgument,
    everything: Annotated[bool, typer.Option("--all", help="End leases that have not expired as well.")] = False,
) -> None:
    """End temporary access to the vault that outlived its lease. Needs Azure and no Prefect server."""
    loaded = _load(config)
    try:
        swept = asyncio.run(_sweep(loaded, everything))
    except PratiqueError as error:
        _fail(error)
    for outcome, leases in (("ended", swept.ended), ("left ", swept.left)):
        for lease in leases:
            _out.print(f"{outcome} {lease}", markup=False, highlight=False)
    found = len(swept.ended) + len(swept.left)
    _out.print(f"{found} found, {len(swept.ended)} ended, {len(swept.left)} left", highlight=False)


async def _sweep(config: Bootstrap, everything: bool) -> Swept:
    async with AzureSession.open(config.subscription_id, config.cloud) as session:
        vault = await find_vault(session, config.cluster)
        return await revoke.sweep(session, vault.id, everything=everything) if vault else Swept((), ())


@app.command()
def check(config: ConfigArgument) -> None:
    """Find out whether a run could work: credentials, permissions, Defender, names, network. Changes nothing."""
    failed = False
    for line in asyncio.run(run_checks(_load(config))):
        failed |= not line.passed
        _out.print(f"[{'green' if line.passed else 'red'}]{'pass' if line.passed else 'FAIL'}[/] ", end="")
        _out.print(f"{line.name}: {line.detail}", markup=False, highlight=False)
        if not line.passed:
            _out.print(f"     next: {line.remedy}", markup=False, highlight=False)
    if failed:
        raise typer.Exit(FAILED)


@app.callback()
def main() -> None:
    # azure-identity logs each source of credentials that it passes over; our errors say what matters of it.
    logging.getLogger("azure").setLevel(logging.ERROR)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Run everything on a local Azure, without an account; --help lists its options."""
    # In place of this process, so that Ctrl-C and exit codes are the demo's own.
    os.execv(sys.executable, [sys.executable, "-m", "demo", *context.args])  # noqa: S606  # our own interpreter


def _load(path: Path) -> Bootstrap:
    try:
        return load(path)
    except PratiqueError as error:
        _fail(error)


def _fail(error: PratiqueError) -> NoReturn:
    """One line for what a user can mend, and the exit code that says which kind it is."""
    code = MISUSED if isinstance(error, ConfigurationError) else BLOCKED if isinstance(error, _REFUSALS) else FAILED
    typer.echo(f"pratique: {type(error).__name__}: {error}", err=True)
    raise typer.Exit(code)


def _without_tracebacks() -> None:
    """Prefect logs a failed run with its traceback; an error of ours says all that there is to know in one line."""

    def strip(record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], PratiqueError):
            record.exc_info = record.exc_text = None
        return True

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(strip)


def _show(result: Preparation) -> None:
    _show_images(result)
    _show_certificate(result.certificate, result.vault, result.thumbprint, result.expires_on)
    _show_commits(result)


def _show_images(result: Delivery) -> None:
    table = Table(title=result.title)
    for heading in ("image", "digest", "verdict", "live reference"):
        table.add_column(heading, overflow="fold")
    for image in result.images:
        table.add_row(image.source, image.digest, image.verdict, image.place)
    _out.print(table)


def _show_commits(result: Delivery) -> None:
    for sha, message in result.commits:
        _out.print(f"commit {sha[:12]} {message}", highlight=False)
    if not result.commits:
        _out.print(f"manifests unchanged at {result.head[:12]}", highlight=False)
    for warning in result.usage.warnings():
        _out.print(f"warning: {warning}", markup=False, highlight=False)


def _show_certificate(name: str, vault: str, thumbprint: str, expires_on: datetime | None) -> None:
    _out.print(
        f"certificate {name} in {vault}: thumbprint {thumbprint}, expires {expires_on:%Y-%m-%d}", highlight=False
    )
