"""One installation for each worker of the test run, and a table of what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.installation import ROOT, Worker, local_azure, prefect_server
from tests.interruptions.cluster import SPEED, Cluster, Site
from tests.interruptions.steps import Step

_RESULTS = ROOT / "artifacts" / "interruptions" / "measured.json"
_COLUMNS = ("seconds to state", "seconds to no access", "seconds of the next run")
MakeCluster = Callable[[Step], Cluster]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Prefect server, everything deployed on it, and a local Azure; a worker starts with each test."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "prefect").mkdir()
    with prefect_server(folder / "prefect") as server, local_azure(folder, SPEED) as azure:
        server.deploy()
        environment = server.environment | azure.environment
        environment["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] = str(folder / "results")
        worker = Worker(folder / "worker.log", environment)
        yield Site(server, azure, worker)
        worker.stop()


@pytest.fixture
def cluster(site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> MakeCluster:
    """Makes a cluster for a step, and notes for the table what is measured on it."""

    def make(step: Step) -> Cluster:
        site.worker.start()
        made = Cluster.make(site, tmp_path, step.scenario, step.gate)
        request.node.user_properties.append(("measured", made.measured))
        return made

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait for heartbeats begin first, on different workers: the others go by meanwhile."""
    waiting = [item for item in items if "test_heartbeats" in item.name]
    others = [item for item in items if item not in waiting]
    items[:] = [item for pair in zip(waiting, others, strict=False) for item in pair] + others[len(waiting) :]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and keep it as JSON."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    rows: dict[str, dict[str, Any]] = {
        report.nodeid.rpartition("::")[2]: dict(report.user_properties)["measured"]
        for report in sorted(reports, key=lambda report: str(report.nodeid))
        if report.when == "call" and report.user_properties
    }
    if not rows:
        return
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _RESULTS.write_text(json.dumps(rows, indent=1))
    terminalreporter.write_sep("-", "seconds from the interruption on")
    for name, row in rows.items():
        figures = "".join(f"{row[column]:>8.1f}" if column in row else f"{'':>8}" for column in _COLUMNS)
        terminalreporter.write_line(f"{name:<70} {row.get('state', ''):<12}{figures}")
    terminalreporter.write_line(f"columns: {', '.join(_COLUMNS)}; {_RESULTS.relative_to(ROOT)}")
