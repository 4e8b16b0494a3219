"""What the comparison computes from its runs: the critical path, medians, goals, and the tables."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.comparison.__main__ import keep, read
from benchmarks.comparison.deployed import PrefectCost
from benchmarks.comparison.goals import Goal, goals
from benchmarks.comparison.limit import critical_path, walkthrough_path
from benchmarks.comparison.process_tree import Usage, run
from benchmarks.comparison.report import goals_table, prefect_table, requests_table, runs_table
from benchmarks.comparison.results import Result, medians
from benchmarks.comparison.scene import by_kind
from sandbox.scenario import Timings

DEPLOYED = Result(
    contender="deployed",
    images=7,
    speed=10,
    seconds=180,
    limit=170,
    usage=Usage(flow=5, server=4, children=2, peak_mib=150),
    requests={"ARM reads": 100, "ARM writes": 10, "registry": 120},
    throttled=0,
    prefect=PrefectCost(
        requests=150,
        database_mib=8,
        flow_seconds=174,
        first_task_seconds=5,
        command_seconds=2,
        graph_seconds=0.1,
    ),
    load=0.5,
    busy=False,
    error="",
)


def test_the_critical_path_waits_for_everything_once() -> None:
    """Few images: one deployment, one import, one scan, one promotion, whatever their number."""
    timings = Timings()
    once = timings.deployment + 2 * timings.import_image + timings.scan + timings.artifact
    assert critical_path(1).seconds == critical_path(200).seconds == once


def test_the_critical_path_knows_the_bucket() -> None:
    """A thousand imports start with two hundred at once, then ten a second: twice 80 s more."""
    assert critical_path(1000).seconds == critical_path(7).seconds + 2 * 80


def test_the_walkthrough_waits_for_each_import() -> None:
    """Each image more costs it two imports."""
    assert walkthrough_path(8) - walkthrough_path(7) == 2 * Timings().import_image
    assert walkthrough_path(9, 8) - walkthrough_path(8, 8) == 2 * Timings().import_image
    assert walkthrough_path(8, 8) == walkthrough_path(1)


def test_azures_pace_adds_what_came_on_top() -> None:
    """At ten times the speed, ten seconds over the limit are ten seconds over the limit of Azure's own pace."""
    assert DEPLOYED.at_azure_pace == critical_path(7).seconds + 10
    az = replace(DEPLOYED, contender="az", seconds=walkthrough_path(7) / 10 + 40)
    assert az.at_azure_pace == pytest.approx(walkthrough_path(7) + 40)
    eight = replace(DEPLOYED, contender="az, 8 at once", images=17, seconds=walkthrough_path(17, 8) / 10 + 40)
    assert eight.at_azure_pace == pytest.approx(walkthrough_path(17, 8) + 40)


def test_the_median_leaves_failed_runs_out() -> None:
    """Of a failed, a fast, a slow and a middle run the middle one counts; if all failed, a failed one is shown."""
    failed = replace(DEPLOYED, seconds=1.0, error="ended with 1")
    three = [replace(DEPLOYED, seconds=seconds) for seconds in (200.0, 170.0, 180.0)]
    assert medians([failed, *three]) == [three[2]]
    assert medians([failed]) == [failed]


def test_a_missed_goal_is_named() -> None:
    """A goal is held against its number, in its direction; without a run it is neither met nor missed."""
    held = {goal.what: goal for goal in goals([DEPLOYED, replace(DEPLOYED, contender="command", seconds=181.0)])}
    assert not held["flow over the limit, 7 images"].missed
    missed = held["whole command over the limit, 7 images"]
    assert missed.missed
    assert missed.line().endswith("MISSED")
    assert held["flow over the limit, 1000 images"].measured is None
    assert Goal("faster", 1.5, 1.4, least=True).missed
    assert not Goal("faster", 1.5, 1.6, least=True).missed


