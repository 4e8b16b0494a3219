"""Prepare everything that an AKS cluster for regulated workloads needs before it is bootstrapped.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 blocked by the gate, or live images at risk or unexplained;
70 a defect of pratique, 130 interrupted, 141 nobody reads the output any longer.
"""

from __future__ import annotations

import io
import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from pratique.cli.accept import accept
from pratique.cli.access import renew, sweep
from pratique.cli.break_glass import break_glass
from pratique.cli.config import config
from pratique.cli.demo import demo
from pratique.cli.deploy import deploy
from pratique.cli.frame import debugging, exit_on_error
from pratique.cli.preflight import check
from pratique.cli.prepare import plan, prepare
from pratique.cli.probe import probe
from pratique.cli.records import clusters, records
from pratique.cli.release import release
from pratique.cli.rescan import drill, rescan, seal
from pratique.cli.trust import trust

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in (check, probe, plan, prepare, release, accept, break_glass, renew, rescan, seal, drill, sweep, deploy):
    app.command()(exit_on_error(command))
app.add_typer(trust, name="trust")
app.add_typer(clusters, name="clusters")
app.add_typer(records, name="records")
app.add_typer(config, name="config")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(demo)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"pratique {version('pratique')}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="PRATIQUE_DEBUG", help="Print tracebacks of errors.")
    ] = False,
    _: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    debugging.set(debug)
    # Not every terminal's encoding has all characters of an image's or a finding's text.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # azure-identity logs every credential that it tries without success. Pratique's own errors name the cause.
    logging.getLogger("azure").setLevel(logging.ERROR)
