"""``pratique demo``: start a local Azure and a Prefect server, prepare a cluster, show and verify what came of it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo.processes import start_prefect, start_sandbox
from demo.show import show
from demo.verify import look, verify
from demo.workspace import Workspace

console = Console(soft_wrap=True)
FOLDER = Path(".demo")


def main(
    leave: Annotated[bool, typer.Option("--exit", help="End when done, even with a terminal.")] = False,
    speed: Annotated[float, typer.Option(help="How much faster than Azure's the durations are.")] = 60.0,
) -> None:
    """Run the demo; the exit code is 0 only if everything that it promises is found in the local Azure."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    workspace = Workspace.create(FOLDER.resolve(), speed)
    with contextlib.ExitStack() as stack:
        console.print("Starting a local Azure and a Prefect server …")
        environment = stack.enter_context(start_sandbox(workspace))
        workspace.write_configuration()
        prefect, url = stack.enter_context(start_prefect(workspace))
        environment |= prefect
        console.print(f"Prefect UI: {url}")
        started = time.monotonic()
        command = [sys.executable, "-m", "pratique", "prepare", str(workspace.configuration)]
        code = subprocess.run(  # noqa: S603  # our own interpreter and module
            [*command, "--output", str(workspace.result)], env=environment, check=False
        ).returncode
        seconds = time.monotonic() - started
        if code == 0:
            code = _verify(workspace, environment, seconds)
        if sys.stdout.isatty() and not leave:
            console.print(f"\nThe Prefect UI stays up at {url} until Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
    raise typer.Exit(code)


def _verify(workspace: Workspace, environment: dict[str, str], seconds: float) -> int:
    scene = look(workspace, environment)
    show(console, workspace, scene, seconds)
    problems = verify(workspace, scene)
    for problem in problems:
        console.print(f"[red]NOT AS PROMISED[/] {problem}")
    if not problems:
        console.print("[green]Verified[/] in the local Azure: images, certificate, no access left, two commits.")
    return 1 if problems else 0


if __name__ == "__main__":
    typer.run(main)
