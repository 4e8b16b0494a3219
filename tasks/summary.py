"""The run's summary, and links to what it left behind, as artifacts."""

from __future__ import annotations

from typing import TypeVar

from prefect import get_run_logger
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampParameters
from pratique.git.publish import Publication
from pratique.manifests.kustomize import Usage
from pratique.release.summary import Delivery, links
from tasks.policies import UNCACHED
from tasks.runtime import current
from tasks.step import step

D = TypeVar("D", bound=Delivery)


@step(name="show summary", run_name="show summary", unlinked=("published",), **UNCACHED)
async def show_summary(delivery: D, infrastructure: Infrastructure, published: Publication) -> D:
    """Leave the summary where the run's readers look for it."""
    for key, text, address in links(current().session.cloud.portal, infrastructure, published):
        await acreate_link_artifact(address, text, key=key, description=f"The {key} that this run worked on")
    await acreate_markdown_artifact(delivery.markdown(), key="preparation", description="What the run left behind")
    return delivery


@step(name="show stamp parameters", run_name="show stamp parameters", unlinked=("usage",), **UNCACHED)
async def show_stamp_parameters(stamp: StampParameters, usage: Usage) -> None:
    """Leave the next step's parameters where the run's readers look for them."""
    for used in stamp.denied(usage.images):
        get_run_logger().warning("The cluster's policy would refuse %s, which %s uses", used.image, used.file)
    await acreate_markdown_artifact(
        stamp.markdown(usage.images), key="cluster-stamp", description="Parameters for the cluster's deployment"
    )
