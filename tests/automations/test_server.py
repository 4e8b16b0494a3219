"""``pratique deploy`` on a real Prefect server, and what the automations then do there.

Needs Debian's packages postgresql and redis-server; ``make test-automations`` runs it. A minute and a half of it is the
wait for heartbeats that do not come.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from pratique.cli.automations import TAG, read_files
from pratique.cli.deployment_files import POOL, PoolType
from tests import installation
from tests.installation import ROOT, prefect_server, until
from tests.postgres_server import prefect_on_postgres
from tests.processes import PATIENCE_SECONDS

BLOCK = "custom-webhook/ops"
NEVER = {"type": "event", "posture": "Reactive", "expect": ["never"], "threshold": 1, "within": 0}
DO_NOTHING = {"trigger": NEVER, "actions": [{"type": "do-nothing"}]}


class Server(installation.Server):
    """A Prefect server, and ``pratique deploy`` on it with notifications."""

    def deploy(self, *arguments: str, notify: str = BLOCK, code: int = 0) -> str:
        """Run the command; gives what it printed."""
        return super().deploy(*arguments, notify=notify, code=code)

    def automations(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.post("/automations/filter", {})}

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.post("/deployments/filter", {})}

    def start(self, flow: str, config: dict[str, Any], deployment: str) -> str:
        """A run of ours that has begun, as a worker tells it; gives its id."""
        run = self.run(f"{flow}/{deployment}", {"config": config})
        for kind in ("PENDING", "RUNNING"):
            self.set_state(run, kind)
        return run

    def set_state(self, run: str, kind: str, name: str | None = None) -> None:
        answer = self.post(f"/flow_runs/{run}/set_state", {"state": {"type": kind, "name": name}})
        assert answer["status"] == "ACCEPT", answer

    def heartbeat(self, run: str) -> None:
        """What the process of a run sends every 30 seconds."""
        record = self.get(f"/flow_runs/{run}")
        related = [
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in record["tags"]
        ]
        deployment = f"prefect.deployment.{record['deployment_id']}"
        related.append({"prefect.resource.id": deployment, "prefect.resource.role": "deployment"})
        self.emit("prefect.flow-run.heartbeat", {"prefect.resource.id": f"prefect.flow-run.{run}"}, related)

    def wait_for_automations(self) -> None:
        """Wait until the background services know all automations: they learn of new ones in order, after a while."""
        trigger = {"type": "event", "posture": "Reactive", "expect": ["probe"], "threshold": 1, "within": 0}
        pause_itself = {"type": "pause-automation", "source": "inferred"}
        probe = self.post("/automations/", {"name": "probe", "trigger": trigger, "actions": [pause_itself]})["id"]

        def acted() -> bool:
            self.emit("probe", {"prefect.resource.id": f"prefect.automation.{probe}"})
            return not self.get(f"/automations/{probe}")["enabled"]

        until(acted)
        httpx.delete(f"{self.url}/automations/{probe}", trust_env=False).raise_for_status()

    def sweeps(self) -> list[dict[str, Any]]:
        """Parameters of all runs of the sweep."""
        return [run["parameters"] for run in self.runs("sweep_access")]


@pytest.fixture(scope="module")
def messages() -> Iterator[tuple[str, queue.Queue[dict[str, str]]]]:
    """Somebody's webhook: its address, and what it was told."""
    told: queue.Queue[dict[str, str]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}/", told
    listener.shutdown()
    listener.server_close()


@pytest.fixture(scope="module")
def server(messages: tuple[str, Any]) -> Iterator[Server]:
    """A server on PostgreSQL, with a block that notifies the webhook, and everything deployed once."""
    with prefect_on_postgres() as started:
        with temporary_settings({PREFECT_API_URL: started.url}):
            block = CustomWebhookNotificationBlock(
                name="ops", url=messages[0], json_data={"subject": "{{subject}}", "body": "{{body}}"}
            )
            block.save("ops")
        made = Server(started.url, started.environment)
        made.deploy()
        made.wait_for_automations()
        yield made


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The example's configuration."""
    document: dict[str, Any] = YAML(typ="safe").load(ROOT / "examples" / "bootstrap.yaml")
    return document


def test_deploying_again_changes_nothing(server: Server) -> None:
    """The same automations and deployments, none twice; what the UI switched off stays off; others' are not touched."""
    before, deployed = server.automations(), server.deployments()
    assert {*before} == {document["name"] for document in read_files().values()}
    off = next(iter(before.values()))
    httpx.patch(f"{server.url}/automations/{off['id']}", json={"enabled": False}, trust_env=False).raise_for_status()
    server.post("/automations/", {"name": "left over", "tags": [TAG], **DO_NOTHING})
    server.post("/automations/", {"name": "somebody's own", **DO_NOTHING})

    printed = server.deploy()

    after = server.automations()
    assert {*after} - {*before} == {"somebody's own"}
    assert {name: one["id"] for name, one in before.items()} == {name: after[name]["id"] for name in before}
    assert after[off["name"]]["enabled"] is False
    assert printed.count(": unchanged") == len(before)
    assert "SQLite" not in printed
    assert {name: one["id"] for name, one in server.deployments().items()} == {
        name: one["id"] for name, one in deployed.items()
    }
    httpx.patch(f"{server.url}/automations/{off['id']}", json={"enabled": True}, trust_env=False).raise_for_status()


