"""``pratique demo``: start a local Azure and a Prefect server, prepare a cluster, show and verify the result."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo.processes import start_prefect, start_sandbox
from demo.show import show
from demo.verify import observe, verify
from demo.workspace import Workspace

console = Console(soft_wrap=True)
FOLDER = Path(".demo")


def main(
    leave: Annotated[bool, typer.Option("--exit", help="Exit when done, even in a terminal.")] = False,
    speed: Annotated[float, typer.Option(help="Divide Azure's durations by this factor.")] = 60.0,
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario for the local Azure; see examples/scenarios/.")
    ] = None,
) -> None:
    """Prepare a cluster on a local Azure. Exit code: that of `pratique prepare`, or 1 if its result is wrong."""
    # The parent process may ignore Ctrl-C, and an unhandled SIGTERM would leave the servers running.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    shutil.rmtree(FOLDER, ignore_errors=True)
    workspace = Workspace.create(FOLDER.resolve(), speed)
    with contextlib.ExitStack() as stack:
        console.print("Starting a local Azure and a Prefect server …")
        environment = stack.enter_context(start_sandbox(workspace, scenario))
        workspace.write_configuration()
        prefect, url = stack.enter_context(start_prefect(workspace))
        environment |= prefect
        console.print(f"Prefect UI: {url}")
        started = time.monotonic()
        command = [sys.executable, "-m", "pratique", "prepare", str(workspace.configuration)]
        code = subprocess.run(  # noqa: S603  # this interpreter, a module of this project
            [*command, "--output", str(workspace.result)], env=environment, check=False
        ).returncode
        seconds = time.monotonic() - started
        problems = _verify(workspace, environment, seconds)
        code = 1 if problems else code
        if sys.stdout.isatty() and not leave:
            console.print(f"\nThe Prefect UI stays up at {url}. Stop it with Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
    raise typer.Exit(code)


def _verify(workspace: Workspace, environment: dict[str, str], seconds: float) -> list[str]:
    outcome = observe(workspace, environment)
    show(console, workspace, outcome, seconds)
    problems = verify(outcome)
    for problem in problems:
        console.print(f"[red]VERIFICATION FAILED[/] {problem}")
    if not problems:
        verified = (
            "images promoted, certificate imported, access removed, two commits pushed"
            if outcome.result
            else "nothing promoted to live/, nothing pushed"
        )
        console.print(f"[green]Verified[/] in the local Azure: {verified}.")
    return problems


if __name__ == "__main__":
    typer.run(main)
