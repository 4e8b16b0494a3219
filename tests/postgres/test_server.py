"""Prefect on PostgreSQL with Redis: a deployment run by a worker, its concurrency limit, an automation.

Needs Debian's packages postgresql and redis-server; ``make test-postgres`` runs it.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from ruamel.yaml import YAML

from sandbox.scenario import Scenario
from tests.conftest import StartSandbox
from tests.flows.conftest import PROMPT
from tests.flows.world import World, make_world
from tests.postgres.servers import SCRIPTS, PrefectServer, postgres, prefect, prefect_command, redis, running

_PATIENCE_SECONDS = 180.0
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Api:
    """The server's REST API, as the UI uses it."""

    def __init__(self, server: PrefectServer) -> None:
        self._client = httpx.Client(base_url=server.api, timeout=30, trust_env=False)

    def get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def post(self, path: str, document: dict[str, Any] | list[dict[str, Any]]) -> Any:
        answer = self._client.post(path, json=document).raise_for_status()
        return answer.json() if answer.content else None

    def run(self, deployment: str) -> str:
        """Start a run of a deployment; gives its id."""
        return str(self.post(f"/deployments/{deployment}/create_flow_run", {})["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"/flow_runs/{run}")["state_type"])

    def story(self, run: str) -> str:
        """State and log of a run, for the message of a failed test."""
        lines = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"})
        return "\n".join([str(self.get(f"/flow_runs/{run}")["state"]), *(line["message"] for line in lines)])


@pytest.fixture(scope="module")
def server() -> Iterator[PrefectServer]:
    """One server for all tests here, in a folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="pratique-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            postgres(folder / "postgres") as database_url,
            redis(folder / "redis") as redis_port,
            prefect(folder / "prefect", database_url, redis_port) as started,
        ):
            yield started


@pytest.fixture
def api(server: PrefectServer) -> Api:
    return Api(server)


@pytest.fixture
def world(tmp_path: Path, start_sandbox: StartSandbox) -> World:
    """The example's cluster with all its images."""
    return make_world(tmp_path, start_sandbox(Scenario(timings=PROMPT)), None)


@pytest.fixture
def deployment(server: PrefectServer, api: Api, world: World) -> Iterator[str]:
    """The main flow as a deployment, with a worker that serves its pool; gives the deployment's id."""
    pool = world.folder.name
    environment = server.environment | world.sandbox.environment
    prefect_command("work-pool", "create", pool, "--type", "process", environment=environment)
    file = world.folder / "prefect.yaml"
    written = {
        "name": pool,
        "entrypoint": "flows/prepare_cluster.py:prepare_cluster",
        "parameters": {"config": world.config.model_dump(mode="json", exclude_unset=True)},
        "enforce_parameter_schema": True,
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "work_pool": {"name": pool},
    }
    YAML().dump({"name": "pratique", "deployments": [written]}, file)
    # Entrypoints are relative to the current folder, and `prefect` is run from the root.
    prefect_command("--no-prompt", "deploy", "--all", "--prefect-file", str(file), environment=environment)
    command = [str(SCRIPTS / "prefect"), "worker", "start", "--pool", pool]
    settings = {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(world.folder / "results"),
    }
    with running(command, world.folder / "worker.log", environment | settings):
        yield str(api.get(f"/deployments/name/prepare_cluster/{pool}")["id"])


def test_runs_of_one_deployment_take_turns(api: Api, deployment: str, server: PrefectServer, world: World) -> None:
    """Two runs of the main flow on one cluster: the second waits for the first; the lease between them is in Redis."""
    first, second = api.run(deployment), api.run(deployment)
    _until(api, lambda: "RUNNING" in (api.state(first), api.state(second)), first)
    with Redis.from_url(server.redis_url) as store:
        assert [key for key in store.scan_iter() if b"lease" in key]
    _until(api, lambda: {api.state(first), api.state(second)} <= TERMINAL, first)
    for run in (first, second):
        assert api.state(run) == "COMPLETED", api.story(run)
    earlier, later = sorted(
        (api.get(f"/flow_runs/{run}") for run in (first, second)), key=lambda run: run["start_time"]
    )
    assert later["start_time"] >= earlier["end_time"]
    assert world.live == world.upstream()
    assert world.access == []
    assert len(world.commits) == 2


def test_every_task_run_arrives(api: Api, deployment: str) -> None:
    """Task runs come as events, through Redis, from the worker's process to the services, into PostgreSQL."""
    run = api.run(deployment)
    _until(api, lambda: api.state(run) in TERMINAL, run)
    assert api.state(run) == "COMPLETED", api.story(run)
    mine = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
    _until(api, lambda: "show summary" in {task["name"] for task in api.post("/task_runs/filter", mine)}, run)
    _until(api, lambda: {task["state_type"] for task in api.post("/task_runs/filter", mine)} == {"COMPLETED"}, run)


def test_an_automation_acts(api: Api, deployment: str) -> None:
    """An event that a client sends reaches the services' triggers, and their action reaches the API."""
    resource = {"prefect.resource.id": "pratique.test"}
    trigger = {"type": "event", "expect": ["pratique.test.happened"], "match": resource, "posture": "Reactive"}
    action = {"type": "pause-deployment", "source": "selected", "deployment_id": deployment}
    rule = {"name": "test", "enabled": True, "trigger": trigger | {"threshold": 1}, "actions": [action]}
    api.post("/automations/", rule)
    number = iter(range(1, 1000))

    def paused() -> bool:
        # The services learn of a new automation by an event too: one that came before it does not count.
        event = {
            "occurred": datetime.now(UTC).isoformat(),
            "event": "pratique.test.happened",
            "resource": resource,
            "id": str(uuid.uuid4()),
            "payload": {"number": next(number)},
        }
        api.post("/events", [event])
        return bool(api.get(f"/deployments/{deployment}")["paused"])

    _until(api, paused, None, pause=1.0)


def _until(api: Api, condition: Callable[[], bool], run: str | None, pause: float = 0.2) -> None:
    """Look again and again; when it takes too long, tell the run's story."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up, api.story(run) if run else "it did not happen"
        time.sleep(pause)
