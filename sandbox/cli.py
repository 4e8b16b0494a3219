"""``azure-sandbox``: run the local Azure, and run commands or a shell on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError
from typer.core import TyperCommand

from sandbox.clients import answers, blocked_environment, wait_for_environment
from sandbox.home import Home
from sandbox.scenario import Scenario
from sandbox.server import LOOPBACK, Sandbox, in_url

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

HomeOption = Annotated[Path, typer.Option(help="Folder that holds the certificate authority, keys and secrets.")]
WaitOption = Annotated[
    float, typer.Option(metavar="SECONDS", help="How long to wait for a sandbox that starts.", min=0)
]
#: As of env, nohup and others, when they fail before the command starts, or cannot start it.
_NOT_STARTED, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127


@app.command()
def serve(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            callback=lambda text: _ip_address(text),
            help="IP address to listen on. On any address but loopback, the sandbox is unprotected.",
        ),
    ] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Port of the proxy; 0 picks a free one.")] = 8443,
    speed: Annotated[
        float, typer.Option(help="Divide Azure's durations by this factor; at 0, time only jumps.", min=0)
    ] = 60.0,
    home: HomeOption = Path(".sandbox"),
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario file (YAML). Default: the walkthrough's tenant.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Log at level INFO.")] = False,
) -> None:
    """Run the local Azure until interrupted."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    running = Home(home).running()
    if running is not None and answers(Home(home)):
        typer.echo(f"azure-sandbox: already running with home {home}, as process {running['pid']}.", err=True)
        raise typer.Exit(1)
    try:
        loaded = Scenario.load(scenario)
    except (OSError, ValidationError, yaml.YAMLError) as error:
        typer.echo(f"azure-sandbox: cannot use scenario {scenario}: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        asyncio.run(_serve(Sandbox(home, address=host, port=port, speed=speed, scenario=loaded), home, host))
    except OSError as error:
        target = f"port {port} of {host}"
        typer.echo(f"azure-sandbox: cannot listen on {target}: {error.strerror}. Try --port 0.", err=True)
        raise typer.Exit(1) from None


class _FailsClosed(TyperCommand):
    """A command whose output a shell evaluates: if it fails, the shell reaches neither a sandbox nor the real Azure."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "exit_code", 1):  # --help ends with 0
                _block()
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException:
            _block()
            raise


def _block() -> None:
    typer.echo(f"{_exports(blocked_environment(), ' ')}; false")


@app.command(cls=_FailsClosed)
def env(
    home: HomeOption = Path(".sandbox"),
    proxy_host: Annotated[
        str | None, typer.Option(help="Host name or address of the sandbox, for clients on other machines.")
    ] = None,
    wait: WaitOption = 60.0,
) -> None:
    """Print ``export`` lines; ``eval "$(azure-sandbox env)"`` points any Azure client at the sandbox.

    If no sandbox answers, the lines point clients at nothing and end with ``false``: no command reaches the real Azure.
    """

    def waiting() -> None:
        typer.echo(_exports(blocked_environment(), " "))  # already now: this process may be killed while it waits
        _say_waiting(home, wait)

    try:
        variables = wait_for_environment(home, wait, waiting, proxy_host)
    except (LookupError, OSError) as error:
        _say_missing(error, home)
        raise typer.Exit(1) from None
    typer.echo(_exports(variables, "\nexport "))


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="Command with its arguments.")],
    home: HomeOption = Path(".sandbox"),
    wait: WaitOption = 60.0,
) -> None:
    """Run one command on the sandbox, with its exit code. If no sandbox answers, the command does not run."""
    try:
        variables = wait_for_environment(home, wait, lambda: _say_waiting(home, wait))
    except (LookupError, OSError) as error:
        _say_missing(error, home)
        raise typer.Exit(_NOT_STARTED) from None
    try:
        os.execvpe(command[0], command, os.environ | variables)  # noqa: S606  # the user's command
    except OSError as error:
        typer.echo(f"azure-sandbox: cannot run {command[0]}: {error.strerror}", err=True)
        raise typer.Exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE) from None


def _exports(variables: dict[str, str], separator: str) -> str:
    return "export " + separator.join(f"{name}={shlex.quote(value)}" for name, value in variables.items())


def _say_waiting(home: Path, seconds: float) -> None:
    if seconds:
        typer.echo(f"azure-sandbox: waiting up to {seconds:g} s for a sandbox with the home {home} ...", err=True)


def _say_missing(error: Exception, home: Path) -> None:
    typer.echo(f"azure-sandbox: {error}. Start a sandbox with: azure-sandbox serve --home {home}", err=True)


async def _serve(sandbox: Sandbox, home: Path, host: str) -> None:
    port = await sandbox.start()
    if not ip_address(host).is_loopback:
        typer.echo(f"azure-sandbox: warning: unprotected: anyone who can reach {host} can use it.", err=True)
    typer.echo(
        f"The local Azure listens on {in_url(host)}:{port}. To use it: "
        f"azure-sandbox run --home {shlex.quote(str(home))} -- COMMAND"
    )
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with contextlib.suppress(asyncio.CancelledError):
        await stopped.wait()
    await sandbox.stop()


def _ip_address(text: str) -> str:
    """:raises typer.BadParameter: when the text is not an IP address"""
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
