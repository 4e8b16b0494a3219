"""Prefect on PostgreSQL with Redis: a worker, a deployment's concurrency limit, an automation, ``pratique deploy``.

Needs Debian's packages postgresql and redis-server; ``make test-postgres`` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from ruamel.yaml import YAML

from sandbox.scenario import Scenario
from tests.conftest import StartSandbox
from tests.flows.conftest import PROMPT
from tests.flows.world import World, make_world
from tests.installation import until
from tests.postgres_server import PostgresServer, prefect_command, prefect_on_postgres
from tests.processes import SCRIPTS, running


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for all tests here."""
    with prefect_on_postgres() as started:
        yield started


@pytest.fixture
def world(tmp_path: Path, start_sandbox: StartSandbox) -> World:
    """The example's cluster with all its images."""
    return make_world(tmp_path, start_sandbox(Scenario(timings=PROMPT)), None)


@pytest.fixture
def deployment(server: PostgresServer, world: World) -> Iterator[str]:
    """The main flow as a deployment, with a worker that serves its pool; gives its name, FLOW/DEPLOYMENT."""
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
        yield f"prepare_cluster/{pool}"


def test_runs_of_one_deployment_take_turns(server: PostgresServer, deployment: str, world: World) -> None:
    """Two runs of the main flow on one cluster: the second waits for the first; the lease between them is in Redis."""
    first, second = server.run(deployment, {}), server.run(deployment, {})
    until(
        lambda: "RUNNING" in (server.read(first)["state_type"], server.read(second)["state_type"]),
        lambda: server.story(first),
    )
    with Redis.from_url(server.redis_url) as store:
        assert [key for key in store.scan_iter() if b"lease" in key]
    for run in (first, second):
        assert server.until_ended(run)["state_type"] == "COMPLETED", server.story(run)
    earlier, later = sorted((server.read(run) for run in (first, second)), key=lambda run: str(run["start_time"]))
    assert later["start_time"] >= earlier["end_time"]
    assert world.live == world.upstream()
    assert world.access == []
    assert len(world.commits) == 2


def test_every_task_run_arrives(server: PostgresServer, deployment: str) -> None:
    """Task runs come as events, through Redis, from the worker's process to the services, into PostgreSQL."""
    run = server.run(deployment, {})
    assert server.until_ended(run)["state_type"] == "COMPLETED", server.story(run)
    mine = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
    until(
        lambda: "show summary" in {task["name"] for task in server.post("/task_runs/filter", mine)},
        lambda: server.story(run),
    )
    until(
        lambda: {task["state_type"] for task in server.post("/task_runs/filter", mine)} == {"COMPLETED"},
        lambda: server.story(run),
    )


def test_an_automation_acts(server: PostgresServer, deployment: str) -> None:
    """An event that a client sends reaches the services' triggers, and their action reaches the API."""
    path = f"/deployments/name/{deployment}"
    resource = {"prefect.resource.id": "pratique.test"}
    trigger = {"type": "event", "expect": ["pratique.test.happened"], "match": resource, "posture": "Reactive"}
    action = {"type": "pause-deployment", "source": "selected", "deployment_id": server.get(path)["id"]}
    server.post("/automations/", {"name": "test", "trigger": trigger | {"threshold": 1}, "actions": [action]})

    def paused() -> bool:
        # The services learn of a new automation by an event too: one that came before it does not count.
        server.emit("pratique.test.happened", resource)
        return bool(server.get(path)["paused"])

    until(paused)


def test_deploying_finds_nothing_wrong_with_the_database(server: PostgresServer) -> None:
    """``pratique deploy`` recognises PostgreSQL, and warns of nothing."""
    printed = server.deploy()
    assert "Warning" not in printed
    assert "SQLite" not in printed
