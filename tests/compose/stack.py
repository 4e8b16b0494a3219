"""The stack of docker-compose.yml, as the tests see it: the engine's containers, Prefect's API, the local Azure."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
COMPOSE = shlex.split(os.environ.get("COMPOSE", "docker compose"))
SERVICES = {"postgres", "redis", "server", "services", "worker", "sandbox", "sandbox-worker"}
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_PATIENCE_SECONDS = 600.0
#: Method, path and body are its arguments: nothing has to be quoted.
_CONTROL = """
set -eu
. /demo/environment
exec python -c '
import httpx, sys
method, path, body = sys.argv[1:]
answer = httpx.request(method, "https://sandbox.localhost" + path, content=body, timeout=600)
print(answer.raise_for_status().text)' "$@"
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

    def compose(self, *arguments: str, **settings: str) -> str:
        """What the command prints, which has to succeed.

        :param settings: in place of those in its .env
        """
        options = ["--project-name", self.project, "--env-file", str(self.env_file), "--profile", "sandbox"]
        command = [*COMPOSE, *options, *arguments]
        environment = os.environ | settings
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        """As a person does it; images are there already."""
        self.compose("up", "--detach", "--no-build")
        self.until(lambda: all(self.health(service) == "healthy" for service in SERVICES))

    def replace(self, service: str) -> None:
        """A new container in place of the service's, which keeps only what is in volumes."""
        before = self.container(service)["Id"]
        self.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", service)
        assert self.container(service)["Id"] != before

    def container(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container, whether it runs or not."""
        (found,) = json.loads(output("docker", "inspect", self.compose("ps", "--all", "--quiet", service).strip()))
        container: dict[str, Any] = found
        return container

    def health(self, service: str) -> str:
        return str(self.container(service)["State"]["Health"]["Status"])

    def control(self, method: str, path: str, /, **body: Any) -> dict[str, Any]:
        """Ask the control host of the local Azure."""
        arguments = [method, path, json.dumps(body) if body else ""]
        answer: dict[str, Any] = json.loads(
            self.compose("exec", "-T", "sandbox", "sh", "-c", _CONTROL, "control", *arguments)
        )
        return answer

    def holders(self) -> list[str]:
        """What lets anybody into the local Azure's vault for a time: firewall rules, and assignments with a lease."""
        vaults = self.control("GET", "/invariants")["vaults"].values()
        rules = [rule["value"] for vault in vaults for rule in vault["ipRules"] if rule["state"] != "fading"]
        standing = [one for vault in vaults for one in vault["assignments"] if one["state"] != "fading"]
        return [*rules, *(one["description"] for one in standing if "lease" in (one["description"] or ""))]

    def start_demo(self) -> str:
        """Start the demo deployment; gives the run's id."""
        deployment = self.get("/deployments/name/prepare_cluster/demo")["id"]
        return str(self.post(f"/deployments/{deployment}/create_flow_run", {})["id"])

    def retry(self, run: str) -> None:
        """As the button of that name does it."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        answer = self.post(f"/flow_runs/{run}/set_state", {"state": state})
        assert answer["status"] == "ACCEPT", answer

    def state(self, run: str) -> str:
        return str(self.get(f"/flow_runs/{run}")["state_type"])

    def finish(self, run: str, kind: str = "COMPLETED") -> None:
        """Wait for the run, which must end like this."""
        self.until(lambda: self.state(run) in TERMINAL)
        assert self.state(run) == kind, self.story(run)

    def tasks(self, run: str, attempt: int) -> dict[str, str]:
        """State of each task run in one attempt of the run."""
        found = self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})
        return {task["name"]: task["state_name"] for task in found if task["flow_run_run_count"] == attempt}

    def story(self, run: str) -> str:
        """State and log of a run, for the message of a failed test."""
        lines = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"})
        return "\n".join([str(self.get(f"/flow_runs/{run}")["state"]), *(line["message"] for line in lines)])

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


def output(*command: str) -> str:
    """What a command prints, which has to succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
