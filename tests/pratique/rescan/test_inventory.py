"""The inventory of live/, from the registry and from the manifests."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.images import LIVE, ImageReference
from pratique.manifests.usage import Use, references
from pratique.records.promotions import Promotions
from pratique.rescan.inventory import Inventory, Knowledge, take_inventory
from sandbox.services.oci.catalogue import image_spec
from tests.conftest import StartSandbox
from tests.sandbox.defending import NAME, bring, scans_end
from tests.sandbox.registries import add_registry, content, publish

HOST = f"{NAME}.azurecr.io"
DIGEST = "sha256:" + "a" * 64
KUSTOMIZATION = f"""
images:
  - name: docker.io/library/web
    newName: {HOST}/live/library/web
    newTag: "1.0"
    digest: {DIGEST}
  - name: docker.io/library/other
    newName: other.azurecr.io/live/library/other
    newTag: "1.0"
"""
DEPLOYMENT = f"""
image: {HOST}/live/team/app:2.0@{DIGEST}
---
image: "{HOST}/live/team/job:3"   # {HOST}/live/team/mentioned
image: {HOST}/quarantine/team/app:2.0
image: evil-{HOST}/live/team/app:1
"""


def test_references_in_manifests(tmp_path: Path) -> None:
    """References in kustomizations and plain manifests are found, for this registry's live/ only, with their files."""
    folder = tmp_path / "cluster-manifests" / "web"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
    (folder / "deployment.yml").write_text(DEPLOYMENT)
    (tmp_path / "elsewhere.yaml").write_text(DEPLOYMENT)
    assert references(tmp_path, "cluster-manifests", HOST) == [
        Use("cluster-manifests/web/deployment.yml", "live/team/app", "2.0", DIGEST),
        Use("cluster-manifests/web/deployment.yml", "live/team/job", "3", ""),
        Use("cluster-manifests/web/kustomization.yaml", "live/library/web", "1.0", DIGEST),
    ]


def test_references_in_patches(tmp_path: Path) -> None:
    """Images that patches add are found as well: inline, in JSON, and as volumes; a name in images: may carry a tag."""
    folder = tmp_path / "cluster-manifests"
    folder.mkdir()
    add = f'[{{"op": "add", "path": "/spec/containers/-", "value": {{"image": "{HOST}/live/team/json:1"}}}}]'
    (folder / "patch.json").write_text(add)
    volume = f"spec: {{volumes: [{{image: {{reference: '{HOST}/live/team/volume:1'}}}}]}}"
    named = f"images: [{{name: '{HOST}/live/team/named:1'}}, {{name: x, newName: '{HOST}/live/team/new:2'}}]"
    (folder / "kustomization.yaml").write_text(f"patches:\n- patch: |-\n    {volume}\n{named}\n")
    assert {(use.repository, use.tag) for use in references(tmp_path, "cluster-manifests", HOST)} == {
        ("live/team/json", "1"),
        ("live/team/volume", "1"),
        ("live/team/named", "1"),
        ("live/team/new", "2"),
    }


async def test_the_registrys_images_are_listed(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of live/ alone, page by page: an index is one image, its findings artifacts and manifests are none, an
    untagged one counts; users are found by digest, by a platform's tag, and what they miss is named. Of what is not on
    record, the indexes are fetched."""
    monkeypatch.setattr("pratique.oci.acr.PAGE", 2)
    sandbox = start_sandbox()
    add_registry(sandbox, NAME)
    falco = await bring(sandbox, prefix=LIVE)
    await bring(sandbox)
    for number in range(3):
        publish(sandbox, image_spec(f"docker.io/team/app:{number}", "alpine:3.20", {"curl": f"8.9.{number}-r2"}))
        await bring(sandbox, "team/app", str(number), LIVE)
    await scans_end(sandbox)

    async def untag() -> None:
        content(sandbox, NAME).delete_tag("live/team/app", "1")

    sandbox.run(untag())
    uses = [
        Use("by-digest.yaml", "live/falcosecurity/falcoctl", "", falco),
        Use("by-tag.yaml", "live/team/app", "2", ""),
        Use("dangling.yaml", "live/team/app", "7", ""),
    ]
    upstream = [ImageReference.parse("docker.io/team/app:0")]
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        taken = await take_inventory(oci_client(session, http, {}), HOST, Knowledge(Promotions(), uses, upstream))
    assert_inventory(taken, falco)
    requests = sandbox.control("GET", "/requests")["requests"]
    pulls = {one["path"].rpartition("/")[2] for one in requests if "/v2/live/" in one["path"]}
    assert pulls == {one.digest for one in taken.images}  # the indexes, and no image of a platform


def assert_inventory(taken: Inventory, falco: str) -> None:
    by_name = {one.name.partition("@")[0]: one for one in taken.images}
    assert taken.complete
    assert set(by_name) == {"live/falcosecurity/falcoctl:0.10.1", "live/team/app:0", "live/team/app:2", "live/team/app"}
    index = by_name["live/falcosecurity/falcoctl:0.10.1"]
    assert (index.digest, index.users) == (falco, ("by-digest.yaml",))
    assert {one.platform for one in index.image.platforms} >= {"linux/amd64"}
    assert {digest for digest, _ in index.arrivals} == {falco, *(one.digest for one in index.image.platforms)}
    assert by_name["live/team/app:2"].users == ("by-tag.yaml",)
    assert str(by_name["live/team/app:0"].image.reference) == "docker.io/team/app:0"
    assert by_name["live/team/app:2"].image.reference.registry == HOST
    assert [note.partition(" ")[0] for note in taken.notes] == ["dangling.yaml"]
