"""A catalogue with several versions of an image, and with two sources of one path."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.release_images import release_images
from flows.rescan_live import rescan_live
from pratique.config import Bootstrap
from pratique.errors import ConfigurationError
from sandbox.services.oci.catalogue import image_spec
from tests.flows.conftest import MakeWorld
from tests.flows.test_records import promotions
from tests.flows.world import KURED, World, git
from tests.pratique.repositories import somebody_pushes
from tests.sandbox.registries import publish

NEWER = KURED.replace("1.14.0", "1.15.0")
FALCOCTL = "docker.io/falcosecurity/falcoctl:0.10.1"
OTHER = "ghcr.io/falcosecurity/falcoctl:0.10.1"
TARGET = "ghcr/falcosecurity/falcoctl"
PLACEHOLDER = "REPLACE_ME_WITH_YOUR_ACRNAME.azurecr.io/live/"
MANY = {"curl": "8.9.1-r2"}


def releasing(cluster: World, *releases: list[dict[str, Any]]) -> World:
    """The world with another catalogue, whose images are all published."""
    document = cluster.config.model_dump(mode="json")
    document["catalogue"]["releases"] = [
        {"name": f"release-{number}", "images": images} for number, images in enumerate(releases)
    ]
    return replace(cluster, config=Bootstrap.model_validate(document))


def overlays(cluster: World, tag: str, **repositories: str) -> None:
    """Push an overlay with one pod and one entry for each repository below live/, and a kustomization of them all."""
    for name, repository in repositories.items():
        folder, image = f"cluster-manifests/overlays/{name}", f"upstream/{repository}"
        entry = {"name": image, "newName": PLACEHOLDER + repository, "newTag": tag}
        pod = {"kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": image}]}}
        somebody_pushes(cluster.gitops, f"{folder}/pod.yaml", json.dumps(pod))
        kustomization = json.dumps({"resources": ["pod.yaml"], "images": [entry]})
        somebody_pushes(cluster.gitops, f"{folder}/kustomization.yaml", kustomization)
    root = json.dumps({"resources": [f"overlays/{name}" for name in repositories]})
    somebody_pushes(cluster.gitops, "cluster-manifests/kustomization.yaml", root)


def pinned(cluster: World, name: str) -> tuple[str, str]:
    """Tag and digest of an overlay's entry."""
    text = git("show", f"main:cluster-manifests/overlays/{name}/kustomization.yaml", folder=cluster.gitops)
    (entry,) = YAML(typ="safe").load(text)["images"]
    return entry["newTag"], entry["digest"]


async def test_two_versions_each_for_manifests_of_its_own(world: MakeWorld) -> None:
    """Both are promoted and recorded; each overlay is pinned to its own; a part of the catalogue leaves the other's
    manifests alone; a rescan knows both by their names upstream."""
    cluster = world()
    publish(cluster.sandbox, image_spec(NEWER, "alpine:3.20", MANY))
    overlays(cluster, "1.0", old="kubereboot/kured", new="kubereboot/kured")
    cluster = releasing(cluster, [{"source": KURED}], [{"source": NEWER, "manifests": ["overlays/new"]}])
    prepared = await cluster.prepare()
    live = cluster.live
    assert live == cluster.upstream(KURED, NEWER)
    assert pinned(cluster, "old") == ("1.14.0", live["kubereboot/kured:1.14.0"])
    assert pinned(cluster, "new") == ("1.15.0", live["kubereboot/kured:1.15.0"])
    assert {(record["source"], record["digest"]) for record in promotions(cluster)} == {
        (KURED, live["kubereboot/kured:1.14.0"]),
        (NEWER, live["kubereboot/kured:1.15.0"]),
    }
    assert (prepared.usage.unused, prepared.usage.unreleased) == ((), ())
    head = cluster.head
    assert (await release_images(cluster.config, [NEWER])).title == "Nothing to do"
    assert cluster.head == head
    assert (await rescan_live(cluster.config))["images"] == 2


async def test_an_entry_that_could_be_either_is_refused_before_anything_is_pushed(world: MakeWorld) -> None:
    """By the plan, and by a run, which names file, image and versions."""
    cluster = world()
    publish(cluster.sandbox, image_spec(NEWER, "alpine:3.20", MANY))
    overlays(cluster, "1.0", some="kubereboot/kured")
    cluster, head = releasing(cluster, [{"source": KURED}, {"source": NEWER}]), cluster.head
    with pytest.raises(ConfigurationError, match=r"overlays/some/kustomization\.yaml: live/kubereboot/kured could be"):
        await cluster.plan()
    error = await cluster.fail()
    assert isinstance(error, ConfigurationError)
    assert "1.14.0 or 1.15.0 (it has 1.0)" in error.observed
    assert cluster.head == head


async def test_two_sources_of_one_path(world: MakeWorld) -> None:
    """With a target each has its own place in quarantine, live, records, manifests, and the policy for the cluster."""
    cluster = world(((FALCOCTL,),))
    publish(cluster.sandbox, image_spec(OTHER, "alpine:3.20", MANY))
    overlays(cluster, "0.10.1", hub="falcosecurity/falcoctl", ghcr=TARGET)
    cluster = releasing(cluster, [{"source": FALCOCTL}, {"source": OTHER, "target": TARGET}])
    document = cluster.config.model_dump(mode="json")
    document["cluster_stamp"]["allow"] = "catalogue"
    cluster = replace(cluster, config=Bootstrap.model_validate(document))
    prepared = await cluster.prepare()
    (ours,), (theirs,) = cluster.upstream(FALCOCTL).values(), cluster.upstream(OTHER).values()
    assert ours != theirs
    expected = {"falcosecurity/falcoctl:0.10.1": ours, f"{TARGET}:0.10.1": theirs}
    assert cluster.live == expected
    assert cluster.tags("quarantine/") == expected
    assert {(record["source"], record["repository"]) for record in promotions(cluster)} == {
        (FALCOCTL, "live/falcosecurity/falcoctl"),
        (OTHER, f"live/{TARGET}"),
    }
    assert (pinned(cluster, "hub"), pinned(cluster, "ghcr")) == (("0.10.1", ours), ("0.10.1", theirs))
    assert (prepared.usage.unused, prepared.usage.unreleased) == ((), ())
    (registry,) = cluster.state()["registries"]
    for repository in ("falcosecurity/falcoctl", TARGET):
        assert re.search(prepared.stamp.allowed_images, f"{registry}.azurecr.io/live/{repository}:0.10.1")
    assert (await rescan_live(cluster.config))["images"] == 2
    assert (await release_images(cluster.config)).title == "Nothing to do"
