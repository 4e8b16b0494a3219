"""``azure-sandbox``: run the local Azure, or print the environment variables for its clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import signal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from sandbox.home import Home
from sandbox.scenario import Scenario
from sandbox.server import LOOPBACK, Sandbox, client_environment, in_url

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

HomeOption = Annotated[Path, typer.Option(help="Folder that holds the certificate authority, keys and secrets.")]


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
    if running is not None:
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


@app.command()
def env(
    home: HomeOption = Path(".sandbox"),
    proxy_host: Annotated[
        str | None, typer.Option(help="Host name or address of the sandbox, for clients on other machines.")
    ] = None,
) -> None:
    """Print ``export`` lines; ``eval "$(azure-sandbox env)"`` points any Azure client at the sandbox."""
    try:
        variables = client_environment(Home(home), proxy_host)
    except LookupError as error:
        typer.echo(f"azure-sandbox: {error}. Start it with: azure-sandbox serve --home {home}", err=True)
        raise typer.Exit(1) from None
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


async def _serve(sandbox: Sandbox, home: Path, host: str) -> None:
    port = await sandbox.start()
    if not ip_address(host).is_loopback:
        typer.echo(f"azure-sandbox: warning: unprotected: anyone who can reach {host} can use it.", err=True)
    typer.echo(
        f"The local Azure listens on {in_url(host)}:{port}. To use it from a shell: "
        f'eval "$(azure-sandbox env --home {home})"'
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
