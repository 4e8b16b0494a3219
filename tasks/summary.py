"""Shows the run's summary, and links to its results, as artifacts."""

from __future__ import annotations

from typing import TypeVar

from prefect import get_run_logger
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampParameters
from pratique.git.publish import Publication
from pratique.manifests.release_check import Usage
from pratique.markdown import literal
from pratique.release.summary import Delivery, links
from tasks.policies import UNCACHED
from tasks.runtime import current
from tasks.step import step

D = TypeVar("D", bound=Delivery)


@step(name="show summary", run_name="show summary", unlinked=("published",), **UNCACHED)
async def show_summary(delivery: D, infrastructure: Infrastructure, published: Publication) -> D:
    """Show the summary and the links as artifacts of the run."""
    for key, text, address in links(current().session.cloud.portal, infrastructure, published):
        await acreate_link_artifact(address, text, key=key, description=f"The {key} of this run")
    origin = current().origin
    text = delivery.markdown() + (f"\n\nConfiguration: {literal(str(origin))}\n" if origin else "")
    await acreate_markdown_artifact(text, key="preparation", description="Summary of the run")
    return delivery


@step(name="show stamp parameters", run_name="show stamp parameters", unlinked=("usage",), **UNCACHED)
async def show_stamp_parameters(stamp: StampParameters, usage: Usage) -> None:
    """Show the next step's parameters as an artifact of the run."""
    for used in stamp.denied(usage.images):
        get_run_logger().warning("The cluster's policy would refuse %s, which %s uses", used.image, used.file)
    await acreate_markdown_artifact(
        stamp.markdown(usage.images), key="cluster-stamp", description="Parameters for the cluster's deployment"
    )
