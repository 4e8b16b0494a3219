"""What the measurement of a run's page counts, and what it makes of its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.run_cost import FlowCost, GraphCost, RunCost, ServerCost, TaskRuns
from benchmarks.run_graph import EdgeCount, TaskInputs, count_edges, count_edges_by_kind, measure_inputs

TASKS = {"q1": "quarantine image", "q2": "quarantine image", "gate": "scan gate", "inner": "import certificate"}


def node(run_id: str, *parents: str, inside: str = "") -> tuple[str, dict[str, Any]]:
    """A node as Prefect's graph-v2 has it."""
    encapsulating = [{"id": inside}] if inside else []
    return run_id, {"id": run_id, "parents": [{"id": parent} for parent in parents], "encapsulating": encapsulating}


GRAPH = {"nodes": [node("q1"), node("q2"), node("gate", "q1", "q2", "q2", "q2"), node("inner", "gate", inside="q1")]}


def test_count_edges() -> None:
    """Repeated edges count each time, and once as distinct ones; encapsulation does not count."""
    assert count_edges(GRAPH) == EdgeCount(listed=5, distinct=3)


def test_count_edges_without_nodes() -> None:
    """A run without task runs has no edges."""
    assert count_edges({"nodes": []}) == EdgeCount(0, 0)


def test_count_edges_by_kind() -> None:
    """Edges are grouped by the tasks at their ends, most first."""
    counted = count_edges_by_kind(GRAPH, TASKS)
    assert list(counted.items()) == [
        ("quarantine image -> scan gate", EdgeCount(4, 2)),
        ("scan gate -> import certificate", EdgeCount(1, 1)),
    ]


def test_count_edges_of_unlisted_runs() -> None:
    """An edge from a task run that is not in the list is counted all the same."""
    assert count_edges_by_kind({"nodes": [node("gate", "other")]}, TASKS) == {"unknown -> scan gate": EdgeCount(1, 1)}


def test_measure_inputs() -> None:
    """Sizes are those of compact JSON; each task shows its largest run."""
    runs: list[dict[str, Any]] = [
        {"id": "q1", "name": "quarantine one", "task_inputs": {}},
        {"id": "q2", "name": "quarantine two", "task_inputs": {"image": []}},
        {"id": "gate", "name": "gate all", "task_inputs": {"images": [{"id": "q1"}]}},
    ]
    by_task = {"scan gate": len('{"images":[{"id":"q1"}]}'), "quarantine image": len('{"image":[]}')}
    assert measure_inputs(runs, TASKS) == TaskInputs(24, 12, "gate all", by_task)


def cost(images: int, edges: int) -> RunCost:
    """A run that keeps every limit but perhaps that of edges."""
    graph = GraphCost(nodes=4, edges=EdgeCount(edges, edges), edges_by_kind={}, seconds=0.1, size=1000)
    inputs = TaskInputs(1024, 100, "gate all", {"scan gate": 1024, "verdict": 90})
    return RunCost(
        images=images,
        releases=1,
        task_runs=TaskRuns(4, 0),
        flow=FlowCost(1, 1, 100),
        server=ServerCost(1, 0, 100, 100),
        graph=graph,
        inputs=inputs,
        page=None,
    )


def test_limits() -> None:
    """Six edges an image and sixty besides are allowed."""
    assert cost(images=10, edges=120).missed_limits() == []
    assert cost(images=10, edges=121).missed_limits() == ["edges: 121, limit 120"]


def test_missed_limits() -> None:
    """Each limit that is missed is named, and so is each task whose inputs are too large for what it gathers."""
    kept = cost(images=10, edges=10)
    graph = replace(kept.graph, seconds=6.25, size=2_000_001)
    inputs = replace(
        kept.inputs, largest_by_task={"scan gate": 1825, "verdict": 1025, "publish manifests": 1824, "promote image": 9}
    )
    assert replace(kept, graph=graph, inputs=inputs).missed_limits() == [
        "time to read the graph: 6.2 s, limit 5.0 s",
        "size of the graph: 2,000,001 bytes, limit 2,000,000 bytes",
        "inputs of the task 'scan gate': 1,825 bytes, limit 1,824 bytes",
        "inputs of the task 'verdict': 1,025 bytes, limit 1,024 bytes",
    ]
