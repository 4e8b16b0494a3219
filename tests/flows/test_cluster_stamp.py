"""What a run leaves for the next step, and what it says of images and manifests that do not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State

from flows.prepare_cluster import prepare_cluster
from pratique.config import Bootstrap
from pratique.manifests.kustomize import UsedImage
from tests.flows.conftest import MakeWorld
from tests.flows.world import FALCO, KURED, World, git

POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: x\n    image: docker.io/library/x:1\n"
STAMP = "cluster-manifests/cluster-stamp.parameters.json"


def configured(cluster: World, /, **changes: dict[str, Any]) -> World:
    document = cluster.config.model_dump(mode="json")
    for section, fields in changes.items():
        document[section].update(fields)
    return replace(cluster, config=Bootstrap.model_validate(document))


def push(cluster: World, name: str, text: str) -> None:
    """Somebody adds a manifest to the repository."""
    seed = cluster.folder / "seed"
    (seed / "cluster-manifests" / name).write_text(text)
    git("add", "--all", folder=seed)
    git("commit", "--quiet", "--message", "More", folder=seed)
    git("push", "--quiet", str(cluster.gitops), "HEAD:main", folder=seed)


async def test_the_next_step_gets_its_parameters(world: MakeWorld) -> None:
    """An artifact holds them and names what the policy would refuse; images and manifests that do not fit are told."""
    cluster = world(((KURED,), (FALCO,)))
    kustomization = cluster.folder / "seed/cluster-manifests/kustomization.yaml"
    push(cluster, "kustomization.yaml", kustomization.read_text() + "resources: [pod.yaml]\n")
    push(cluster, "pod.yaml", POD + "  - name: y\n    image: ghcr.io/kubereboot/kured:0\n")
    state: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    told = await state.aresult()
    network = cluster.state()
    assert told.usage.unused == ("falcosecurity/falco-no-driver",)
    assert told.usage.unreleased == (UsedImage("cluster-manifests/pod.yaml", "docker.io/library/x:1"),)
    assert "docker.io/library/x:1, which was not released" in told.markdown().replace("\\", "")
    parameters = told.stamp.parameters
    assert parameters["containerRegistryName"] in network["registries"]
    assert parameters["keyVaultName"] == cluster.vault_name == told.vault
    assert parameters["ingressClientid"] in cluster.manifests
    assert "/virtualNetworks/" in parameters["targetVnetResourceId"]
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    async with get_client() as client:
        found: dict[str, Any] = {one.key or "": one.data for one in await client.read_artifacts(artifact_filter=of_run)}
    shown, refused = found["cluster-stamp"].split("```json\n")[1].split("\n```\n")
    assert json.loads(shown) == told.stamp.document
    assert "docker.io/library/x:1" in refused
    assert "kured" not in refused
    assert STAMP not in git("ls-tree", "-r", "--name-only", "main", folder=cluster.gitops)


async def test_the_parameters_are_committed_once(world: MakeWorld) -> None:
    """Asked for, the file lies beside the manifests in a commit of its own, and a second run has nothing to add."""
    cluster = configured(world(), cluster_stamp={"commit": True})
    told = await cluster.prepare()
    assert len(cluster.commits) == 3
    assert json.loads(git("show", f"main:{STAMP}", folder=cluster.gitops)) == told.stamp.document
    head = cluster.head
    again = await cluster.prepare()
    assert (cluster.head, again.commits, again.stamp) == (head, (), told.stamp)


async def test_images_are_pinned_as_configured(world: MakeWorld) -> None:
    """By tag alone no digest gets into the manifests; by both it does, and going back takes it out again."""
    cluster = configured(world(), manifests={"pin": "tag"})
    told = await cluster.prepare()
    assert told.images[0].digest not in cluster.manifests
    assert "newTag: 1.14.0" in cluster.manifests
    by_tag = cluster.manifests
    await configured(cluster, manifests={"pin": "both"}).prepare()
    assert f"digest: {told.images[0].digest}" in cluster.manifests
    await cluster.prepare()
    assert cluster.manifests == by_tag
