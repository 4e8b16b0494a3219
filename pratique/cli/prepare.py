"""``pratique prepare`` and ``pratique plan``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from pratique.cli.flow_runner import FlowRunner
from pratique.cli.frame import ConfigArgument, OutputOption
from pratique.cli.output import print_certificate, print_commits, print_images, print_line, write_json

if TYPE_CHECKING:
    from pratique.preflight.plan import Plan
    from pratique.release.summary import Preparation


def prepare(config: ConfigArgument, output: OutputOption = None) -> None:
    """Prepare everything that the cluster needs before it is bootstrapped."""
    runner = FlowRunner(config)

    from flows.prepare_cluster import prepare_cluster

    preparation = cast("Preparation", runner.run(prepare_cluster(runner.config)))
    write_json(dataclasses.asdict(preparation), output)
    print_images(preparation)
    print_certificate(preparation.certificate, preparation.vault, preparation.thumbprint, preparation.expires_on)
    print_commits(preparation)


def plan(config: ConfigArgument, output: OutputOption = None) -> None:
    """Show what 'prepare' would change. Changes nothing."""
    runner = FlowRunner(config)

    from flows.prepare_cluster import prepare_cluster

    planned = cast("Plan", runner.run(prepare_cluster(runner.config, plan_only=True)))
    write_json(dataclasses.asdict(planned), output)
    print_line(planned.text())
