"""What the process of a run imports: it decides how long a run takes to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from tests.flows.conftest import MakeWorld
from tests.flows.world import PROJECT

FLOWS = sorted(path.stem for path in (PROJECT / "flows").glob("*.py") if "@flow(" in path.read_text())
#: As Prefect's engine does it for a deployed run (Prefect 3.8.8, ``prefect.engine``).
LOAD = """
import sys
import prefect.engine, prefect.flow_engine
from prefect.flows import load_flow_from_entrypoint
load_flow_from_entrypoint("flows/{flow}.py:{flow}")
print("modules:", *sys.modules)
"""
RUN = """
import asyncio, sys
from pathlib import Path
from flows.prepare_cluster import prepare_cluster
from pratique.config import load
asyncio.run(prepare_cluster(load(Path(sys.argv[1]))))
print("modules:", *sys.modules)
"""
#: The SDKs whose models an adapter needs as it is imported.
ALWAYS = {"azure.mgmt.containerregistry", "azure.mgmt.core"}


def _modules(program: str, *arguments: str, **environment: str) -> set[str]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | environment, check=True, stdout=subprocess.PIPE)
    return {*done.stdout.decode().rpartition("modules:")[2].split()}


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_is_loaded(flow: str) -> None:
    """Without Prefect's server, and without the Azure SDKs that wait for their client's first use."""
    modules = _modules(LOAD.format(flow=flow))
    assert not {name for name in modules if name.startswith("prefect.server")}
    assert {".".join(name.split(".")[:3]) for name in modules if name.startswith("azure.mgmt.")} <= ALWAYS
    assert not modules & {"azure.keyvault.certificates", "azure.monitor.query"}


def test_a_flow_runs(world: MakeWorld, prefect: Path) -> None:
    """From its beginning to its end, it needs nothing of Prefect's server in its own process."""
    cluster = world()
    modules = _modules(RUN, cluster.written(), PREFECT_API_URL=str(get_current_settings().api.url))
    assert cluster.live == cluster.upstream()
    assert not {name for name in modules if name.startswith("prefect.server")}
