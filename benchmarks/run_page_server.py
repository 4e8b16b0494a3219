"""Runs a Prefect server in a process of its own, and reads one run from its API."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.processes import SCRIPTS, free_port, running, wait_until

#: Timeout of one response in seconds: the graph of a large run has taken minutes.
_ANSWER_SECONDS = 1200.0
#: States of task runs arrive up to 16 s after their flow has ended (measured on Prefect 3.8.8). For missing states, the
#: wait is longer, since the server may be busy.
_STILL_SECONDS, _STILL_UNFINISHED_SECONDS = 20.0, 120.0
_GIVE_UP_SECONDS = 900.0
#: Maximum page size of Prefect's API.
_PAGE = 200
FINAL = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


class PrefectServer:
    """A running server, its process and its API.

    :ivar address: URL of its UI
    :ivar environment: variables for its clients
    """

    def __init__(self, pid: int, address: str, environment: dict[str, str], api: httpx.Client) -> None:
        self.pid = pid
        self.address = address
        self.environment = environment
        self._api = api

    def run_url(self, run_id: str) -> str:
        """URL of the run's page."""
        return f"{self.address}/v2/runs/flow-run/{run_id}"

    def newest_run(self, flow: str) -> str:
        """Id of the newest run of a flow."""
        return str(self.read_newest(flow)["id"])

    def read_newest(self, flow: str) -> dict[str, Any]:
        """The newest run of a flow; empty when there is none."""
        query = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
        found: list[dict[str, Any]] = self._post("/flow_runs/filter", query)
        return found[0] if found else {}

    def task_runs(self, run_id: str) -> list[dict[str, Any]]:
        """All task runs of a run, read page by page."""
        found: list[dict[str, Any]] = []
        while True:
            query = {**_of_run(run_id), "sort": "ID_DESC", "limit": _PAGE, "offset": len(found)}
            page = self._post("/task_runs/filter", query)
            found += page
            if len(page) < _PAGE:
                return found

    def graph(self, run_id: str) -> bytes:
        """The graph that the run's page draws, as JSON."""
        return self._api.get(f"/flow_runs/{run_id}/graph-v2").raise_for_status().content

    def wait_until_still(self, run_id: str) -> float:
        """Wait until no more states of task runs arrive.

        :returns: monotonic time of the last arrival, to the second
        :raises RuntimeError: when they keep arriving
        """
        started = changed = current = time.monotonic()
        counts = self._counts(run_id)
        while current - changed < (_STILL_SECONDS if counts[0] == counts[1] else _STILL_UNFINISHED_SECONDS):
            if current - started > _GIVE_UP_SECONDS:
                raise RuntimeError(f"states of task runs still arrive after {_GIVE_UP_SECONDS:.0f} s")
            time.sleep(1)
            before, counts = counts, self._counts(run_id)
            current = time.monotonic()
            changed = changed if counts == before else current
        return changed

    def _counts(self, run_id: str) -> tuple[int, int]:
        """Numbers of task runs, and of those in a final state."""
        final = {"task_runs": {"state": {"type": {"any_": FINAL}}}}
        everything = self._post("/task_runs/count", _of_run(run_id))
        return int(everything), int(self._post("/task_runs/count", _of_run(run_id) | final))

    def _post(self, path: str, document: Mapping[str, Any]) -> Any:
        """Retries while SQLite is busy, as Prefect's own client does."""
        give_up = time.monotonic() + _GIVE_UP_SECONDS
        answer = self._api.post(path, json=document)
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < give_up:
            time.sleep(0.5)
            answer = self._api.post(path, json=document)
        return answer.raise_for_status().json()


@contextmanager
def prefect_server(home: Path, database_url: str | None, **others: str) -> Iterator[PrefectServer]:
    """Start a server with its UI and services on a free port of loopback.

    :param home: becomes PREFECT_HOME
    :param database_url: an empty PostgreSQL database, for asyncpg; ``None`` for a new SQLite one
    :param others: further settings, by the names of their environment variables
    """
    home.mkdir()
    address = f"http://127.0.0.1:{free_port()}"
    client = {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"{address}/api"}
    settings = client | {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "DO_NOT_TRACK": "1",
        **others,
    }
    if database_url is not None:
        settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database_url
    command = [str(SCRIPTS / "prefect"), "server", "start", "--port", address.rpartition(":")[2]]
    log = home / "server.log"
    with (
        running(command, log, os.environ | settings) as process,
        httpx.Client(base_url=f"{address}/api", timeout=_ANSWER_SECONDS, trust_env=False) as api,
    ):
        wait_until(lambda: _ready(api), process, log)
        yield PrefectServer(process.pid, address, client, api)


def _of_run(run_id: str) -> dict[str, Any]:
    return {"flow_runs": {"id": {"any_": [run_id]}}}


def _ready(api: httpx.Client) -> bool:
    try:
        return api.get("/ready", timeout=2).is_success
    except httpx.HTTPError:
        return False
