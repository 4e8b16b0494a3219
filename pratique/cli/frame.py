"""What the commands share: their common arguments, how they run a flow, and how they exit after an error.

Importing a command imports neither Prefect nor an Azure SDK: those take a second, which ``--help`` need not spend.
A command imports what it runs when it runs.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from pratique.errors import PratiqueError

P = ParamSpec("P")
T = TypeVar("T")

ConfigArgument = Annotated[Path, typer.Argument(help="Configuration file. Example: examples/bootstrap.yaml.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="Also write the result to this file, as JSON.")]


def exit_on_error(command: Callable[P, None]) -> Callable[P, None]:
    """Make a command report a :class:`PratiqueError` in one line and exit with the error's exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PratiqueError as error:
            typer.echo(f"pratique: {type(error).__name__}: {error}", err=True)
            raise typer.Exit(error.exit_code) from None

    return run


def run_flow(run: Coroutine[Any, Any, T]) -> T:
    """Run a flow in this process.

    Prefect logs a failed run with its traceback. For a :class:`PratiqueError` the message is enough.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_strip_traceback)
    return asyncio.run(run)


def _strip_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], PratiqueError):
        record.exc_info = record.exc_text = None
    return True
