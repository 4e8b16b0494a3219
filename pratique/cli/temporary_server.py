"""Starts the temporary server that Prefect uses where no server is configured.

Prefect would start it as well, but lets it write to the user's terminal: its traceback, if it cannot start. Here its
output goes to a file, and the error says what the last exception in it says.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from typing import IO

import httpx
from prefect.settings import get_current_settings
from prefect.settings.models.server.ephemeral import ServerEphemeralSettings

from pratique.errors import Unavailable
from pratique.markdown import plain

PATIENCE_SECONDS = 60
_EXCEPTION = re.compile(rb"^[\w.]+(?:Error|Exception|Exit)\b.*$", re.MULTILINE)
_REMEDY = (
    "Give it more time (PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=180), check that PREFECT_HOME can be written "
    "and that NO_PROXY has 127.0.0.1, or use a server of your own (PREFECT_API_URL)."
)


def start_temporary_server(attempted: str) -> None:
    """Start the server, unless another one is configured. Prefect stops it when this process ends.

    :param attempted: what needs the server, as a verb phrase
    :raises Unavailable: when it does not start
    """
    settings = get_current_settings()
    if settings.api.url is not None or not settings.server.ephemeral.enabled:
        return
    from prefect.server.api.server import SubprocessASGIServer

    with tempfile.TemporaryFile() as output:
        try:
            with _stderr_into(output):
                SubprocessASGIServer().start(_patience(settings.server.ephemeral))
        except (RuntimeError, OSError, httpx.HTTPError) as error:
            output.seek(0)
            said = _EXCEPTION.findall(output.read())
            reason = said[-1].decode(errors="replace") if said else str(error)
            observed = f"It did not start: {plain(reason).removesuffix('.')}."
            raise Unavailable(attempted, "temporary Prefect server", observed, _REMEDY) from None


def _patience(settings: ServerEphemeralSettings) -> int:
    """Seconds that the server may take to start: as configured, else more than Prefect's 20 for a busy machine."""
    configured = "startup_timeout_seconds" in settings.model_fields_set
    return settings.startup_timeout_seconds if configured else PATIENCE_SECONDS


@contextlib.contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """Send what this process and its new child processes write to standard error into a file."""
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
