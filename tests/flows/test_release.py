"""Releases of a changed catalogue to a prepared cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from flows.release_images import release_images
from pratique.cli.app import app
from pratique.config import Bootstrap
from pratique.errors import ConfigurationError, Conflict, NotFound
from sandbox.services.oci.catalogue import image_spec
from tests.flows.conftest import MakeWorld
from tests.flows.world import FALCO, KURED, World
from tests.sandbox.registries import publish

FALCOCTL = "docker.io/falcosecurity/falcoctl:0.10.1"
NEWER = KURED.replace("1.14.0", "1.14.1")


def with_newer(cluster: World) -> World:
    """The world after upstream published a new version, with that version in the catalogue."""
    publish(cluster.sandbox, image_spec(NEWER, "alpine:3.20", {"curl": "8.9.1-r2"}))
    document = cluster.config.model_dump(mode="json")
    for release in document["catalogue"]["releases"]:
        release["images"] = [{"source": image["source"].replace(KURED, NEWER)} for image in release["images"]]
    return replace(cluster, config=Bootstrap.model_validate(document))


def imports(cluster: World, since: int) -> int:
    return len([entry for entry in cluster.requests(since) if entry["path"].endswith("/importImage")])


async def test_a_new_version(world: MakeWorld) -> None:
    """It is quarantined, gated, promoted and published; nothing is deployed, no access opened, and no certificate
    needed."""
    cluster = world(((KURED,), (FALCO,)))
    await cluster.prepare()
    before, commits, since, changed = cluster.live, cluster.commits, cluster.last_request(), with_newer(cluster)
    cluster.pem.unlink()
    delivery = await release_images(changed.config)
    assert cluster.live == before | cluster.upstream(NEWER)
    assert {image.source for image in delivery.images} == {NEWER, FALCO}
    assert cluster.commits == [*(message for _, message in delivery.commits), *commits]
    assert len(delivery.commits) == 1
    assert all(image.digest in cluster.manifests for image in delivery.images)
    assert imports(cluster, since) == 2
    writes = [entry["path"] for entry in cluster.requests(since) if entry["method"] in ("PUT", "PATCH", "DELETE")]
    assert [path for path in writes if "/providers/" in path] == []
    assert not [entry for entry in cluster.requests(since) if ".vault." in entry["host"]]


async def test_only_one_image(world: MakeWorld) -> None:
    """The chosen image is released with its release, whose other image is already done; other releases and
    their manifests stay unchanged."""
    cluster = world(((KURED, FALCO), (FALCOCTL,)))
    await cluster.prepare()
    since, changed = cluster.last_request(), with_newer(cluster)
    publish(cluster.sandbox, image_spec(FALCOCTL, "alpine:3.20", {"curl": "8.9.1-r2"}))  # would be a conflict
    delivery = await release_images(changed.config, [NEWER])
    assert [image.source for image in delivery.images] == [NEWER, FALCO]
    assert imports(cluster, since) == 2
    assert not [entry for entry in cluster.requests(since) if "falcoctl" in entry["path"]]
    assert cluster.live[f"{FALCOCTL.removeprefix('docker.io/')}"] in cluster.manifests
    assert delivery.images[0].digest in cluster.manifests
    with pytest.raises(Conflict):
        await release_images(changed.config)


async def test_nothing_to_do(world: MakeWorld) -> None:
    """With an unchanged catalogue a release imports and commits nothing, and its result says so."""
    cluster = world()
    await cluster.prepare()
    since, head, live = cluster.last_request(), cluster.head, cluster.live
    delivery = await release_images(cluster.config)
    assert (delivery.changed, delivery.title, delivery.commits) == (False, "Nothing to do", ())
    assert (cluster.head, cluster.live, imports(cluster, since)) == (head, live, 0)


async def test_unknown_reference(world: MakeWorld) -> None:
    """An image that is not in the catalogue is refused before any request; the error lists the known ones."""
    cluster = world()
    since = cluster.last_request()
    with pytest.raises(ConfigurationError) as refused:
        await release_images(cluster.config, [KURED, NEWER])
    assert refused.value.subject == NEWER
    assert KURED in refused.value.remedy
    assert cluster.requests(since) == []


async def test_no_infrastructure_yet(world: MakeWorld) -> None:
    """Without infrastructure the run fails, and the error names the command to run first."""
    cluster = world()
    with pytest.raises(NotFound, match="prepare_cluster"):
        await release_images(cluster.config)
    assert cluster.state()["registries"] == {}


def test_command_line(world: MakeWorld) -> None:
    """``pratique release`` exits with 1 without infrastructure, and with 2 for an unknown image."""
    config = world().written()
    unprepared = CliRunner().invoke(app, ["release", config, "--only", KURED])
    assert unprepared.exit_code == 1
    assert "prepare_cluster" in unprepared.stderr.splitlines()[-1]
    unknown = CliRunner().invoke(app, ["release", config, "--only", NEWER, "--only", KURED])
    assert unknown.exit_code == 2
    assert f"({NEWER})" in unknown.stderr.splitlines()[-1]
