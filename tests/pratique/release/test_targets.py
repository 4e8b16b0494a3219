"""Where an image of the catalogue lies, and under which name everything finds it there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from pratique.cluster.stamp_parameters import allowed_images
from pratique.config.catalogue import Catalogue
from pratique.errors import NetworkDenied
from pratique.gate.exceptions.file import ImagePattern
from pratique.images import ImageReference, ImportedImage, PlatformManifest, ResolvedImage
from pratique.manifests.images import point_versions
from pratique.manifests.usage import Use
from pratique.oci.client import OciClient
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.release.manifest_edits import catalogue_versions
from pratique.release.promotion import resolve
from pratique.rescan.inventory import Inventory, Knowledge, take_inventory

AT = datetime(2026, 11, 23, tzinfo=UTC)
QUARANTINE, LIVE = "acrquarantine.azurecr.io", "acrlive.azurecr.io"

IMAGES = st.fixed_dictionaries(
    {
        "source": st.builds(
            "{}/{}:{}".format,
            st.sampled_from(["docker.io", "ghcr.io", "quay.io"]),
            st.sampled_from(["a/x", "a/y"]),
            st.sampled_from(["1", "2"]),
        ),
        "target": st.sampled_from([None, "a/x", "b/x", "b/c/y"]),
    }
)


def catalogue(images: list[dict[str, Any]]) -> Catalogue | None:
    """The catalogue of those images that can stand beside one another."""
    kept: list[dict[str, Any]] = []
    found = None
    for image in images:
        try:
            found = Catalogue.model_validate({"releases": [{"name": "r", "images": [*kept, image]}]})
        except ValidationError:
            continue
        kept.append(image)
    return found


class Upstream:
    """Gives every reference a digest of its own, and lets nobody read the cluster's registry."""

    def __init__(self) -> None:
        self._digests = count(1)

    async def resolve(self, reference: ImageReference, platforms: Collection[str]) -> ResolvedImage:
        digest = f"sha256:{next(self._digests):064x}"
        return ResolvedImage(reference, digest, (PlatformManifest("linux/amd64", digest),))

    async def acr(self, attempted: str, subject: str, *_: Any, **__: Any) -> None:
        raise NetworkDenied(attempted, subject, "403", "")

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace()


async def promoted_of(found: Catalogue, client: OciClient) -> list[ImportedImage]:
    """The catalogue's images, resolved as a run does it, in live/."""
    promoted = []
    for image in found.images:
        resolved = await resolve(client, image.reference, (), image.target or "")
        assert isinstance(resolved, ResolvedImage)
        place = resolved.location.released(LIVE).at(resolved.digest)
        promoted.append(ImportedImage(image=resolved, reference=place, outcome="imported", verified=True))
    return promoted


def written(found: Catalogue, promoted: list[ImportedImage]) -> list[str]:
    """The digests that a release writes into entries for the images' places."""
    places = [imported.reference for imported in promoted]
    entries = [{"name": "x", "newName": f"{LIVE}/{place.repository}", "newTag": place.tag} for place in places]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kustomization.yaml"
        YAML().dump({"images": entries}, path)
        point_versions(Path(folder), ".", LIVE, catalogue_versions(found, promoted))
        return [entry["digest"] for entry in YAML(typ="safe").load(path)["images"]]


async def inventories(
    found: Catalogue, promoted: list[ImportedImage], recorded: Promotions, client: OciClient
) -> tuple[Inventory, Inventory]:
    """What a rescan lists by the records alone, and by manifests and catalogue alone."""
    uses = [
        Use("a", place.repository, place.tag or "", place.digest or "") for place in (i.reference for i in promoted)
    ]
    by_record = await take_inventory(client, LIVE, Knowledge(recorded, (), {}))
    return by_record, await take_inventory(client, LIVE, Knowledge(Promotions(), uses, found.sources))


@given(st.lists(IMAGES, min_size=1, max_size=6))
async def test_all_agree_on_an_images_place_and_name(images: list[dict[str, Any]]) -> None:
    """For every image of a catalogue with targets, quarantine, live, record, manifests, exceptions, policy and rescan
    agree; no two images share a place."""
    found, client = catalogue(images), cast(OciClient, Upstream())
    assert found is not None
    promoted = await promoted_of(found, client)
    assert len({str(replace(imported.reference, digest=None)) for imported in promoted}) == len(found.images)
    records = (PromotionRecord.of(image, policy="p", run="r", at=AT) for image in promoted)
    recorded = Promotions.parse(Promotions(tuple(records)).text())
    listed = await inventories(found, promoted, recorded, client)
    allowed = allowed_images(LIVE, {image.location.repository for image in found.images}, ())
    assert written(found, promoted) == [imported.image.digest for imported in promoted]
    for image, imported in zip(found.images, promoted, strict=True):
        repository, digest = imported.reference.repository, imported.image.digest
        below = image.target or image.reference.repository
        assert repository == f"live/{below}"
        assert imported.image.location.quarantined(QUARANTINE).repository == f"quarantine/{below}"
        assert re.search(allowed, str(imported.reference))
        record = recorded.find(repository, digest, LIVE)
        assert record is not None
        assert record.image == imported.image
        pattern = ImagePattern.parse(image.source)
        assert pattern.matches(imported.image.reference)
        for inventory in listed:
            (live,) = [live for live in inventory.images if live.digest == digest]
            assert (live.repository, live.image.location) == (repository, image.location)
            assert live.image.reference == image.reference
