"""Prefect's own refusals, as a command that runs a flow meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from pratique import errors
from pratique.cli.flow_runner import FlowRunner
from tests.processes import free_port

EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
TOO_LARGE = {
    "exception_message": "Invalid request received.",
    "exception_detail": [
        {
            "type": "value_error",
            "loc": ["body", "parameters"],
            "msg": "Value error, Flow run parameters must be less than 524,288 bytes when serialized (got 730,000).",
            "input": {"config": "hunter2"},
        }
    ],
}


@contextmanager
def _server(status: int, body: object) -> Iterator[str]:
    """A server that answers everything alike; gives its address."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    with HTTPServer(("127.0.0.1", 0), Answering) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{listener.server_port}"
        listener.shutdown()


async def _flow() -> None:
    """What stands for a flow: it needs the server's answer."""
    async with get_client() as client:
        (await client.hello()).raise_for_status()


def _refused(url: str, flow: Callable[[], object] = _flow) -> errors.PratiqueError:
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(errors.PratiqueError) as refused:
        FlowRunner(EXAMPLE).run(flow())  # type: ignore[arg-type]  # a coroutine
    return refused.value


def test_a_server_that_cannot_be_reached() -> None:
    """Transient; the address is named without its login."""
    port = free_port()
    refused = _refused(f"http://me:hunter2@127.0.0.1:{port}/api")
    assert isinstance(refused, errors.Unavailable)
    assert f"127.0.0.1:{port}/api" in refused.subject
    assert "hunter2" not in str(refused)
    assert "me:" not in str(refused)
    assert "PREFECT_API_URL" in refused.remedy


@pytest.mark.parametrize("url", ["127.0.0.1:4200/api", "localhost", "ftp://127.0.0.1/api"])
def test_an_address_that_is_none(url: str) -> None:
    """Exit code 2, and the form that it has to have."""
    refused = _refused(url)
    assert refused.exit_code == 2
    assert "http://HOST:PORT/api" in refused.remedy


@pytest.mark.parametrize(
    ("status", "body", "kind", "step"),
    [
        (401, {"exception_message": "Unauthorized"}, errors.AuthenticationFailed, "PREFECT_API_AUTH_STRING"),
        (403, {"detail": "Forbidden"}, errors.PermissionDenied, "PREFECT_API_KEY"),
        (404, {"detail": "Not Found"}, errors.NotFound, "/api"),
        (413, "", errors.ConfigurationError, "Shorten the configuration"),
        (422, TOO_LARGE, errors.ConfigurationError, "Shorten the configuration"),
        (422, {"exception_detail": [{"msg": "Field required", "input": "hunter2"}]}, errors.OperationFailed, "version"),
        (409, [], errors.OperationFailed, "version"),
        (418, None, errors.OperationFailed, "version"),
    ],
    ids=["401", "403", "404", "413", "too large", "422", "409", "418"],
)
def test_a_server_that_refuses(status: int, body: object, kind: type[errors.PratiqueError], step: str) -> None:
    """Each status has its class and its step; of what was sent, nothing is repeated."""
    with _server(status, body) as address:
        refused = _refused(f"http://{address}/api")
    assert type(refused) is kind
    assert str(status) in refused.observed
    assert step in refused.remedy
    assert "hunter2" not in str(refused)


def test_what_is_not_prefects_passes() -> None:
    """An error of ours, and a defect."""

    async def ours() -> None:
        raise errors.GateBlocked("promote", "x", "No.", "Wait.")

    async def defect() -> None:
        raise RuntimeError("something else")

    for flow, kind in ((ours, errors.GateBlocked), (defect, RuntimeError)):
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}), pytest.raises(kind):
            FlowRunner(EXAMPLE).run(flow())


def test_a_temporary_server_that_does_not_start(tmp_path: Path) -> None:
    """One line and no traceback, also none of the server's; the step names the setting that gives it more time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/absent/prefect.db",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1",
    }
    command = [sys.executable, "-m", "pratique", "prepare", str(EXAMPLE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("pratique: "))
    assert line.startswith(
        "pratique: Unavailable: Could not run the flow (temporary Prefect server): It did not start: "
    )
    assert "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS" in line
