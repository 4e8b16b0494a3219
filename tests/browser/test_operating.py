"""What docs/operating.md promises of Prefect's UI: running, retrying, answering, cancelling.

Needs Debian's chromium; ``make test-browser`` runs it.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import datetime

from playwright.sync_api import expect

from tests.browser.conftest import MakeCluster, Site
from tests.browser.ui import Ui
from tests.flows.world import BUSYBOX, FALCO, KURED, OPENED
from tests.installation import TERMINAL, until


def test_run(ui: Ui, cluster: MakeCluster, measured: dict[str, float]) -> None:
    """A run from the form, with one field changed, to its end: each task run, the gate's table, the summary."""
    made = cluster()
    ui.open_form("by-hand")
    ui.look("form")
    ui.fill("Name (Optional)", "Olga Operator")
    ui.look("changed-field")
    pressed = time.time()
    ui.submit()
    run = made.started()
    ui.open_run(run)
    ui.until_state("Running")
    ui.look("running")
    ui.until_state("Completed")
    ui.look("completed")
    began = min(datetime.fromisoformat(task["start_time"]).timestamp() for task in made.tasks(run))
    measured["from pressing Run to the first task run"] = began - pressed

    shown = ui.task_runs()
    ui.look("task-runs")
    assert Counter(shown) == Counter(task["name"] for task in made.tasks(run))
    images = [image["source"] for release in made.config["catalogue"]["releases"] for image in release["images"]]
    wanted = {f"{verb} {image.partition('/')[2]}" for image in images for verb in ("resolve", "quarantine", "promote")}
    assert wanted < {*shown}
    verbs = {name.split()[0] for name in shown}
    assert verbs >= {"check", "read", "deploy", "gate", "verdict", "open", "import", "revoke", "publish", "show"}

    ui.go_to_run(run)
    table = ui.open_artifact("gate-bootstrap")
    expect(table.get_by_role("row")).to_have_count(1 + len(images))
    expect(table.get_by_role("row").filter(has_text="library/busybox")).to_contain_text("Unassessed, accepted")
    ui.look("gate-table")
    ui.go_to_run(run)
    summary = ui.open_artifact("preparation")
    expect(summary.get_by_role("heading", name="Ready to bootstrap")).to_be_visible()
    expect(summary.get_by_role("row").filter(has_text=KURED)).to_contain_text("Healthy")
    ui.look("summary")
    assert made.authors == ["Olga Operator"] * 2


def test_invalid_input(ui: Ui, cluster: MakeCluster) -> None:
    """The form says which field is wrong, and there is no run."""
    made = cluster([[KURED]])
    ui.open_form("by-hand")
    ui.fill("Resource Group", "rg prod", nth=1)
    ui.submit()
    refused = "Validation failed for field 'config.cluster.resource_group'"
    expect(ui.page.get_by_text(refused)).to_be_visible()
    ui.look("refused")
    assert made.runs == []


def test_retry(ui: Ui, cluster: MakeCluster, site: Site) -> None:
    """A run that failed at promotion does only that again: nothing is deployed or imported twice."""
    made = cluster([[KURED, FALCO]])
    # Both go into quarantine; one is promoted, the other refused for as long as this lasts.
    refused = {"kind": "status", "status": 403, "code": "Forbidden", "method": "POST", "path": "*/importImage"}
    site.azure.control("POST", "/faults", refused | {"nth": 4, "times": None})
    ui.open_form("by-hand")
    ui.submit()
    run = made.started()
    ui.open_run(run)
    ui.until_state("Failed")
    ui.look("failed")
    until(lambda: all(task["state"]["type"] in TERMINAL for task in made.tasks(run)))
    before = {task["id"] for task in made.tasks(run)}
    changes = site.changes()
    assert len(made.live) == 1

    site.azure.control("DELETE", "/faults")
    window = ui.choose("Retry")
    ui.look("sure")
    window.get_by_role("button", name="Retry").click()
    ui.until_state("Completed")
    ui.open_tab("Task Runs")
    expect(ui.main.get_by_text("Cached", exact=True).first).to_be_visible()
    ui.look("task-runs")
    assert len(made.live) == 2
    again = [task for task in made.tasks(run) if task["id"] not in before]
    states = {task["name"]: task["state"]["name"] for task in again}
    cached = {name for name, state in states.items() if state == "Cached"}
    images = [image.partition("/")[2] for image in (KURED, FALCO)]
    assert cached >= {f"{verb} {image}" for image in images for verb in ("resolve", "quarantine")}
    assert sorted(states[f"promote {image}"] for image in images) == ["Cached", "Completed"]
    assert site.changes() == changes | {"image": changes["image"] + 1}


def test_answer(ui: Ui, cluster: MakeCluster) -> None:
    """A person lets in what the gate cannot prove, in the form that Resume opens, and the run completes."""
    made = cluster([[BUSYBOX]], gate={"policy": {"unverified": "ask"}, "deadline": 0.1})
    ui.open_form("by-hand")
    ui.submit()
    run = made.started()
    ui.open_run(run)
    ui.until_state("Suspended")
    assert made.live == []
    ui.look("suspended")
    window = ui.choose("Resume")
    expect(window.get_by_role("heading", name="May release release-0 go to live/ without proof")).to_be_visible()
    ui.look("question")
    window.get_by_role("button", name="Select Decision").click()
    ui.page.get_by_role("option", name="approve").click()
    window.get_by_role("textbox", name="Name").fill("Ada")
    window.get_by_role("textbox", name="Reason").fill("fine")
    ui.look("answer")
    window.get_by_role("button", name="Resume").click()
    expect(ui.page.get_by_text("Validation failed for field 'reason'")).to_be_visible()
    ui.look("too-short")
    assert made.site.server.read(run)["state_name"] == "Suspended"
    window.get_by_role("textbox", name="Reason").fill("Healthy in the portal, looked up today.")
    window.get_by_role("button", name="Resume").click()
    ui.until_state("Completed")
    assert made.live == ["library/busybox"]


def test_cancel(ui: Ui, cluster: MakeCluster, site: Site) -> None:
    """Cancel while access is open: the run ends as Cancelled, and nobody is let in any more."""
    made = cluster([[KURED]], role_assignment=30_000)
    ui.open_form("by-hand")
    ui.submit()
    run = made.started()
    ui.open_run(run)
    until(lambda: len(site.access) == OPENED, lambda: site.server.story(run))
    ui.look("access-open")
    window = ui.choose("Cancel")
    ui.look("sure")
    window.get_by_role("button", name=re.compile("Cancel")).last.click()
    ui.until_state("Cancelled")
    ui.look("cancelled")
    assert site.access == []
