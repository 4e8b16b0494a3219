"""A run of the deployment: a Prefect server, a worker, and what the run cost the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.comparison.process_tree import ProcessTree, Usage
from benchmarks.comparison.scene import Scene
from benchmarks.run_page_server import FINAL, PrefectServer, prefect_server
from benchmarks.usage import cpu_seconds
from pratique.cli.deployment_files import POOL
from tests.flows.world import PROJECT
from tests.processes import SCRIPTS, running, wait_until

FLOW, DEPLOYMENT = "prepare_cluster", "prepare_cluster/by-hand"
_REQUEST = re.compile(r'"(?:GET|POST|PUT|PATCH|DELETE) /api/')
_LOOK_SECONDS = 0.5
_GIVE_UP_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class PrefectCost:
    """What one run cost Prefect.

    :ivar requests: to the server's API, from the run's creation to its end
    :ivar database_mib: size of SQLite's files afterwards
    :ivar flow_seconds: from the flow's start to its end
    :ivar first_task_seconds: from the run's creation until its first task runs
    :ivar command_seconds: what ``prefect deployment run`` took before that
    :ivar graph_seconds: time in which the server returns the graph of the run's page
    """

    requests: int
    database_mib: float
    flow_seconds: float
    first_task_seconds: float
    command_seconds: float
    graph_seconds: float


def run_deployed(scene: Scene) -> tuple[float, Usage, PrefectCost, str]:
    """Start server and worker, deploy, run, and read what it cost.

    :returns: seconds from the command to the run's end, usage, cost, and the run's last message if it failed
    """
    home = scene.folder / "prefect"
    with prefect_server(home, None, PREFECT_SERVER_LOGGING_LEVEL="INFO") as server:
        environment = os.environ | scene.sandbox.variables | server.environment
        _run(["pratique", "deploy", "--config", str(scene.config)], environment)
        with _worker(scene.folder / "worker.log", environment) as worker:
            tree = ProcessTree(worker, lambda line: "flow-run" in line or "prefect.engine" in line)
            requests, cpu = _requests(home), cpu_seconds(server.pid)
            tree.start()
            started = time.monotonic()
            _run(["prefect", "deployment", "run", DEPLOYMENT], environment)
            commanded = time.monotonic() - started
            run = _until_ended(server)
            seconds = time.monotonic() - started
            tree.stop()
        requests, cpu = _requests(home) - requests, cpu_seconds(server.pid) - cpu
        server.wait_until_still(run["id"])
        cost = _cost(server, run, home, requests, commanded)
        seen = tree.usage()
        usage = Usage(flow=seen.flow, server=cpu, children=seen.children, peak_mib=seen.peak_mib)
        failed = run["state_type"] != "COMPLETED"
        return seconds, usage, cost, str(run["state"]["message"]) if failed else ""


def _cost(server: PrefectServer, run: dict[str, Any], home: Path, requests: int, commanded: float) -> PrefectCost:
    starts = [task["start_time"] for task in server.task_runs(run["id"]) if task["start_time"]]
    asked = time.monotonic()
    server.graph(run["id"])
    graph = time.monotonic() - asked
    size = sum(path.stat().st_size for path in home.glob("prefect.db*"))
    return PrefectCost(
        requests=requests,
        database_mib=round(size / 2**20, 1),
        flow_seconds=_between(run["start_time"], run["end_time"]),
        first_task_seconds=_between(run["created"], min(starts)) if starts else float("nan"),
        command_seconds=commanded,
        graph_seconds=graph,
    )


def _between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def _until_ended(server: PrefectServer) -> dict[str, Any]:
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        run = server.read_newest(FLOW)
        if run and run["state_type"] in FINAL:
            return run
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"the run had not ended after {_GIVE_UP_SECONDS:.0f} s")


def _requests(home: Path) -> int:
    return len(_REQUEST.findall((home / "server.log").read_text(errors="replace")))


def _run(words: list[str], environment: dict[str, str]) -> None:
    program = [sys.executable, "-m", *words]
    done = subprocess.run(program, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")


@contextmanager
def _worker(log: Path, environment: dict[str, str]) -> Iterator[int]:
    """The worker's process id, once it polls."""
    words = [str(SCRIPTS / "prefect"), "worker", "start", "--pool", POOL]
    with running(words, log, environment) as process:
        wait_until(lambda: "started!" in log.read_text(), process, log)
        yield process.pid
