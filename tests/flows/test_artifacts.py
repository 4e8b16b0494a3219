"""A run's artifacts other than the gate's reports."""

from __future__ import annotations

from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State

from flows.prepare_cluster import prepare_cluster
from tests.flows.conftest import MakeWorld
from tests.flows.world import FALCO, KURED


async def test_artifacts(world: MakeWorld) -> None:
    """There are full bars for imports and promotions, links to what a person can open, and the summary."""
    cluster = world(((KURED, FALCO),))
    state: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    async with get_client() as client:
        found: dict[str, Any] = {
            artifact.key or "": artifact.data for artifact in await client.read_artifacts(artifact_filter=of_run)
        }
    assert (found["imports-release-0"], found["promotions-release-0"]) == (100, 100)
    assert cluster.vault_id in found["vault"]
    assert "Microsoft.ContainerRegistry/registries/" in found["registry"]
    assert "commit" not in found  # the tests' repository is a folder
    prepared = await state.aresult()
    assert all(image.digest in found["preparation"] for image in prepared.images)
