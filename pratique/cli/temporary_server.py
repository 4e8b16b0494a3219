"""A Prefect server in a process of its own that ends with this one, for people who have no server.

Prefect would start one as well, but only when its first client is made, within this process's own imports, and on a
port that another process may take meanwhile::

    server = TemporaryServer()                   # imports Prefect's server, and waits; touches no database
    ...                                          # meanwhile: read the configuration, import the flow
    server.proceed()
    server.connect("run the flow", seconds=60)

Facts: Prefect 3.8.8, ``prefect.server.api.server.SubprocessASGIServer``, whose settings for the process these are.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from typing import IO, cast

from pratique.errors import Unavailable
from pratique.markdown import plain

#: How long each of the ends waits for the other one, once it has to go.
_STOP_SECONDS = 5
_EXCEPTION = re.compile(rb"^[\w.]+(?:Error|Exception|Exit)\b.*$", re.MULTILINE)
_REMEDY = (
    "Give it more time (PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=180), check that PREFECT_HOME can be written "
    "and that NO_PROXY has 127.0.0.1, or use a server of your own (PREFECT_API_URL)."
)
_SETTINGS = {"PREFECT_SERVER_UI_ENABLED": "false", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class TemporaryServer:
    """The server's process. It ends with this process, however that ends.

    Until :meth:`proceed`, it holds nothing and changes nothing, so that it can be stopped at any moment.

    :ivar url: of its API
    """

    def __init__(self) -> None:
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # read if it does not start
        self._proceeds = False
        # Bound and listening from the start: nobody else gets the port, and a client's request waits until it is read.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            # In a session of its own, so that Ctrl-C ends the run first, which reports to the server.
            self._process = subprocess.Popen(  # noqa: S603  # this interpreter, this module
                [sys.executable, "-m", __name__, str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                env=os.environ | _SETTINGS,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        self._stdin = cast(IO[bytes], self._process.stdin)
        # First in, last out: Prefect sends its last logs and events when the process exits.
        atexit.register(self.stop)

    def proceed(self) -> None:
        """Let it open its database and serve."""
        self._proceeds = True
        with suppress(BrokenPipeError):  # connect() says why it has ended
            self._stdin.write(b"\n")
            self._stdin.flush()

    def connect(self, attempted: str, *, seconds: float) -> None:
        """Wait until it serves, and make it the server of this process.

        :param attempted: what needs the server, as a verb phrase
        :param seconds: how long to wait
        :raises Unavailable: when it does not start
        """
        import httpx
        from prefect.context import refresh_global_settings_context

        try:
            httpx.get(f"{self.url}/health", timeout=seconds).raise_for_status()
        except (OSError, httpx.HTTPError) as error:
            self.stop()
            raise Unavailable(attempted, "temporary Prefect server", self._observed(error), _REMEDY) from None
        # Prefect's threads read these settings, not those of a context. It has no pages to link to.
        os.environ["PREFECT_API_URL"] = self.url
        os.environ.setdefault("PREFECT_UI_URL", "")
        refresh_global_settings_context()

    def stop(self) -> None:
        """End it; at once, unless it may be in its database."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            (self._process.terminate if self._proceeds else self._process.kill)()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _observed(self, error: Exception) -> str:
        self._output.seek(0)
        said = _EXCEPTION.findall(self._output.read())
        reason = said[-1].decode(errors="replace") if said else str(error)
        return f"It did not start: {plain(reason).removesuffix('.')}."


def _serve(descriptor: int) -> None:
    """Be the server, if the settings name no other one, and the process that starts this one says so.

    :param descriptor: of the socket to listen on
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None or not settings.server.ephemeral.enabled:
        return
    import uvicorn
    from prefect.server.api.server import create_app

    if not sys.stdin.buffer.read(1):
        return
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app = partial(create_app, ephemeral=True, final=True)
    with socket.socket(fileno=descriptor) as listener:
        uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on")).run(sockets=[listener])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # until the other process has ended, or closes the pipe
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
