"""Prints the demo's result."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from demo.verify import Outcome
from demo.workspace import Workspace


def show(console: Console, workspace: Workspace, outcome: Outcome, seconds: float) -> None:
    """Print the GitOps commits, the duration of Azure's operations, and the run's duration."""
    console.print("\nCommits in the GitOps repository, newest first:")
    for commit in outcome.commits:
        console.print(f"  {commit}", highlight=False)
    table = Table(title=f"Azure operations (durations divided by {workspace.speed:g})")
    for heading in ("operation", "count", "first start", "last end", "longest in real Azure"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    operations = [o for o in outcome.azure["operations"] if o["finished"]]
    first = min((datetime.fromisoformat(o["started"]) for o in operations), default=datetime.now(UTC))
    for kind in dict.fromkeys(o["kind"] for o in operations):
        same = [o for o in operations if o["kind"] == kind]
        starts, ends = ([datetime.fromisoformat(o[at]) for o in same] for at in ("started", "finished"))
        longest = max((end - start).total_seconds() for start, end in zip(starts, ends, strict=True))
        table.add_row(
            kind,
            str(len(same)),
            f"{(min(starts) - first).total_seconds():.1f} s",
            f"{(max(ends) - first).total_seconds():.1f} s",
            _minutes(longest * workspace.speed),
        )
    console.print(table)
    console.print(f"Duration of the run: {seconds:.1f} s")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
