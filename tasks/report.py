"""The run's summary, as an artifact."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from pratique.report import Preparation
from tasks.policies import ALWAYS


@task(name="show summary", task_run_name="show summary", **ALWAYS)
async def show_summary(preparation: Preparation) -> Preparation:
    """Leave the summary where the run's readers look for it."""
    await acreate_markdown_artifact(preparation.markdown(), key="preparation", description="What the run left behind")
    return preparation
