"""``pratique prepare`` and ``pratique plan``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from pratique.cli.frame import ConfigArgument, OutputOption, run_flow
from pratique.cli.output import print_certificate, print_commits, print_images, print_line, write_json
from pratique.config import load

if TYPE_CHECKING:
    from pratique.preflight.plan import Plan
    from pratique.release.summary import Preparation


def prepare(config: ConfigArgument, output: OutputOption = None) -> None:
    """Prepare everything that the cluster needs before it is bootstrapped."""
    from flows.prepare_cluster import prepare_cluster

    preparation = cast("Preparation", run_flow(prepare_cluster(load(config))))
    write_json(dataclasses.asdict(preparation), output)
    print_images(preparation)
    print_certificate(preparation.certificate, preparation.vault, preparation.thumbprint, preparation.expires_on)
    print_commits(preparation)


def plan(config: ConfigArgument, output: OutputOption = None) -> None:
    """Show what 'prepare' would change. Changes nothing."""
    from flows.prepare_cluster import prepare_cluster

    planned = cast("Plan", run_flow(prepare_cluster(load(config), plan_only=True)))
    write_json(dataclasses.asdict(planned), output)
    print_line(planned.text())
