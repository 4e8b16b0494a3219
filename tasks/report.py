"""The run's summary, and links to what it left behind, as artifacts."""

from __future__ import annotations

from typing import TypeVar

from prefect import task
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from pratique.gitops import Publication
from pratique.infrastructure import Infrastructure
from pratique.report import Delivery, links
from tasks.policies import ALWAYS
from tasks.runtime import current

D = TypeVar("D", bound=Delivery)


@task(name="show summary", task_run_name="show summary", **ALWAYS)
async def show_summary(delivery: D, infrastructure: Infrastructure, published: Publication) -> D:
    """Leave the summary where the run's readers look for it."""
    for key, text, address in links(current().session.cloud.portal, infrastructure, published):
        await acreate_link_artifact(address, text, key=key, description=f"The {key} that this run worked on")
    await acreate_markdown_artifact(delivery.markdown(), key="preparation", description="What the run left behind")
    return delivery
