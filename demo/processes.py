"""The demo's servers, as child processes that stop with it."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from demo.workspace import Workspace

_PATIENCE_SECONDS = 90.0


@contextlib.contextmanager
def start_sandbox(workspace: Workspace, scenario: Path | None) -> Iterator[dict[str, str]]:
    """Run ``azure-sandbox serve``; yields the environment variables that point Azure clients at it."""
    home = ["--home", str(workspace.home)]
    command = [_script("azure-sandbox"), "serve", "--port", "0", "--speed", str(workspace.speed), *home]
    if scenario is not None:
        command += ["--scenario", str(scenario)]
    log = workspace.folder / "azure.log"
    with _running(command, log, dict(os.environ)) as process:
        _wait(process, lambda: "listens on" in log.read_text(), "the local Azure", log)
        printed = subprocess.run(  # noqa: S603  # a command of this project
            [_script("azure-sandbox"), "env", *home], check=True, capture_output=True, text=True
        ).stdout
        exports = (line.removeprefix("export ").partition("=") for line in printed.splitlines())
        yield {**os.environ, **{name: shlex.split(value)[0] for name, _, value in exports}}


@contextlib.contextmanager
def start_prefect(workspace: Workspace) -> Iterator[tuple[dict[str, str], str]]:
    """Run a Prefect server; yields its clients' environment variables and the address of its UI."""
    port = _free_port()
    settings = {
        "PREFECT_HOME": str(workspace.prefect),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    log = workspace.folder / "prefect.log"
    command = [_script("prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, log, {**os.environ, **settings}) as process:
        _wait(process, lambda: _healthy(f"{settings['PREFECT_API_URL']}/health"), "the Prefect server", log)
        yield settings, f"http://127.0.0.1:{port}"


def _script(name: str) -> str:
    """Path of a command in this interpreter's environment."""
    return str(Path(sys.executable).parent / name)


@contextlib.contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], what: str, log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up:
            last = log.read_text().strip().rpartition("\n")[2]
            raise SystemExit(f"pratique: {what} did not start: {last} (full log: {log})")
        time.sleep(0.1)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
