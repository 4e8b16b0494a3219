"""A whole run, and what a second one does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pratique.config import SourceCredential
from pratique.errors import AuthenticationFailed, Conflict, NetworkDenied, PermissionDenied
from sandbox.scenario import Client, Credentials, Scenario
from sandbox.services.oci.catalogue import image_spec
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import BUSYBOX, FALCO, KURED, World
from tests.sandbox.registries import publish


async def test_seven_images(world: MakeWorld) -> None:
    """Everything that the walkthrough asks for stands afterwards, nothing temporary does, and the result agrees."""
    cluster = world(None, Scenario())
    told = await cluster.prepare()
    assert len(cluster.live) == 7
    assert cluster.live == cluster.upstream() == cluster.tags("quarantine/")
    assert cluster.access == []
    assert cluster.vault["certificates"][told.certificate]["thumbprint"] == told.thumbprint
    assert [message for _, message in reversed(told.commits)] == cluster.commits
    assert len(cluster.commits) == 2
    assert "REPLACE_ME" not in cluster.manifests
    assert told.vault in cluster.manifests
    assert {image.source: image.digest for image in told.images} == {
        image.source: cluster.upstream(image.source)[f"{image.reference.repository}:{image.reference.tag}"]
        for image in cluster.config.catalogue.images
    }
    assert all(image.digest in cluster.manifests for image in told.images)
    verdicts = {image.source: image.verdict for image in told.images}
    assert verdicts.pop(BUSYBOX) == "Unassessed, accepted"
    assert set(verdicts.values()) == {"Healthy"}


_WRITES = {
    "PUT": ("/deployments/", "/roleAssignments/", "/vaults/"),
    "PATCH": ("/vaults/",),
    "DELETE": ("/roleAssignments/",),
    "POST": ("/importImage", "/certificates/"),
}


def _writes(cluster: World, since: int) -> list[str]:
    """What a run changed in Azure, as requests; asking and signing in change nothing."""
    return [
        f"{entry['method']} {entry['path']}"
        for entry in cluster.requests(since)
        if any(part in entry["path"] for part in _WRITES.get(entry["method"], ()))
        and not entry["path"].endswith("/validate")
    ]


async def test_again(world: MakeWorld) -> None:
    """A second run finds everything done: it deploys, imports and commits nothing, and leaves the same state."""
    cluster = world(((KURED, FALCO),))
    first = await cluster.prepare()
    since, live, head = cluster.last_request(), cluster.live, cluster.head
    second = await cluster.prepare()
    # Temporary access is opened and closed again: that is how the vault is asked which certificate it holds.
    lasting = [write for write in _writes(cluster, since) if "/roleAssignments/" not in write]
    assert [write.split()[0] for write in lasting if "/vaults/" in write] == ["PATCH", "PATCH"]
    assert [write for write in lasting if "/vaults/" not in write] == []
    assert (cluster.live, cluster.head, cluster.access) == (live, head, [])
    assert cluster.vault["certificates"][first.certificate]["versions"] == 1
    assert (second.images, second.thumbprint, second.head) == (first.images, first.thumbprint, first.head)
    assert second.commits == ()


async def test_one_live_tag_is_gone(world: MakeWorld) -> None:
    """What somebody deleted from live/ is promoted again, and only that."""
    cluster = world(((KURED, FALCO),))
    await cluster.prepare()
    live, registry = cluster.live, cluster.registry

    async def delete() -> None:
        registry.delete_tag("live/kubereboot/kured", "1.14.0")

    cluster.sandbox.run(delete())
    since = cluster.last_request()
    await cluster.prepare()
    assert cluster.live == live
    assert len([write for write in _writes(cluster, since) if write.endswith("/importImage")]) == 1


async def test_tag_moves_during_the_run(world: MakeWorld) -> None:
    """The digest that was resolved is the one that is promoted, whatever the tag upstream stands for by then."""
    cluster = world()
    resolved = cluster.upstream()
    held = cluster.sandbox.azure.faults.add(kind="slow", seconds=60, method="POST", path="*/importImage")
    run = asyncio.create_task(cluster.prepare())
    await cluster.until(lambda: held.hits > 0)
    moved = publish(cluster.sandbox, image_spec(KURED, "alpine:3.20", {"curl": "8.9.1-r2"}))
    await cluster.jump(60)
    told = await run
    assert moved not in resolved.values()
    assert cluster.live == resolved
    assert [image.digest for image in told.images] == list(resolved.values())
    assert moved not in cluster.manifests


async def test_live_tag_is_never_moved(world: MakeWorld) -> None:
    """An image that upstream replaced under a released tag stops the run; the release stays what it was."""
    cluster = world()
    await cluster.prepare()
    live, head = cluster.live, cluster.head
    moved = publish(cluster.sandbox, image_spec(KURED, "alpine:3.20", {"curl": "8.9.1-r2"}))
    error = await cluster.fail()
    assert isinstance(error, Conflict)
    assert moved in str(error)
    assert next(iter(live.values())) in str(error)
    assert (cluster.live, cluster.head, cluster.access) == (live, head, [])


async def test_no_way_upstream(world: MakeWorld) -> None:
    """Behind a proxy that refuses the public registries Azure resolves the tag, and the digest is read back from it."""
    blocked = frozenset({"ghcr.io", "*.docker.io"})
    cluster = world(((KURED, FALCO),), Scenario(client=Client(blocked=blocked), timings=PROMPT))
    told = await cluster.prepare()
    assert cluster.live == cluster.upstream()
    assert {image.digest for image in told.images} == set(cluster.upstream().values())
    assert not [entry for entry in cluster.requests() if entry["host"] in ("ghcr.io", "registry-1.docker.io")]


async def test_no_way_to_any_registry(world: MakeWorld) -> None:
    """Where nobody could ever tell the digest, the run stops and says what the worker lacks."""
    blind = Client(blocked=frozenset({"ghcr.io"}), private_links=frozenset())
    cluster = world(scenario=Scenario(client=blind, timings=PROMPT))
    error = await cluster.fail()
    assert isinstance(error, NetworkDenied)
    assert "private endpoint" in error.remedy
    assert cluster.live == {}
    assert cluster.commits == []


async def test_a_private_source(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source registry that wants a login gets it from the variable that the configuration names: to resolve, and in
    the import that Azure makes; without it the run fails, naming what is missing."""
    login = Credentials(username="contoso", password="hub-token")
    cluster = world(((FALCO,),), Scenario(private_repositories={"docker.io/falcosecurity/falco-no-driver": login}))
    with pytest.raises((AuthenticationFailed, PermissionDenied)):
        await cluster.prepare()
    assert cluster.tags("quarantine/") == {}
    account = SourceCredential(registry="docker.io", username="contoso", password="env:DOCKERHUB_TOKEN")
    monkeypatch.setenv("DOCKERHUB_TOKEN", "hub-token")
    catalogue = cluster.config.catalogue.model_copy(update={"credentials": (account,)})
    cluster = replace(cluster, config=cluster.config.model_copy(update={"catalogue": catalogue}))
    await cluster.prepare()
    assert cluster.live == cluster.upstream()
