"""Runs in the stack: the demo through the API, a retry in another container, a worker that is killed.

The last takes three minutes: for half of them nobody hears a heartbeat.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pratique.cli.automations import read_files
from tests.compose.stack import TERMINAL, Stack, output

#: How the task runs begin whose results are kept for a retry.
REMEMBERED = ("resolve ", "deploy ", "quarantine ", "promote ", "store certificate ")
#: Somebody's webhook: prints each message on a line of its own.
_LISTENER = """
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

http.server.HTTPServer(("", 8000), Handler).serve_forever()
"""
_BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
message = {"subject": "{{subject}}", "body": "{{body}}"}
CustomWebhookNotificationBlock(name="ops", url=sys.argv[1], json_data=message).save("ops", overwrite=True)
"""


@dataclass(frozen=True)
class Webhook:
    """A container in the stack's network that takes notifications."""

    name: str

    def messages(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in output("docker", "logs", self.name).splitlines()]


@pytest.fixture(autouse=True)
def _a_new_azure(stack: Stack) -> None:
    """Nothing is deployed."""
    stack.control("POST", "/reset")


@pytest.fixture
def webhook(stack: Stack) -> Iterator[Webhook]:
    """It is told what happens, from the next deployment on."""
    hook = Webhook(f"{stack.project}-hook-{secrets.token_hex(2)}")
    image = stack.container("server")["Config"]["Image"]
    # On the network that has a way out: that is the way of notifications.
    options = ["--detach", "--name", hook.name, "--network", f"{stack.project}_outside"]
    output("docker", "run", *options, image, "python", "-c", _LISTENER)
    try:
        stack.compose("exec", "-T", "worker", "python", "-c", _BLOCK, f"http://{hook.name}:8000/")
        yield hook
    finally:
        output("docker", "rm", "--force", hook.name)
        stack.compose("run", "--rm", "--no-deps", "deploy")


def test_the_demo_runs(stack: Stack) -> None:
    """`prepare_cluster/demo`, started through the API, completes: images and certificate stand, no access is left."""
    stack.finish(stack.start_demo())
    azure = stack.control("GET", "/state")
    (repositories,) = azure["registries"].values()
    live = {name: tags for name, tags in repositories.items() if name.startswith("live/")}
    assert len(live) == 7
    assert all(repositories[name.replace("live/", "quarantine/", 1)] == tags for name, tags in live.items())
    (vault,) = azure["vaults"].values()
    assert vault["certificates"]
    assert stack.holders() == []


def test_a_retry_in_another_container(stack: Stack) -> None:
    """An import fails, the worker's container is replaced, Retry: only what had not succeeded is done again."""
    # Seven images, each imported twice.
    stack.control("POST", "/faults", kind="operation-fails", operation="import", nth=8, code="Failed")
    run = stack.start_demo()
    stack.finish(run, "FAILED")
    _arrived(stack, run, 1)
    first = {name: state for name, state in stack.tasks(run, 1).items() if name.startswith(REMEMBERED)}
    (failed,) = [name for name, state in first.items() if state == "Failed"]
    done = {name for name, state in first.items() if state in {"Completed", "Nothing to do"}}
    assert len(done) > 7

    stack.replace("sandbox-worker")
    stack.retry(run)
    stack.finish(run)

    _arrived(stack, run, 2)
    second = stack.tasks(run, 2)
    assert second[failed] == "Completed"
    assert {name for name in done if second.get(name, "Cached") != "Cached"} == set()
    operations = stack.control("GET", "/state")["operations"]
    imports = Counter(one["status"] for one in operations if one["kind"] == "import")
    assert imports == {"Succeeded": 14, "Failed": 1}
    assert sum(one["kind"] == "deployment" for one in operations) == 1


def test_a_worker_that_is_killed(stack: Stack, webhook: Webhook) -> None:
    """With access open: the run crashes for want of heartbeats, somebody is told, the next worker ends the access."""
    stack.compose("run", "--rm", "--no-deps", "deploy", PRATIQUE_NOTIFY="custom-webhook/ops")
    # The certificate's import never gets its answer: until somebody gives up, access stands open.
    stack.control("POST", "/faults", kind="timeout", host="*.vault.azure.net", path="*/import", times=None)
    run = stack.start_demo()
    stack.until(lambda: bool(stack.control("GET", "/faults")["faults"][0]["hits"]))
    output("docker", "kill", stack.container("sandbox-worker")["Id"])
    stack.control("DELETE", "/faults")
    assert stack.holders()
    assert stack.state(run) == "RUNNING"

    stack.until(lambda: stack.state(run) in TERMINAL)

    assert stack.get(f"/flow_runs/{run}")["state"]["message"].startswith("No heartbeat for 90 seconds")
    stack.until(lambda: bool(_sweeps_of(stack, run)))
    (sweep,) = _sweeps_of(stack, run)
    assert stack.holders()
    stack.replace("sandbox-worker")
    stack.finish(sweep["id"])
    assert stack.holders() == []
    stack.until(lambda: bool(webhook.messages()))
    (told,) = webhook.messages()
    assert told["subject"].startswith("prepare_cluster crashed")
    assert f"{stack.settings['PRATIQUE_URL']}/runs/flow-run/{run}" in told["body"]

    stack.retry(run)
    stack.finish(run)
    assert stack.holders() == []


def test_another_local_azure(stack: Stack) -> None:
    """Its container is replaced: it is empty and somewhere else, and its worker finds it."""
    stack.replace("sandbox")
    stack.until(lambda: stack.health("sandbox") == "healthy")
    stack.finish(stack.start_demo())
    assert stack.control("GET", "/invariants")["live"]


def test_what_is_deployed_twice_stays(stack: Stack) -> None:
    """Down and up again: the runs of before are there, and nothing is there twice, automations included."""
    runs, before = stack.post("/flow_runs/count", {}), _automations(stack)
    stack.compose("down")
    stack.up()
    assert stack.post("/flow_runs/count", {}) == runs
    assert {one["name"] for one in stack.post("/work_pools/filter", {})} == {"pratique", "sandbox"}
    assert _automations(stack) == before
    ours = {one["name"] for file, one in read_files().items() if not file.startswith("notify-")}
    demo = {"pratique: sweep access after a failed run (local Azure)"}
    assert set(before) == ours | demo


def _automations(stack: Stack) -> dict[str, str]:
    """Ids by name."""
    return {one["name"]: one["id"] for one in stack.post("/automations/filter", {})}


def _arrived(stack: Stack, run: str, attempt: int) -> None:
    """Task runs come as events, and some of them later than the run's own end."""

    def settled() -> bool:
        states = set(stack.tasks(run, attempt).values())
        return bool(states) and not states & {"Running", "Pending", "Scheduled"}

    stack.until(settled)


def _sweeps_of(stack: Stack, run: str) -> list[dict[str, Any]]:
    """The sweeps that were started with the configuration of that run, after it."""
    chosen = {"flows": {"name": {"any_": ["sweep_access"]}}, "sort": "EXPECTED_START_TIME_DESC"}
    ended = stack.get(f"/flow_runs/{run}")["end_time"]
    wanted = {"config": stack.get(f"/flow_runs/{run}")["parameters"]["config"], "everything": True}
    found = stack.post("/flow_runs/filter", chosen)
    return [sweep for sweep in found if sweep["parameters"] == wanted and sweep["created"] >= ended]
