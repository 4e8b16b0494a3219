"""The inventory of live/, from the registry and from the manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.errors import NetworkDenied, NotFound
from pratique.images import LIVE, ImageReference, PlatformManifest, ResolvedImage
from pratique.manifests.usage import Use, references
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pratique.records.promotions import PromotionRecord, Promotions
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
    """References in kustomizations and plain manifests are found, for this registry's live/ only, with their files; one
    without a tag may be to any image of the repository."""
    folder = tmp_path / "cluster-manifests" / "web"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
    (folder / "deployment.yml").write_text(DEPLOYMENT)
    (folder / "job.json").write_text(json.dumps({"image": f"{HOST}/live/team/json:4"}).replace("/", "\\/"))
    (tmp_path / "elsewhere.yaml").write_text(DEPLOYMENT)
    assert references(tmp_path, "cluster-manifests", HOST) == [
        Use("cluster-manifests/web/deployment.yml", "live/team/app", "2.0", DIGEST),
        Use("cluster-manifests/web/deployment.yml", "live/team/job", "3", ""),
        Use("cluster-manifests/web/deployment.yml", "live/team/mentioned", "", ""),
        Use("cluster-manifests/web/job.json", "live/team/json", "4", ""),
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
    record, the indexes are fetched with what can be run from them."""
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
    upstream = {("team/app", "0"): ImageReference.parse("docker.io/team/app:0")}
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        taken = await take_inventory(oci_client(session, http, {}), HOST, Knowledge(Promotions(), uses, upstream))
    assert_inventory(taken, falco)
    requests = sandbox.control("GET", "/requests")["requests"]
    pulls = {one["path"].rpartition("/")[2] for one in requests if "/v2/live/" in one["path"]}
    indexes = {one.digest for one in taken.images}
    # No record says that readers agree on the manifests.
    assert pulls == indexes | {manifest.digest for one in taken.images for manifest in one.image.platforms}


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


# Uses and gaps, of a registry that lists what a test has it list

APP = "live/team/app"
OLD, NEW, OLD_AMD64, OLD_ARM64, NEW_AMD64, HELM, GONE = (f"sha256:{digit * 64}" for digit in "1234567")


def listed(digest: str, *tags: str, **more: Any) -> dict[str, Any]:
    named = {"mediaType": OCI_MANIFEST, "configMediaType": OCI_CONFIG, "os": "linux", "architecture": "amd64"}
    return {"digest": digest, "tags": list(tags), "createdTime": "2026-11-23T12:00:00Z", **named, **more}


def index(digest: str, tag: str, *children: str) -> dict[str, Any]:
    return listed(digest, tag, mediaType=OCI_INDEX, references=[{"digest": child} for child in children])


LISTED = [
    index(OLD, "1.0", OLD_AMD64, OLD_ARM64),
    index(NEW, "1.1", NEW_AMD64),
    *(listed(digest) for digest in (OLD_AMD64, NEW_AMD64)),
    listed(OLD_ARM64, architecture="arm64"),
]


