"""Pratique as it is installed: a Prefect server with ``pratique deploy`` on it, a worker, and ``azure-sandbox serve``.

Each is a process of its own in a folder, on a free port of loopback, and ends with its block.
"""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from pratique.cli.deployment_files import POOL
from sandbox.home import Home
from sandbox.server import client_environment
from tests.processes import PATIENCE_SECONDS, SCRIPTS, free_port, responds, running, wait_until

ROOT = Path(__file__).parents[1]
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Server:
    """A Prefect server's API, as the UI uses it, and ``pratique deploy``.

    :ivar environment: of its clients
    """

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self.url = url
        self.environment = environment
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)

    def get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def post(self, path: str, document: Any) -> Any:
        """Repeated, as Prefect's own client does, when SQLite is busy."""
        answer = self._client.post(path, json=document)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < give_up:
            time.sleep(0.5)
            answer = self._client.post(path, json=document)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def deploy(self, *arguments: str, notify: str = "", code: int = 0) -> str:
        """Run the command; gives what it printed."""
        command = [sys.executable, "-m", "pratique", "deploy", *arguments]
        environment = self.environment | {"PRATIQUE_NOTIFY": notify}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Press Run; gives the run's id.

        :param deployment: FLOW/DEPLOYMENT
        """
        found = self.get(f"/deployments/name/{deployment}")["id"]
        return str(self.post(f"/deployments/{found}/create_flow_run", {"parameters": parameters})["id"])

    def emit(
        self, event: str, resource: dict[str, str], related: Sequence[dict[str, str]] = (), **payload: Any
    ) -> None:
        """Send an event, which happens now."""
        happened = {"id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": event}
        self.post("/events", [{**happened, "resource": resource, "related": [*related], "payload": payload}])

    def cancel(self, run: str) -> None:
        """What both UIs send for Cancel."""
        state = {"type": "CANCELLING", "name": "Cancelling"}
        self.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})

    def read(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/flow_runs/{run}")
        return found

    def states(self, run: str) -> list[dict[str, Any]]:
        """All states that a run has had, the oldest first."""
        found: list[dict[str, Any]] = (
            self._client.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
        )
        return sorted(found, key=lambda state: str(state["timestamp"]))

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """All runs of a flow."""
        found: list[dict[str, Any]] = self.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
        return found

    def story(self, run: str) -> str:
        """State and log of a run, for the message of a failed test."""
        lines = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"})
        return "\n".join([str(self.read(run)["state"]), *(line["message"] for line in lines)])

    def until_ended(self, run: str) -> dict[str, Any]:
        """The run, when it has ended."""
        until(lambda: self.read(run)["state_type"] in TERMINAL, lambda: self.story(run))
        return self.read(run)


@contextlib.contextmanager
def prefect_server(folder: Path, **settings: str) -> Iterator[Server]:
    """A server on SQLite with its services; nothing is deployed on it.

    :param folder: becomes PREFECT_HOME
    :param settings: further ones of Prefect, by the names of their environment variables
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        **settings,
    }
    command = [str(SCRIPTS / "prefect"), "server", "start", "--port", str(port)]
    with running(command, folder / "log", environment) as process:
        wait_until(lambda: responds(f"{url}/ready"), process, folder / "log")
        yield Server(url, environment)


@dataclass(frozen=True)
class LocalAzure:
    """``azure-sandbox serve``.

    :ivar environment: what points clients at it
    """

    home: Path
    environment: dict[str, str]
    _client: httpx.Client = field(repr=False)

    def control(self, method: str, path: str, document: Any = None) -> dict[str, Any]:
        """Ask the control host."""
        answer = self._client.request(method, f"https://sandbox.localhost{path}", json=document).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def requests(self) -> list[dict[str, Any]]:
        """The log."""
        found: list[dict[str, Any]] = self.control("GET", "/requests")["requests"]
        return [entry for entry in found if entry["service"] != "control"]


@contextlib.contextmanager
def local_azure(folder: Path, speed: float) -> Iterator[LocalAzure]:
    """Serve one.

    :param folder: gets its home and log
    """
    home, log = folder / "home", folder / "azure.log"
    command = [str(SCRIPTS / "azure-sandbox"), "serve", "--port", "0", "--speed", str(speed), "--home", str(home)]
    with running(command, log, os.environ) as process:
        wait_until(lambda: "listens on" in log.read_text(), process, log)
        environment = client_environment(Home(home))
        trust = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
        with httpx.Client(
            proxy=environment["HTTPS_PROXY"], verify=trust, trust_env=False, timeout=PATIENCE_SECONDS
        ) as client:
            yield LocalAzure(home, environment, client)


class Worker:
    """A process worker of our pool, which can be ended in every way and started again."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        self._environment = environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None or self._process.poll() is not None:
            command = [str(SCRIPTS / "prefect"), "worker", "start", "--pool", POOL]
            with self._log.open("ab") as output:
                self._process = subprocess.Popen(
                    command, cwd=ROOT, env=self._environment, stdout=output, stderr=subprocess.STDOUT
                )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def until(so: Callable[[], bool], story: Callable[[], str] = lambda: "it did not happen") -> None:
    """Look again and again.

    :param story: what to say when it takes too long
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < give_up, story()
        time.sleep(0.3)
