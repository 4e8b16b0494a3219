"""Runs a flow in this process, for a command.

::

    runner = FlowRunner(path)

    from flows.release_images import release_images

    delivery = runner.run(release_images(runner.config))

Where no Prefect server is configured, a temporary one starts while the configuration is read and the flow is imported,
which takes seconds of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pratique.cli.frame import debugging, load
from pratique.cli.temporary_server import TemporaryServer
from pratique.errors import PratiqueError
from pratique.masking import mask_logs
from pratique.server_lifetime import server_is_temporary

if TYPE_CHECKING:
    from prefect.settings import Settings
    from prefect.settings.models.server.ephemeral import ServerEphemeralSettings

T = TypeVar("T")

#: How long a temporary server may take to start, unless the settings say it: Prefect's 20 are few on a busy machine.
PATIENCE_SECONDS = 60


class FlowRunner:
    """Reads a configuration, and runs a flow.

    :param path: file of the configuration
    :ivar config: the configuration
    :raises ConfigurationError: when it is missing or invalid
    """

    def __init__(self, path: Path) -> None:
        self._server = TemporaryServer() if _may_need_server() else None
        try:
            self.config = load(path)
        except BaseException:
            self._stop_server()
            raise
        if self._server is not None:
            self._server.proceed()

    def run(self, run: Coroutine[Any, Any, T]) -> T:
        """Run the flow.

        Prefect logs a failed run with its traceback. For a :class:`PratiqueError` the message is enough.

        :raises PratiqueError: the flow's own, or when Prefect cannot run it
        """
        from pratique.cli.prefect_faults import prefect_faults

        mask_logs()
        for name in ("prefect.flow_runs", "prefect.task_runs"):
            if not debugging.get():
                logging.getLogger(name).addFilter(_strip_traceback)
        try:
            with prefect_faults("run the flow"):
                self._connect("run the flow")
                return asyncio.run(run)
        finally:
            run.close()  # it may never have begun

    def _connect(self, attempted: str) -> None:
        """Have a server: the configured one, or the temporary one."""
        from prefect.settings import get_current_settings

        settings = get_current_settings()
        if not _needs_server(settings):
            self._stop_server()  # a profile or a file names one
        elif self._server is not None:
            server_is_temporary.set(True)
            self._server.connect(attempted, seconds=_patience(settings.server.ephemeral))

    def _stop_server(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


def _may_need_server() -> bool:
    """Whether a temporary server is needed, as far as can be known before Prefect is imported, which takes a second."""
    if "prefect" not in sys.modules:
        return not os.environ.get("PREFECT_API_URL")
    from prefect.settings import get_current_settings

    return _needs_server(get_current_settings())


def _needs_server(settings: Settings) -> bool:
    return settings.api.url is None and settings.server.ephemeral.enabled


def _patience(settings: ServerEphemeralSettings) -> int:
    """Seconds that the server may take to start."""
    configured = "startup_timeout_seconds" in settings.model_fields_set
    return settings.startup_timeout_seconds if configured else PATIENCE_SECONDS


def _strip_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], PratiqueError):
        record.exc_info = record.exc_text = None
    return True
