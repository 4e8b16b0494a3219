"""The figures of :mod:`benchmarks.run_page`, as lines of its table, and their limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.run_graph import EdgeCount, TaskInputs
from benchmarks.run_page_view import PageView
from benchmarks.sandbox import Figure

#: Edges of the graph: for each image, and in addition.
EDGES_PER_IMAGE, EDGES_BESIDES = 6, 60
GRAPH_SECONDS = 5.0
GRAPH_BYTES = 2_000_000
#: Size of ``task_inputs`` of one task run.
INPUT_BYTES = 1024
#: Tasks to which every image has an edge of its own, and what one edge takes in their inputs.
GATHERING_TASKS = frozenset({"scan gate", "publish manifests"})
EDGE_BYTES = 80
#: Prefect's page hides the edges of a larger graph until you enable them in its settings
#: (ui-v2 of Prefect 3.8.8: ``disableEdgesThreshold``).
EDGES_SHOWN = 500


@dataclass(frozen=True)
class FlowCost:
    """Resources used by the flow's process.

    :ivar cpu_seconds: including its child processes, such as git
    """

    seconds: float
    cpu_seconds: float
    peak_mib: int


@dataclass(frozen=True)
class ServerCost:
    """Resources used by the server's process, without a separate database.

    :ivar cpu_seconds: from before the flow's start until the last state of its task runs arrived
    :ivar late_seconds: from the flow's end until then
    :ivar run_peak_mib: peak memory until then
    :ivar peak_mib: peak memory after the graph and the task runs have been read
    """

    cpu_seconds: float
    late_seconds: float
    run_peak_mib: int
    peak_mib: int


@dataclass(frozen=True, kw_only=True)
class GraphCost:
    """The run's graph, as its page reads it.

    :ivar seconds: time to read it once
    :ivar size: of the response in bytes, decompressed
    """

    nodes: int
    edges: EdgeCount
    edges_by_kind: dict[str, EdgeCount]
    seconds: float
    size: int


@dataclass(frozen=True)
class TaskRuns:
    """Numbers of task runs.

    :ivar unfinished: task runs whose final state has not reached the server
    """

    total: int
    unfinished: int


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """All figures of one run.

    :ivar page: ``None`` without a screenshot
    """

    images: int
    releases: int
    task_runs: TaskRuns
    flow: FlowCost
    server: ServerCost
    graph: GraphCost
    inputs: TaskInputs
    page: PageView | None

    @property
    def edge_limit(self) -> int:
        return EDGES_PER_IMAGE * self.images + EDGES_BESIDES

    def input_limit(self, task: str) -> int:
        """Bytes that the inputs of a run of this task may take."""
        return INPUT_BYTES + EDGE_BYTES * self.images * (task in GATHERING_TASKS)

    def missed_limits(self) -> list[str]:
        """Descriptions of all limits that the run exceeds."""
        limits = (
            ("edges", self.graph.edges.listed, self.edge_limit, ""),
            ("time to read the graph", self.graph.seconds, GRAPH_SECONDS, " s"),
            ("size of the graph", self.graph.size, GRAPH_BYTES, " bytes"),
            *(
                (f"inputs of the task {task!r}", size, self.input_limit(task), " bytes")
                for task, size in self.inputs.largest_by_task.items()
            ),
        )
        return [
            f"{what}: {round(value, 1):,}{unit}, limit {limit:,}{unit}"
            for what, value, limit, unit in limits
            if value > limit
        ]

    def figures(self) -> Iterator[Figure]:
        """Rows of the table."""
        edges = self.graph.edges
        yield Figure("images, releases", f"{self.images}, {self.releases}")
        yield Figure("task runs, of them without a final state", f"{self.task_runs.total}, {self.task_runs.unfinished}")
        yield from self._costs()
        yield Figure("graph: time to read", f"{self.graph.seconds:.2f} s", f"<= {GRAPH_SECONDS:g} s")
        yield Figure("graph: size", f"{self.graph.size:,} B", f"<= {GRAPH_BYTES:,} B")
        yield Figure("graph: edges", f"{edges.listed:,}", f"<= {self.edge_limit:,}")
        yield Figure("graph: edges per image", f"{edges.listed / self.images:.1f}")
        yield Figure("graph: edges, distinct", f"{edges.distinct:,}")
        yield Figure("graph: page shows edges by default", "yes" if edges.listed <= EDGES_SHOWN else "no")
        for kind, count in self.graph.edges_by_kind.items():
            yield Figure(f"  {kind}", f"{count.listed:,}", f"{count.distinct:,} distinct")
        yield Figure("task inputs: median", f"{self.inputs.median:,} B")
        yield Figure("task inputs: largest", f"{self.inputs.largest:,} B")
        yield Figure("task inputs: task run with the largest", self.inputs.largest_run)
        for task, size in self.inputs.largest_by_task.items():
            yield Figure(f"  {task}", f"{size:,} B", f"<= {self.input_limit(task):,} B")

    def _costs(self) -> Iterator[Figure]:
        flow, server = self.flow, self.server
        yield Figure("flow: time", f"{flow.seconds:.1f} s")
        yield Figure("flow: CPU, peak memory", f"{flow.cpu_seconds:.1f} s, {flow.peak_mib} MiB")
        yield Figure("server: last state after the flow's end", f"{server.late_seconds:.0f} s")
        yield Figure("server: CPU, peak memory", f"{server.cpu_seconds:.1f} s, {server.run_peak_mib} MiB")
        yield Figure("server: peak memory, reading the run", f"{server.peak_mib} MiB")
        if self.page:
            yield Figure("page: time to draw the graph", f"{self.page.graph_seconds:.1f} s")
            yield Figure("page: time to list the task runs", f"{self.page.task_runs_seconds:.1f} s")
