"""The next step's parameters, and warnings about images that differ from the manifests."""

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
    """Push a manifest to the repository, as another person would."""
    seed = cluster.folder / "seed"
    (seed / "cluster-manifests" / name).write_text(text)
    git("add", "--all", folder=seed)
    git("commit", "--quiet", "--message", "More", folder=seed)
    git("push", "--quiet", str(cluster.gitops), "HEAD:main", folder=seed)


async def test_the_next_step_gets_its_parameters(world: MakeWorld) -> None:
    """An artifact has the parameters and the refused images; the summary warns about differences."""
    cluster = world(((KURED,), (FALCO,)))
    kustomization = cluster.folder / "seed/cluster-manifests/kustomization.yaml"
    push(cluster, "kustomization.yaml", kustomization.read_text() + "resources: [pod.yaml]\n")
    push(cluster, "pod.yaml", POD + "  - name: y\n    image: ghcr.io/kubereboot/kured:0\n")
    state: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    prepared = await state.aresult()
    network = cluster.state()
    assert prepared.usage.unused == ("falcosecurity/falco-no-driver",)
    assert prepared.usage.unreleased == (UsedImage("cluster-manifests/pod.yaml", "docker.io/library/x:1"),)
    assert "docker.io/library/x:1, which was not released" in prepared.markdown().replace("\\", "")
    parameters = prepared.stamp.parameters
    assert parameters["containerRegistryName"] in network["registries"]
    assert parameters["keyVaultName"] == cluster.vault_name == prepared.vault
    assert parameters["ingressClientid"] in cluster.manifests
    assert "/virtualNetworks/" in parameters["targetVnetResourceId"]
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    async with get_client() as client:
        found: dict[str, Any] = {
            artifact.key or "": artifact.data for artifact in await client.read_artifacts(artifact_filter=of_run)
        }
    shown, refused = found["cluster-stamp"].split("```json\n")[1].split("\n```\n")
    assert json.loads(shown) == prepared.stamp.document
    assert "docker.io/library/x:1" in refused
    assert "kured" not in refused
    assert STAMP not in git("ls-tree", "-r", "--name-only", "main", folder=cluster.gitops)


async def test_the_parameters_are_committed_once(world: MakeWorld) -> None:
    """If configured, a separate commit adds the file beside the manifests, and a second run adds nothing."""
    cluster = configured(world(), cluster_stamp={"commit": True})
    prepared = await cluster.prepare()
    assert len(cluster.commits) == 3
    assert json.loads(git("show", f"main:{STAMP}", folder=cluster.gitops)) == prepared.stamp.document
    head = cluster.head
    again = await cluster.prepare()
    assert (cluster.head, again.commits, again.stamp) == (head, (), prepared.stamp)


async def test_images_are_pinned_as_configured(world: MakeWorld) -> None:
    """With ``tag`` the manifests have no digest, with ``both`` they do, and going back to ``tag`` removes it."""
    cluster = configured(world(), manifests={"pin": "tag"})
    prepared = await cluster.prepare()
    assert prepared.images[0].digest not in cluster.manifests
    assert "newTag: 1.14.0" in cluster.manifests
    by_tag = cluster.manifests
    await configured(cluster, manifests={"pin": "both"}).prepare()
    assert f"digest: {prepared.images[0].digest}" in cluster.manifests
    await cluster.prepare()
    assert cluster.manifests == by_tag
