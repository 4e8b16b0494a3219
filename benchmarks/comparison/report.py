"""The tables of a benchmark: runs, requests, goals; 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.comparison.goals import Goal
from benchmarks.comparison.results import Result


def runs_table(results: Sequence[Result]) -> str:
    """Durations, CPU and memory of each run."""
    titles = (
        ("wall s", 8),
        ("over s", 8),
        ("Azure s", 9),
        ("flow", 8),
        ("server", 8),
        ("others", 8),
        ("MiB", 6),
        ("load", 6),
    )
    lines = [f"{'images':>6}  {'contender':<14}" + "".join(f"{title:>{width}}" for title, width in titles)]
    for one in results:
        usage = one.usage
        mark = "  FAILED: " + one.error[:60] if one.error else "  busy machine" if one.busy else ""
        lines.append(
            f"{one.images:>6}  {one.contender:<14}{one.seconds:>8.1f}{one.over:>8.1f}{one.at_azure_pace:>9.0f}"
            f"{usage.flow:>8.1f}{usage.server:>8.1f}{usage.children:>8.1f}{usage.peak_mib:>6}{one.load:>6.1f}{mark}"
        )
    return "\n".join(lines)


def requests_table(results: Sequence[Result]) -> str:
    """Requests of each run by kind, and Prefect's."""
    kinds = sorted({kind for one in results for kind in one.requests})
    lines = [f"{'images':>6}  {'contender':<14}" + "".join(f"{kind:>16}" for kind in [*kinds, "429", "Prefect"])]
    for one in results:
        counts = [*(one.requests.get(kind, 0) for kind in kinds), one.throttled]
        prefect = str(one.prefect.requests) if one.prefect else "-"
        lines.append(f"{one.images:>6}  {one.contender:<14}" + "".join(f"{count:>16}" for count in [*counts, prefect]))
    return "\n".join(lines)


def prefect_table(results: Sequence[Result]) -> str:
    """What deployed runs cost Prefect."""
    titles = (
        ("flow s", 9),
        ("over s", 8),
        ("first task s", 14),
        ("command s", 11),
        ("database MiB", 14),
        ("graph s", 9),
    )
    lines = [f"{'images':>6}" + "".join(f"{title:>{width}}" for title, width in titles)]
    lines += [
        f"{one.images:>6}{cost.flow_seconds:>9.1f}{cost.flow_seconds - one.limit:>8.1f}{cost.first_task_seconds:>14.1f}"
        f"{cost.command_seconds:>11.1f}{cost.database_mib:>14.1f}{cost.graph_seconds:>9.2f}"
        for one in results
        if (cost := one.prefect)
    ]
    return "\n".join(lines)


def goals_table(held: Sequence[Goal]) -> str:
    return "\n".join(goal.line() for goal in held)
