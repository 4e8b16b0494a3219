"""One installation for all situations, two machines for each, and a table of what was done again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.installation import ROOT, LocalAzure, Server, local_azure, prefect_server
from tests.reruns.attempts import Attempt, Cluster
from tests.reruns.machines import Machine, first_machine, second_machine

SPEED = 60.0
_RESULTS = ROOT / "artifacts" / "reruns" / "measured.json"
MakeCluster = Callable[..., Cluster]
MakeMachine = Callable[..., Machine]
Note = Callable[[str, Attempt], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory(prefix="pratique-reruns-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server with everything deployed on it; no sweep follows a failed run, whose requests are counted."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as started:
        started.deploy()
        for automation in started.post("/automations/filter", {}):
            address = f"{started.url}/automations/{automation['id']}"
            httpx.patch(address, json={"enabled": False}, trust_env=False, timeout=600).raise_for_status()
        yield started


@pytest.fixture
def speed() -> float:
    """How much faster than Azure's the durations are."""
    return SPEED


@pytest.fixture
def azure(folder: Path, speed: float) -> Iterator[LocalAzure]:
    """A local Azure whose roots every user may read."""
    with local_azure(folder, speed) as serving:
        serving.home.chmod(0o711)
        for root in ("ca.pem", "defender-root.pem"):
            (serving.home / root).chmod(0o644)
        yield serving


@pytest.fixture
def cluster(server: Server, azure: LocalAzure, folder: Path) -> MakeCluster:
    """Makes a cluster that is not prepared yet, in a scenario."""

    def make(**scenario: Any) -> Cluster:
        return Cluster.make(server, azure, folder / "cluster", scenario)

    return make


@pytest.fixture
def first(server: Server, azure: LocalAzure, folder: Path) -> MakeMachine:
    """Makes the first machine; settings are further variables of its environment."""
    return lambda **settings: first_machine(folder, server.environment | azure.environment | settings)


@pytest.fixture
def second(server: Server, azure: LocalAzure, folder: Path) -> MakeMachine:
    """Makes another machine, on which nothing ever ran."""
    return lambda **settings: second_machine(folder, server.environment | azure.environment | settings)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Notes an attempt's figures for the table."""

    def keep(what: str, attempt: Attempt) -> None:
        request.node.user_properties.append((what, attempt.row()))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and keep it as JSON."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    rows = {what: row for one in reports if one.when == "call" for what, row in one.user_properties}
    if not rows:
        return
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _RESULTS.write_text(json.dumps(rows, indent=1))
    terminalreporter.write_sep("-", f"what was done again; {_RESULTS.relative_to(ROOT)}")
    for what, row in rows.items():
        figures = ", ".join(f"{value} {name}" for name, value in row.items() if name != "state" and value)
        terminalreporter.write_line(f"{what}: {row['state']}; {figures}")
