"""How long a deployed run takes from its creation to its first task, and what it costs.

    make bench-start ARGS="--runs 9"

Starts a local Azure, a Prefect server with what ``pratique deploy`` puts on it, and the worker as the documentation
starts it, and creates runs of ``prepare_cluster`` one after another, at random moments between two of the worker's
queries. The times are those of the server. Also measures the CPU time of ``pratique --help``, and of a process that
loads a flow. Prints a table of medians; asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.sandbox import Figure, show
from benchmarks.usage import cpu_seconds
from pratique.cli.deployment_files import POOL
from tests.flows.world import KURED, make_config
from tests.installation import ROOT, Server, local_azure, prefect_server, until
from tests.processes import SCRIPTS, running

DEPLOYMENT = "prepare_cluster/by-hand"
#: A process that loads a flow, as Prefect's engine does it.
LOAD = "import prefect.engine, prefect.flow_engine, flows.prepare_cluster"
#: Longest pause between two runs, so that they do not begin in step with the worker.
PAUSE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Start:
    """One run, in seconds.

    :ivar query: until the worker has taken it
    :ivar process: from then on until the flow runs
    :ivar task: from then on until its first task runs
    :ivar cpu: CPU time of the run's process until then
    """

    query: float
    process: float
    task: float
    cpu: float

    @property
    def total(self) -> float:
        return self.query + self.process + self.task


def start(server: Server, config: dict[str, Any]) -> Start:
    """Create a run, and wait for its first task and its end."""
    run = server.run(DEPLOYMENT, {"config": config, "plan_only": True})
    began: list[str] = []
    spent: list[tuple[float, float]] = []  # at a time, CPU time until then

    def has_begun() -> bool:
        if process := server.read(run)["infrastructure_pid"]:
            spent.append((time.time(), cpu_seconds(int(process))))
        tasks = server.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        began[:] = sorted(task["start_time"] for task in tasks if task["start_time"])
        return bool(began)

    until(has_begun, lambda: server.story(run))
    cpu = max(seconds for at, seconds in [(0.0, 0.0), *spent] if at <= _time(began[0]))
    at = {state["type"]: _time(state["timestamp"]) for state in reversed(server.states(run))}  # the first of each type
    server.until_ended(run)
    return Start(
        query=at["PENDING"] - at["SCHEDULED"],
        process=at["RUNNING"] - at["PENDING"],
        task=_time(began[0]) - at["RUNNING"],
        cpu=cpu,
    )


def measure(runs: int, folder: Path) -> list[Start]:
    """Create the runs."""
    (folder / "prefect").mkdir()
    with prefect_server(folder / "prefect") as server, local_azure(folder, speed=60) as azure:
        server.deploy()
        config = make_config(folder, azure.home, ((KURED,),)).model_dump(mode="json", exclude_none=True)
        environment = {**server.environment, **azure.environment}
        worker = [str(SCRIPTS / "prefect"), "worker", "start", "--pool", POOL]
        os.chdir(ROOT)
        with running(worker, folder / "worker.log", environment):
            start(server, config)  # compiles what has changed, and waits for the worker
            starts = []
            for _ in range(runs):
                time.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311  # no secret
                starts.append(start(server, config))
            return starts


def command_seconds(command: Sequence[str], times: int = 5) -> float:
    """CPU time of a command: the lowest of several, as other processes make it slower only."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="number of runs")
    options = parser.parse_args()
    pratique = str(SCRIPTS / "pratique")
    figures = [
        Figure("pratique --help: CPU", f"{command_seconds([pratique, '--help']):.2f} s", "<= 0.4 s"),
        Figure("pratique release --help: CPU", f"{command_seconds([pratique, 'release', '--help']):.2f} s", "<= 0.4 s"),
        Figure("load a flow: CPU", f"{command_seconds([sys.executable, '-c', LOAD]):.2f} s"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        starts = measure(options.runs, Path(folder))
    for what, values, goal in (
        ("creation to first task", [one.total for one in starts], "<= 6 s"),
        ("  worker's query", [one.query for one in starts], ""),
        ("  start of the process", [one.process for one in starts], ""),
        ("  in the flow", [one.task for one in starts], ""),
        ("  CPU of the run's process", [one.cpu for one in starts], ""),
    ):
        figures.append(Figure(what, f"{median(values):.1f} s", goal))
        figures.append(Figure("    lowest, highest", f"{min(values):.1f}, {max(values):.1f}"))
    show(figures)


if __name__ == "__main__":
    main()
