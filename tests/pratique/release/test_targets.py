"""Where an image of the catalogue lies, and under which name everything finds it there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
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


async def rescanned(client: OciClient, known: Knowledge) -> Inventory:
    return await take_inventory(client, LIVE, known)


@given(st.lists(IMAGES, min_size=1, max_size=6))
async def test_all_agree_on_an_images_place_and_name(images: list[dict[str, Any]]) -> None:
    """For every image of a catalogue with targets, quarantine, live, record, manifests, exceptions, policy and rescan
    agree; no two images share a place."""
    found = catalogue(images)
    assert found is not None
    client = cast(OciClient, Upstream())
    resolved = [await resolve(client, image.reference, (), image.target or "") for image in found.images]
    promoted = []
    for image in resolved:
        assert isinstance(image, ResolvedImage)
        reference = image.location.released(LIVE).at(image.digest)
        promoted.append(ImportedImage(image=image, reference=reference, outcome="imported", verified=True))
    at = datetime(2026, 11, 23, tzinfo=UTC)
    records = [PromotionRecord.of(image, policy="p", run="r", at=at) for image in promoted]
    recorded = Promotions.parse(Promotions(tuple(records)).text())
    places = [(imported.reference.repository, imported.reference.tag or "") for imported in promoted]
    assert len({*places}) == len(found.images)
    uses = [
        Use("a.yaml", imported.reference.repository, imported.reference.tag or "", imported.image.digest)
        for imported in promoted
    ]
    by_record = await rescanned(client, Knowledge(recorded, (), {}))
    by_catalogue = await rescanned(client, Knowledge(Promotions(), uses, found.sources))
    allowed = allowed_images(LIVE, {image.location.repository for image in found.images}, ())
    with tempfile.TemporaryDirectory() as folder:
        entries = [{"newName": f"{LIVE}/{place}", "newTag": tag, "name": "x"} for place, tag in places]
        path = Path(folder) / "kustomization.yaml"
        YAML().dump({"images": entries}, path)
        point_versions(Path(folder), ".", LIVE, catalogue_versions(found, promoted))
        written = YAML(typ="safe").load(path)["images"]
    for image, imported, entry in zip(found.images, promoted, written, strict=True):
        repository = imported.reference.repository
        assert repository == f"live/{image.target or image.reference.repository}"
        assert imported.image.location.quarantined(QUARANTINE).repository == repository.replace(
            "live/", "quarantine/", 1
        )
        assert entry["digest"] == imported.image.digest
        assert re.search(allowed, str(imported.reference))
        record = recorded.find(repository, imported.image.digest, LIVE)
        assert record is not None
        assert record.image == imported.image
        pattern = ImagePattern.parse(f"{image.reference.registry}/{image.reference.repository}:{image.reference.tag}")
        assert pattern.matches(imported.image.reference)
        for inventory in (by_record, by_catalogue):
            (live,) = [live for live in inventory.images if live.digest == imported.image.digest]
            assert live.repository == repository
            assert (live.image.reference, live.image.location) == (image.reference, image.location)
            assert pattern.matches(live.image.reference)
