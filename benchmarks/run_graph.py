"""Counts what Prefect records about a run: the edges of its graph and the inputs of its task runs.

Pure functions over JSON responses of Prefect's API.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

Document = Mapping[str, Any]
#: Task name of a run that is in the graph but not in the list of task runs.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class EdgeCount:
    """Edges of a graph.

    :ivar listed: in the response: Prefect 3.8.8 repeats an edge once for each argument of its parent, and once
        for each task run in that argument, since its query joins rows of arguments instead of task runs
    :ivar distinct: pairs of task runs
    """

    listed: int
    distinct: int


@dataclass(frozen=True)
class TaskInputs:
    """Sizes of ``task_inputs`` as JSON, in bytes.

    :ivar largest_run: name of the task run with the largest inputs
    :ivar largest_by_task: the largest inputs of each task by task name, largest first
    """

    largest: int
    median: int
    largest_run: str
    largest_by_task: dict[str, int]


def count_edges(graph: Document) -> EdgeCount:
    """Count the parents of all nodes.

    :param graph: a response of ``GET /flow_runs/{id}/graph-v2``
    """
    edges = _edges(graph)
    return EdgeCount(len(edges), len(set(edges)))


def count_edges_by_kind(graph: Document, task_names: Mapping[str, str]) -> dict[str, EdgeCount]:
    """Count the edges between each pair of tasks.

    :param task_names: task names by task run id
    :returns: counts by ``"quarantine image -> scan gate"``, most edges first
    """

    def kind(edge: tuple[str, str]) -> str:
        return " -> ".join(task_names.get(run_id, UNKNOWN) for run_id in edge)

    edges = _edges(graph)
    listed, distinct = Counter(map(kind, edges)), Counter(map(kind, set(edges)))
    return {name: EdgeCount(count, distinct[name]) for name, count in listed.most_common()}


def measure_inputs(task_runs: Sequence[Document], task_names: Mapping[str, str]) -> TaskInputs:
    """Measure what the task runs record about their arguments.

    :param task_runs: at least one, as returned by ``POST /task_runs/filter``
    :param task_names: task names by task run id
    """
    sizes = {run["id"]: _json_bytes(run["task_inputs"]) for run in task_runs}
    by_task: dict[str, int] = {}
    for run_id, size in sorted(sizes.items(), key=lambda item: item[1], reverse=True):
        by_task.setdefault(task_names.get(run_id, UNKNOWN), size)
    largest = max(task_runs, key=lambda run: sizes[run["id"]])
    return TaskInputs(sizes[largest["id"]], median_low(sizes.values()), largest["name"], by_task)


def _edges(graph: Document) -> list[tuple[str, str]]:
    """Ids of parent and child. A task that is called inside another task is not an edge."""
    return [(parent["id"], node_id) for node_id, node in graph["nodes"] for parent in node["parents"]]


def _json_bytes(document: object) -> int:
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