def test_goals_compare_with_the_contenders() -> None:
    """Requests are counted against the bare script's, durations against the walkthrough's commands."""
    bare = replace(DEPLOYED, contender="bare script", requests={"ARM reads": 50, "ARM writes": 10, "registry": 100})
    az = replace(DEPLOYED, contender="az", seconds=400.0)
    command = replace(DEPLOYED, contender="command")
    held = {goal.what: goal.measured for goal in goals([DEPLOYED, bare, az, command])}
    assert held["ARM and Resource Graph requests against bare, 7 images"] == pytest.approx(110 / 60)
    assert held["registry requests against bare, 7 images"] == pytest.approx(1.2)
    assert held["faster than the az commands, 7 images, Azure's pace"] == az.at_azure_pace / command.at_azure_pace


def test_an_images_processor_time_is_what_it_adds() -> None:
    """What a run costs without images is not divided among them."""
    large = replace(DEPLOYED, images=107, usage=replace(DEPLOYED.usage, flow=15.0))
    held = {goal.what: goal.measured for goal in goals([DEPLOYED, large])}
    assert held["CPU of the flow an image, 107 images"] == pytest.approx(0.1)


def test_a_failed_run_meets_no_goal() -> None:
    """What a run that failed has measured does not count."""
    failed = replace(DEPLOYED, error="ended with 1")
    assert all(goal.measured is None for goal in goals([failed]))
    assert "FAILED: ended with 1" in runs_table([failed])


def test_requests_are_counted_by_their_cost() -> None:
    """ARM's buckets, Resource Graph's quota, registries and their tokens."""
    seen = [
        {"host": "management.azure.com", "method": "GET", "path": "/subscriptions/1"},
        {"host": "management.azure.com", "method": "PUT", "path": "/subscriptions/1"},
        {"host": "management.azure.com", "method": "POST", "path": "/providers/Microsoft.ResourceGraph/resources"},
        {"host": "cr1.azurecr.io", "method": "GET", "path": "/v2/live/busybox/manifests/1"},
        {"host": "cr1.azurecr.io", "method": "POST", "path": "/oauth2/token"},
    ]
    expected = {"ARM reads": 1, "ARM writes": 1, "Resource Graph": 1, "registry": 1, "registry tokens": 1}
    assert by_kind(seen) == expected


def test_processor_time_is_sorted_by_process(tmp_path: Path) -> None:
    """A command's own work and that of its child are told apart, also when the child has ended."""
    busy = "sum(range(10**7))"
    script = f"import subprocess, sys; {busy}; subprocess.run([sys.executable, '-c', '{busy}  # child'])"
    words = [sys.executable, "-c", f"{script}  # the flow"]
    code, usage = run(words, os.environ, tmp_path / "log", tmp_path, lambda line: "the flow" in line)
    assert code == 0
    assert usage.flow > 0
    assert usage.children > 0
    assert usage.server == 0
    assert usage.peak_mib > 0


def test_every_run_is_kept(tmp_path: Path) -> None:
    """The file has the machine and all runs so far, as JSON, with what is computed from them."""
    path = tmp_path / "results" / "runs.json"
    keep(path, [DEPLOYED])
    keep(path, [DEPLOYED, replace(DEPLOYED, images=100)])
    document = json.loads(path.read_text())
    assert [one["images"] for one in document["runs"]] == [7, 100]
    assert document["runs"][0]["over"] == 10
    assert document["machine"]["cores"] == os.cpu_count()
    assert read(path) == [DEPLOYED, replace(DEPLOYED, images=100)]
    assert read(tmp_path / "none.json") == []


def test_tables_have_a_line_for_each_run() -> None:
    """Runs without Prefect are left out of its table, and have no requests to it."""
    bare = replace(DEPLOYED, contender="bare script", prefect=None)
    for table, lines in ((runs_table, 3), (requests_table, 3), (prefect_table, 2)):
        assert len(table([DEPLOYED, bare]).splitlines()) == lines
    assert goals_table(goals([DEPLOYED])).count("\n") + 1 == len(goals([DEPLOYED]))
