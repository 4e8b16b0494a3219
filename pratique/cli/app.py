"""Prepare everything that an AKS cluster for regulated workloads needs before it is bootstrapped.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 blocked by the gate, or live images at risk or unexplained.
"""

from __future__ import annotations

import logging

import typer

from pratique.cli.accept import accept
from pratique.cli.access import renew, sweep
from pratique.cli.demo import demo
from pratique.cli.deploy import deploy
from pratique.cli.frame import exit_on_error
from pratique.cli.preflight import check
from pratique.cli.prepare import plan, prepare
from pratique.cli.probe import probe
from pratique.cli.release import release
from pratique.cli.rescan import drill, rescan
from pratique.cli.trust import trust

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in (check, probe, plan, prepare, release, accept, renew, rescan, drill, sweep, deploy):
    app.command()(exit_on_error(command))
app.add_typer(trust, name="trust")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(demo)


@app.callback()
def main() -> None:
    # azure-identity logs every credential that it tries without success. Pratique's own errors name the cause.
    logging.getLogger("azure").setLevel(logging.ERROR)
