"""docker-compose.yml on a real engine: the demo through the API, a worker restarted in the middle, what is closed.

``make compose-test`` runs it. Where images cannot be pulled, tests/compose/stand-ins/build.sh makes the bases first.
``COMPOSE`` names the command when it is not ``docker compose``.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.postgres.servers import free_port

ROOT = Path(__file__).parents[2]
COMPOSE = shlex.split(os.environ.get("COMPOSE", "docker compose"))
SERVICES = {"postgres", "redis", "server", "services", "worker", "sandbox", "sandbox-worker"}
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_PATIENCE_SECONDS = 300.0
_STATE = """
set -eu
. /demo/environment
exec python -c 'import httpx; print(httpx.get("https://sandbox.localhost/state").text)'
"""


@dataclass(frozen=True)
class Stack:
    """The stack while it is up.

    :ivar settings: what its .env holds
    """

    project: str
    env_file: Path
    settings: dict[str, str]
    api: httpx.Client

    def compose(self, *arguments: str) -> str:
        options = ["--project-name", self.project, "--env-file", str(self.env_file), "--profile", "sandbox"]
        done = subprocess.run([*COMPOSE, *options, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        """As a person does it; images are there already."""
        self.compose("up", "--detach", "--no-build")
        self.until(lambda: all(self.health(service) == "healthy" for service in SERVICES))

    def container(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        (found,) = json.loads(_output("docker", "inspect", self.compose("ps", "--quiet", service).strip()))
        container: dict[str, Any] = found
        return container

    def health(self, service: str) -> str:
        return str(self.container(service)["State"]["Health"]["Status"])

    def azure(self) -> dict[str, Any]:
        """What stands in the local Azure."""
        state: dict[str, Any] = json.loads(self.compose("exec", "-T", "sandbox", "sh", "-c", _STATE))
        return state

    def start_demo(self, **changes: Any) -> str:
        """Start the demo deployment; gives the run's id."""
        deployment = self.get("/deployments/name/prepare_cluster/demo")
        parameters = deployment["parameters"]
        parameters["config"]["cluster"] |= changes
        return str(self.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"/flow_runs/{run}")["state_type"])

    def finish(self, run: str) -> None:
        """Wait for the run, which must complete."""
        self.until(lambda: self.state(run) in TERMINAL)
        assert self.state(run) == "COMPLETED", self.get(f"/flow_runs/{run}")["state"]

    def task_states(self, run: str) -> Counter[str]:
        found = self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})
        return Counter(task["state_name"] for task in found)

    def get(self, path: str) -> Any:
        return self.api.get(path).raise_for_status().json()

    def post(self, path: str, document: dict[str, Any]) -> Any:
        return self.api.post(path, json=document).raise_for_status().json()

    def until(self, condition: Callable[[], bool]) -> None:
        """Look again and again until it is so."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < give_up, self.compose("ps", "--all")
            time.sleep(0.5)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with the profile of the local Azure; gone afterwards, volumes included."""
    env_file = tmp_path_factory.mktemp("compose") / "env"
    subprocess.run([ROOT / "deployments" / "compose" / "write-env.sh", env_file], check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    with env_file.open("a") as settings:
        settings.write(f"PRATIQUE_PORT={port}\nSANDBOX_SPEED=300\n")
    written = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
    user, _, password = written["PREFECT_AUTH"].partition(":")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/api", auth=(user, password), timeout=30, trust_env=False
    ) as api:
        stack = Stack(f"pratique-{secrets.token_hex(3)}", env_file, written, api)
        try:
            stack.up()
            yield stack
        finally:
            stack.compose("down", "--volumes")


def test_the_demo_runs(stack: Stack) -> None:
    """`prepare_cluster/demo`, started through the API, completes: images and certificate stand, no access is left."""
    stack.finish(stack.start_demo())
    azure = stack.azure()
    (repositories,) = azure["registries"].values()
    live = {name: tags for name, tags in repositories.items() if name.startswith("live/")}
    assert len(live) == 7
    assert all(repositories[name.replace("live/", "quarantine/", 1)] == tags for name, tags in live.items())
    (vault,) = azure["vaults"].values()
    assert vault["certificates"]
    assert vault["ipRules"] == []


def test_a_worker_restarted_in_the_middle(stack: Stack) -> None:
    """Its run is lost and, marked as crashed and retried, does again only what was not done, in another container."""
    run = stack.start_demo(redeploy=True)
    stack.until(lambda: stack.task_states(run)["Completed"] >= 9)
    before = stack.container("sandbox-worker")["Id"]
    stack.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "sandbox-worker")
    assert stack.container("sandbox-worker")["Id"] != before
    assert stack.state(run) == "RUNNING"
    for kind, name in (("CRASHED", "Crashed"), ("SCHEDULED", "AwaitingRetry")):
        stack.post(f"/flow_runs/{run}/set_state", {"state": {"type": kind, "name": name}})
    stack.finish(run)
    stack.until(lambda: stack.task_states(run)["Cached"] >= 8)
    (vault,) = stack.azure()["vaults"].values()
    assert vault["ipRules"] == []


def test_what_is_deployed_twice_stays(stack: Stack) -> None:
    """Down and up again: the runs of before are there, nothing is asked for twice."""
    runs = stack.post("/flow_runs/count", {})
    stack.compose("down")
    stack.up()
    assert stack.post("/flow_runs/count", {}) == runs
    assert {one["name"] for one in stack.post("/work_pools/filter", {})} == {"pratique", "sandbox"}


def test_only_the_ui_can_be_reached_and_only_from_here(stack: Stack) -> None:
    """One port on loopback, and the API behind it wants the password."""
    published = {service: stack.container(service)["NetworkSettings"]["Ports"] or {} for service in SERVICES}
    bound = [
        (service, binding) for service, ports in published.items() for one in ports.values() for binding in one or ()
    ]
    assert bound == [("server", {"HostIp": "127.0.0.1", "HostPort": stack.settings["PRATIQUE_PORT"]})]
    answer = httpx.post(f"{stack.api.base_url}flow_runs/count", json={}, trust_env=False)
    assert answer.status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("service", sorted(SERVICES - {"postgres"}))
def test_containers_are_confined(stack: Stack, service: str) -> None:
    """Not root, nothing to write to but what is mounted, no capability, bounded memory and processes."""
    host = stack.container(service)["HostConfig"]
    assert stack.compose("exec", "-T", service, "id", "-u").strip() != "0"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0


def test_no_password_is_an_argument(stack: Stack) -> None:
    """Processes of the machine can read each other's arguments."""
    passwords = [stack.settings[name] for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD")]
    passwords.append(stack.settings["PREFECT_AUTH"].partition(":")[2])
    shown = "".join(_output("docker", "top", stack.container(service)["Id"], "-eo", "pid,args") for service in SERVICES)
    assert "redis-server" in shown
    assert not [password for password in passwords if password in shown]


def test_nothing_starts_without_passwords(tmp_path: Path) -> None:
    """There is no default; the message says how to get them."""
    (tmp_path / "env").touch()
    command = [*COMPOSE, "--env-file", str(tmp_path / "env"), "config"]
    refused = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "deployments/compose/write-env.sh" in refused.stderr


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