def test_a_crashed_run_is_swept_after_and_told_of(
    server: Server, config: dict[str, Any], messages: tuple[str, queue.Queue[dict[str, str]]]
) -> None:
    """The sweep is scheduled with the configuration of the run that has crashed, whole."""
    run = server.start("prepare_cluster", config, "by-hand")
    parameters = server.get(f"/flow_runs/{run}")["parameters"]
    server.set_state(run, "CRASHED")
    expected = {"config": parameters["config"], "everything": True}
    until(lambda: expected in server.sweeps())
    told = messages[1].get(timeout=PATIENCE_SECONDS)
    assert told["subject"].startswith("prepare_cluster crashed")
    assert run in told["body"]


def test_a_blocked_gate_is_told_of_once(
    server: Server, config: dict[str, Any], messages: tuple[str, queue.Queue[dict[str, str]]]
) -> None:
    """By its event, which has the reason; not again by the state in which it leaves the run."""
    run = server.start("prepare_cluster", config, "by-hand")
    server.set_state(run, "FAILED", "Blocked by gate")
    release = {"prefect.resource.id": "pratique.release.base", "prefect.resource.name": "base"}
    related = [{"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}]
    server.emit("pratique.gate.blocked", release, related, reason="CVE-2026-0001 is critical")
    failed = server.start("prepare_cluster", config, "by-hand")
    server.set_state(failed, "FAILED")
    told = [messages[1].get(timeout=PATIENCE_SECONDS) for _ in range(2)]
    blocked, other = sorted(told, key=lambda one: "gate" not in one["subject"])
    assert blocked["subject"] == "The gate blocked base"
    assert "CVE-2026-0001 is critical" in blocked["body"]
    assert failed in other["body"]


def test_a_run_whose_process_is_gone_crashes(server: Server, config: dict[str, Any]) -> None:
    """When heartbeats stop; Cancelled if somebody asked for that; not one that waits for an answer, or has ended."""
    runs = [server.start("sweep_access", config, "every-15-minutes") for _ in range(4)]
    gone, cancelled, waiting, ended = runs
    for run in (waiting, ended, cancelled, gone):
        server.heartbeat(run)
    server.set_state(cancelled, "CANCELLING")
    server.set_state(waiting, "PAUSED", "Suspended")
    server.set_state(ended, "COMPLETED", "Nothing to do")

    def types() -> list[str]:
        return [server.get(f"/flow_runs/{run}")["state_type"] for run in runs]

    until(lambda: types()[:2] == ["CRASHED", "CANCELLED"])
    assert types()[2:] == ["PAUSED", "COMPLETED"]


def test_without_a_block_nobody_is_told(server: Server) -> None:
    """The others stay."""
    server.deploy(notify="")
    names = {document["name"] for file, document in read_files().items() if not file.startswith("notify-")}
    assert {*server.automations()} - {"somebody's own"} == names


@pytest.mark.parametrize("kind", PoolType)
def test_the_server_takes_each_template(server: Server, kind: PoolType) -> None:
    """As a pool of its type."""
    content = json.loads(kind.template.read_text())
    pool = server.post("/work_pools/", {"name": f"try-{kind}", "type": kind, "base_job_template": content})
    assert pool["base_job_template"] == content


def test_a_pool_keeps_its_template_unless_one_is_given(server: Server, tmp_path: Path) -> None:
    """Values that were filled in through the UI survive the next deployment."""
    content = json.loads(PoolType.PROCESS.template.read_text())
    content["variables"]["properties"]["working_dir"]["default"] = "/srv/pratique"
    changed = tmp_path / "mine.json"
    changed.write_text(json.dumps(content))
    server.deploy("--template", str(changed), notify="")
    server.deploy(notify="")
    assert server.get(f"/work_pools/{POOL}")["base_job_template"] == content


def test_a_wrong_setting_changes_nothing(server: Server) -> None:
    """A block that is not there, and a pool of another type: the command ends before it has done anything."""
    assert "no such block" in server.deploy(notify="slack-webhook/nobody", code=2)
    assert "of type process" in server.deploy("--pool-type", "docker", notify="", code=2)


def test_deploying_to_sqlite_warns(tmp_path: Path) -> None:
    """The command deploys everything, then says what can happen and what to do."""
    with prefect_server(tmp_path) as started:
        printed = started.deploy()
        automations = {document["name"] for file, document in read_files().items() if not file.startswith("notify-")}
        assert {one["name"] for one in started.post("/automations/filter", {})} == automations
    assert "this Prefect server uses SQLite" in printed
    assert "A run that waits for a person can be marked Crashed" in printed
    assert "Move the server to PostgreSQL" in printed