class Listing:
    """A registry's own lists, as a client reads them.

    :ivar answers: by the end of the URL's path; what has none is not there
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers

    async def acr(self, attempted: str, subject: str, url: str, scope: str) -> tuple[dict[str, Any], None]:
        for end, answer in self.answers.items():
            if end in url:
                return answer, None
        raise NotFound(attempted, subject, "404", "")

    async def resolve(self, place: ImageReference) -> ResolvedImage:
        children = {OLD: (OLD_AMD64, OLD_ARM64), NEW: (NEW_AMD64,)}[place.digest or ""]
        platforms = map(PlatformManifest, ("linux/amd64", "linux/arm64"), children)
        return ResolvedImage(place, place.digest or "", tuple(platforms), contents=children)


async def taken_of(answers: Mapping[str, Any], *uses: Use, records: tuple[PromotionRecord, ...] = ()) -> Inventory:
    client = cast(OciClient, Listing(answers))
    return await take_inventory(client, HOST, Knowledge(Promotions(records), uses, {}))


def of_app(manifests: Any = LISTED) -> dict[str, Any]:
    return {"_catalog": {"repositories": [APP]}, f"{APP}/_manifests": {"manifests": manifests}}


@pytest.mark.parametrize(
    ("tag", "digest"),
    [("1.0", ""), ("", OLD), ("", OLD_AMD64), ("", OLD_ARM64), ("1.0", OLD), ("9", OLD_ARM64), ("", "")],
    ids=["tag", "index", "child", "another child", "tag and index", "other tag and child", "neither"],
)
async def test_an_image_in_use(tmp_path: Path, tag: str, digest: str) -> None:
    """By tag, by the digest of the index or of anything below it, or without either: an image counts as in use."""
    reference = f"{HOST}/{APP}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    (tmp_path / "deploy.yaml").write_text(f"image: {reference}\n")
    taken = await taken_of(of_app(), *references(tmp_path, ".", HOST))
    users = {entry.digest: entry.users for entry in taken.images}
    assert users[OLD] == ("deploy.yaml",)
    assert users[NEW] == (() if tag or digest else ("deploy.yaml",))
    assert (taken.complete, taken.notes) == (True, ())
    assert {OLD, NEW, *({digest} if digest else ())} == users.keys()  # what is named is judged on its own
    assert all(users[name] for name in {OLD, digest} - {""})


async def test_a_tagged_manifest_of_an_unknown_type() -> None:
    """It needs a verdict, and no source gives one: something may pull it as an image."""
    taken = await taken_of(of_app([*LISTED, listed(HELM, "chart", configMediaType="application/x")]))
    (entry,) = (entry for entry in taken.images if entry.digest == HELM)
    assert [manifest.platform for manifest in entry.image.platforms] == ["unknown/unknown"]
    assert entry.doubt


@pytest.mark.parametrize("tag", ["1.0", ""])
async def test_a_use_of_what_is_not_listed(tag: str) -> None:
    """It is noted, with a tag or without."""
    taken = await taken_of(of_app(), Use("deploy.yaml", "live/other", tag, ""))
    assert ["deploy.yaml refers to live/other" in note for note in taken.notes] == [True]


@pytest.mark.parametrize(
    "answers",
    [
        {"_catalog": {"repositories": [APP]}},
        of_app(None),
        of_app([]),
        {"_catalog": {"repositories": None}},
        {"_catalog": {"repositories": []}},
    ],
    ids=["404", "null", "empty", "no catalogue", "empty catalogue"],
)
async def test_a_list_with_a_gap_is_not_complete(answers: Mapping[str, Any]) -> None:
    """So no case is closed because its image is not listed."""
    taken = await taken_of(answers, Use("deploy.yaml", APP, "1.0", ""))
    assert not taken.complete
    assert taken.notes
    assert (await taken_of({"_catalog": {"repositories": []}})).complete  # nothing says that there was anything


async def test_uses_that_nothing_explains_without_the_registry() -> None:
    """Without the registry, a use by tag or without one is noted if no record says what it names; a part of a recorded
    index is that index's use."""

    class Unreachable(Listing):
        async def acr(self, attempted: str, subject: str, url: str, scope: str) -> tuple[dict[str, Any], None]:
            raise NetworkDenied(attempted, subject, "403", "")

    uses = [
        Use("known.yaml", APP, "", OLD_ARM64),
        Use("tag.yaml", APP, "7", ""),
        Use("bare.yaml", "live/other", "", ""),
    ]
    record = PromotionRecord(
        source="docker.io/team/app:1.0",
        digest=OLD,
        registry=HOST,
        repository=APP,
        tag="1.0",
        platforms=(PlatformManifest("linux/amd64", OLD_AMD64),),
        contents=(OLD_AMD64, OLD_ARM64),
        at=datetime(2026, 11, 23, tzinfo=UTC),
        run="r",
        policy="p",
        how="promoted",
    )
    known = Knowledge(Promotions((record,)), uses, {})
    taken = await take_inventory(cast(OciClient, Unreachable({})), HOST, known)
    assert not taken.complete
    assert {entry.digest: entry.users for entry in taken.images} == {OLD: ("known.yaml",), OLD_ARM64: ("known.yaml",)}
    assert [note.partition(" refers")[0] for note in taken.notes[1:]] == ["tag.yaml", "bare.yaml"]
