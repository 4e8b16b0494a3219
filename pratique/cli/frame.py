"""What the commands share: their common arguments, and how they exit after an error.

The module of a command imports this one, how to print, and what its arguments are made of. What the command runs, and
with it Prefect, the Azure SDKs and the model of the configuration, it imports when it runs: that takes seconds, which
``--help`` need not spend.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from pratique.errors import ConfigurationError, PratiqueError
from pratique.masking import masked

if TYPE_CHECKING:
    from pydantic import ValidationError

    from pratique.config import Bootstrap

P = ParamSpec("P")

INTERRUPTED = 130  # exit code after Ctrl-C, as of programs that the signal ends
PIPE_CLOSED = 141  # exit code when nobody reads the output any longer, as of programs that the signal ends
DEFECT = 70  # exit code after an error that is not one of ours

#: Whether tracebacks are printed.
debugging: ContextVar[bool] = ContextVar("pratique_debugging", default=False)


def _writable(path: Path | None) -> Path | None:
    """:raises typer.BadParameter: when the file cannot be written, which nobody wants to learn after an hour"""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{path} is a folder." if path.is_dir() else f"There is no folder {path.parent}.")
    if path is not None and not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written.")
    return path


ConfigArgument = Annotated[Path, typer.Argument(help="Configuration file. Example: examples/bootstrap.yaml.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", callback=_writable, help="Also write the result to this file, as JSON.")
]


def load(path: Path) -> Bootstrap:
    """Read and check a configuration file.

    :raises ConfigurationError: when it is missing or invalid
    """
    from pratique import config

    return config.load(path)


def exit_on_error(command: Callable[P, None]) -> Callable[P, None]:
    """Make a command report an error in one line, and exit with its exit code.

    A traceback is printed with ``--debug`` only; of an error that is not one of ours it goes to a file.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except PratiqueError as error:
            raise _exit(f"{type(error).__name__}: {error}", error.exit_code) from None
        except KeyboardInterrupt:
            raise _exit("Interrupted.", INTERRUPTED) from None
        except BrokenPipeError:
            # Python would complain again when it closes the output at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except OSError as error:
            if error.filename is None and error.errno != errno.ENOSPC:
                raise _exit(_defect(error), DEFECT) from None
            raise _exit(_file_problem(error), PratiqueError.exit_code) from None
        except Exception as error:
            raise _unexpected(error) from None

    return run


def _unexpected(error: Exception) -> typer.Exit:
    from pydantic import ValidationError

    if isinstance(error, ValidationError) and error.title.endswith("Settings"):
        return _exit(_wrong_settings(error), ConfigurationError.exit_code)
    return _exit(_defect(error), DEFECT)


def _exit(message: str, code: int) -> typer.Exit:
    if debugging.get():
        typer.echo(masked(traceback.format_exc()), err=True, nl=False)
    typer.echo(f"pratique: {message}", err=True)
    return typer.Exit(code)


def _file_problem(error: OSError) -> str:
    path = f"{error.filename}: " if error.filename is not None else ""
    return f"{path}{error.strerror}. Next: Check the path, its permissions, and the space on its disk."


def _wrong_settings(error: ValidationError) -> str:
    """The message for settings of Prefect that it cannot read, without their values."""
    found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_input=False)]
    remedy = "Correct the variable PREFECT_…, or Prefect's profile."
    return f"Prefect's {error.title} are invalid: {'; '.join(found)}. Next: {remedy}"


def _defect(error: Exception) -> str:
    """The message for an error that nobody expected."""
    where = "above" if debugging.get() else _details() or "printed with --debug"
    report = "This is a defect of pratique, not a mistake of yours. Please report it with its details, which are"
    return f"{type(error).__name__}: {report} {where}."


def _details() -> str | None:
    """Write the traceback to a file that only its owner can read; returns its path."""
    try:
        handle, path = tempfile.mkstemp(prefix="pratique-", suffix=".log", text=True)
        with os.fdopen(handle, "w") as file:
            file.write(masked(traceback.format_exc()))
    except OSError:
        return None
    return path
