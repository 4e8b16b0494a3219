"""What a run of ``prepare_cluster`` costs Prefect's server, and how large the graph on its page is.

    make bench-run-page ARGS="--images 100"

Starts a local Azure and a Prefect server, runs ``pratique prepare`` against them, each in a process of its own, and
reads what the server recorded. Prints a table, writes the figures to ``artifacts/run-page-N.json``, and exits with 1
when a limit is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.configuration import write_config
from benchmarks.gate import scenario
from benchmarks.run_cost import FlowCost, GraphCost, RunCost, ServerCost, TaskRuns
from benchmarks.run_graph import count_edges, count_edges_by_kind, measure_inputs
from benchmarks.run_page_server import FINAL, PrefectServer, prefect_server
from benchmarks.run_page_view import chromium, view_page
from benchmarks.sandbox import catalogue, served, show
from benchmarks.usage import cpu_seconds, peak_mib
from tests.flows.world import PROJECT

FLOW = "prepare_cluster"
#: Divides Azure's durations; slow enough that no image is due for its daily rescan.
SPEED = 300
#: Real time from an import to the end of its scan.
SCAN_SECONDS = 5.0
DEADLINE_MINUTES = 60
GRAPH_READS = 3
#: Interval of measuring the memory of the flow's process.
LOOK_SECONDS = 0.1


def measure(options: argparse.Namespace, folder: Path, server: PrefectServer) -> tuple[RunCost, str]:
    """Run the flow, and measure its cost.

    :returns: the figures and the id of the run
    """
    images, azure = catalogue(options.images), folder / "azure"
    azure.mkdir()
    cpu_before = cpu_seconds(server.pid)
    with served(scenario(images, scan=SCAN_SECONDS * SPEED), azure, speed=SPEED) as sandbox:
        references = [str(image["reference"]) for image in images]
        releases = [references[number :: options.releases] for number in range(options.releases)]
        config = write_config(azure, releases, interval=1, deadline=DEADLINE_MINUTES)
        flow = prepare(config, sandbox.variables | server.environment, folder / "flow.log")
        ended = time.monotonic()
        run_id = server.newest_run(FLOW)
        late = server.wait_until_still(run_id) - ended
    run_cpu, run_peak = cpu_seconds(server.pid) - cpu_before, peak_mib(server.pid)
    task_runs = server.task_runs(run_id)
    names = task_names(task_runs)
    graph = read_graph(server, run_id, names)
    inputs = measure_inputs(task_runs, names)
    page = view_page(server.run_url(run_id), options.screenshot) if options.screenshot else None
    runs = TaskRuns(len(task_runs), sum(run["state_type"] not in FINAL for run in task_runs))
    cost = ServerCost(run_cpu, late, run_peak, peak_mib(server.pid))
    return RunCost(
        images=options.images,
        releases=options.releases,
        task_runs=runs,
        flow=flow,
        server=cost,
        graph=graph,
        inputs=inputs,
        page=page,
    ), run_id


def prepare(config: Path, environment: Mapping[str, str], log: Path) -> FlowCost:
    """Run the flow in a process of its own.

    :raises SystemExit: with the end of its log, when it fails
    """
    command = [sys.executable, "-m", "pratique", "prepare", str(config)]
    started, peak, ended = time.monotonic(), 0, 0
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while not ended:
                time.sleep(LOOK_SECONDS)
                peak = max(peak, peak_mib(process.pid))
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        except BaseException:
            process.kill()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"pratique prepare ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return FlowCost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, peak)


def task_names(task_runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Step names by task run id: task keys begin with the function's name."""
    return {run["id"]: run["task_key"].rpartition("-")[0].replace("_", " ") for run in task_runs}


def read_graph(server: PrefectServer, run_id: str, names: Mapping[str, str]) -> GraphCost:
    """Read the graph several times, and take the median duration."""
    seconds: list[float] = []
    for _ in range(GRAPH_READS):
        started = time.monotonic()
        answer = server.graph(run_id)
        seconds.append(time.monotonic() - started)
    graph = json.loads(answer)
    kinds = count_edges_by_kind(graph, names)
    return GraphCost(
        nodes=len(graph["nodes"]),
        edges=count_edges(graph),
        edges_by_kind=kinds,
        seconds=median(seconds),
        size=len(answer),
    )


def keep(server: PrefectServer, run_id: str) -> None:
    """Leave the server running until Ctrl-C."""
    print(f"\nThe run's page: {server.run_url(run_id)}")
    print(f"Prefect stays up at {server.address} until Ctrl-C.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def report(cost: RunCost) -> list[str]:
    """Print the figures, and write them to a file. Returns the exceeded limits."""
    show(list(cost.figures()))
    missed = cost.missed_limits()
    artifact = PROJECT / "artifacts" / f"run-page-{cost.images}.json"
    artifact.parent.mkdir(exist_ok=True)
    artifact.write_text(json.dumps(asdict(cost) | {"missed": missed}, indent=1))
    print(f"\nAll figures: {artifact.relative_to(PROJECT)}")
    for limit in missed:
        print(f"LIMIT EXCEEDED  {limit}")
    return missed


def main() -> int:
    options = _options()
    # An unhandled SIGTERM would leave the servers running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="pratique-bench-") as folder,
        prefect_server(Path(folder) / "prefect", options.database_url) as server,
    ):
        cost, run_id = measure(options, Path(folder), server)
        missed = report(cost)
        if options.keep:
            keep(server, run_id)
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=300, help="size of the catalogue (%(default)s)")
    parser.add_argument("--releases", type=int, default=1, help="number of releases (%(default)s)")
    parser.add_argument("--database-url", metavar="URL", help="empty database, postgresql+asyncpg://…; default: SQLite")
    parser.add_argument("--screenshot", type=Path, metavar="PATH", help="open the run's page, and write a PNG of it")
    parser.add_argument("--keep", action="store_true", help="leave the Prefect server running until Ctrl-C")
    options = parser.parse_args()
    if not 1 <= options.releases <= options.images:
        parser.error("there must be at least one release, and at least one image for each")
    if options.screenshot:
        chromium()
    return options


if __name__ == "__main__":
    sys.exit(main())
