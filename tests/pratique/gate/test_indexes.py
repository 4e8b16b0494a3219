"""Crafted and real indexes on their whole way: resolved, quarantined, judged, promoted, and listed again in live/."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pratique.azure.registries import Upstream, import_image
from pratique.errors import UnreadableAnswer
from pratique.gate.clearance import clear
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport
from pratique.images import ImportedImage, ResolvedImage
from pratique.platforms import required_manifests
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.release.promotion import promote
from pratique.rescan.inventory import Inventory, Knowledge, take_inventory
from sandbox.scenario import DefenderPlan, Scenario
from sandbox.services.oci.catalogue import image_spec
from sandbox.services.oci.images import build
from sandbox.services.oci.manifests import OCI_INDEX, Manifest, encoded
from sandbox.services.public_registries.state import PublicRegistries
from tests.pratique.gate.conftest import Open
from tests.pratique.gate.quarantine import PLATFORMS, Hurried, Quarantine, states
from tests.pratique.gate.test_against_sandbox import DEADLINE
from tests.sandbox.registries import content

AMD64, ARM64 = ({"os": "linux", "architecture": name} for name in ("amd64", "arm64"))
NOTHING = Promotions()
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}
Entry = dict[str, Any]


class Publisher:
    """Puts indexes of its own making into a repository on Docker Hub.

    :ivar good: entry of an image without findings, for linux/amd64 by its configuration
    :ivar bad: the same of an image with critical findings
    """

    def __init__(self, place: Quarantine, name: str) -> None:
        self._place, self.name = place, f"team/{name}"
        store = place.sandbox.azure.state(PublicRegistries).store("docker.io")
        assert store is not None
        self._store = store
        self.good, self.good_arm64 = self._images("distroless:12", {})
        self.bad, _ = self._images("debian:12", {"curl": "7.88.1-10+deb12u8"})

    @property
    def reference(self) -> str:
        return f"docker.io/{self.name}:1"

    def index(self, *entries: Entry, **more: Any) -> Entry:
        """Add an index under the tag 1, which moves; its entry for another index."""
        return self.put(encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}))

    def put(self, body: bytes) -> Entry:
        manifest = Manifest(body, OCI_INDEX)

        async def put() -> None:
            self._store.put_manifest(self.name, "1", manifest)

        self._place.sandbox.run(put())
        return _entry(manifest)

    def _images(self, base: str, packages: Mapping[str, str]) -> Sequence[Entry]:
        image = build(image_spec(self.reference, base, packages))

        async def put() -> None:
            for digest, blob in image.blobs.items():
                self._store.put_blob(self.name, blob, digest)
            for manifest in image.manifests:
                self._store.put_manifest(self.name, manifest.digest, manifest)

        self._place.sandbox.run(put())
        return [_entry(manifest) for manifest in image.platforms.values()]


def _entry(manifest: Manifest) -> Entry:
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.size}


def of(entry: Entry, platform: Mapping[str, str], **more: Any) -> Entry:
    return {**entry, "platform": platform, **more}


#: Indexes of which an amd64 node runs the bad image.
CRAFTED: Mapping[str, Callable[[Publisher], Entry]] = {
    "nested": lambda p: p.index(of(p.index(of(p.bad, AMD64)), AMD64), of(p.good, AMD64)),
    "spelling": lambda p: p.index(of(p.bad, {"os": "Linux", "architecture": "x86_64"}), of(p.good, AMD64)),
    "annotation": lambda p: p.index(of(p.bad, AMD64, annotations=ATTESTATION), of(p.good, AMD64)),
    "unnamed": lambda p: p.index(p.bad, of(p.good, {**AMD64, "variant": "v3"})),
    "fallback": lambda p: p.index(
        of(p.bad, {"os": "linux", "architecture": "386"}), of(p.good, {**AMD64, "variant": "v3"})
    ),
    "unnamed-nested": lambda p: p.index(p.index(of(p.bad, AMD64)), of(p.good, {**AMD64, "variant": "v2"})),
}
#: Indexes that readers take for different things.
AMBIGUOUS: Mapping[str, Callable[[Publisher], Entry]] = {
    "key-of-the-index": lambda p: p.index(of(p.good, AMD64), Manifests=[of(p.bad, AMD64)]),
    "key-of-an-entry": lambda p: p.index(of({**p.good, "Digest": p.bad["digest"]}, AMD64)),
    "twice": lambda p: p.put(
        encoded({"schemaVersion": 2, "manifests": [of(p.bad, AMD64)], "x": [of(p.good, AMD64)]}).replace(
            b'"x"', b'"manifests"'
        )
    ),
}


async def test_what_a_node_would_run_is_judged(quarantine: Open) -> None:
    """Of each crafted index the gate judges the manifest that a node runs, and blocks it; a rescan that finds the index
    in live/ judges the same manifests."""
    place, clock = await quarantine(Scenario(defender=DefenderPlan(advisories="built-in"))), Hurried()
    publishers = {name: Publisher(place, name) for name in CRAFTED}
    for name, craft in CRAFTED.items():
        await asyncio.to_thread(craft, publishers[name])
    images = await place.bring(*(publisher.reference for publisher in publishers.values()))

    async def told(_: GateReport) -> None:
        clock.jump(minutes=DEADLINE)

    report = await place.judge(images, clock=clock, told=told)
    blocked = {verdict.image.reference.repository: verdict.state.blocks for verdict in report.verdicts}
    assert blocked == {publisher.name: True for publisher in publishers.values()}
    await _import_into_live(place, publishers.values())
    listed = await _inventory(place)
    for verdict in report.verdicts:
        publisher = publishers[verdict.image.reference.repository.removeprefix("team/")]
        judged = {platform.digest for platform in verdict.platforms}
        assert publisher.bad["digest"] in judged
        found = listed[f"live/{publisher.name}"]
        assert found.platforms == verdict.image.platforms
        assert {one.digest for one in required_manifests(found, PLATFORMS)[0]} == judged


async def test_what_readers_do_not_agree_on_is_refused(quarantine: Open) -> None:
    """Before it is imported; and in live/, where somebody else put it, the index itself needs a verdict that it cannot
    get, and the inventory says why."""
    place = await quarantine(Scenario())
    publishers = {name: Publisher(place, name) for name in AMBIGUOUS}
    for name, craft in AMBIGUOUS.items():
        await asyncio.to_thread(craft, publishers[name])
        with pytest.raises(UnreadableAnswer, match="key") as refused:
            await place.resolve(publishers[name].reference)
        assert "digest" in refused.value.remedy
    await _import_into_live(place, publishers.values())
    taken = await _take(place)
    assert len(taken.images) == len(taken.notes) == len(AMBIGUOUS)
    for image in taken.images:
        assert image.doubt
        assert [one.digest for one in required_manifests(image.image, PLATFORMS)[0]] == [image.digest]


async def test_real_indexes_are_promoted(quarantine: Open) -> None:
    """An index of indexes, one for each platform, and an index that calls its platform x86_64 are imported, judged and
    promoted, with everything below them; the rescan takes their contents from the record, without a pull."""
    place = await quarantine(Scenario())
    nested, other = Publisher(place, "nested"), Publisher(place, "other")

    def publish() -> None:
        nested.index(nested.index(of(nested.good, AMD64)), nested.index(of(nested.good_arm64, ARM64)))
        other.index(of(other.good, {"os": "linux", "architecture": "x86_64"}))

    await asyncio.to_thread(publish)
    images = await place.bring(nested.reference, other.reference)
    report = await place.judge(images)
    assert states(report) == [VerdictState.HEALTHY] * 2
    promoted = [
        await promote(place.session, place.client, candidate.image, clearance, place.registry, place.registry)
        for candidate, clearance in zip(images, clear(report), strict=True)
    ]
    live = content(place.sandbox, place.registry.name)
    for imported in promoted:
        below = live.closure(imported.reference.repository, imported.image.digest)
        assert {manifest.digest for manifest in below} == {imported.image.digest, *imported.image.contents}
    assert len(promoted[0].image.contents) == 4
    before = len(place.sandbox.azure.requests.since(0))
    listed = await _inventory(place, Promotions(tuple(_record(imported) for imported in promoted)))
    assert [listed[one.reference.repository] for one in promoted] == [
        replace(candidate.image, attestations=0) for candidate in images
    ]
    assert not [one for one in place.sandbox.azure.requests.since(0)[before:] if "/v2/live/" in one.path]


async def _import_into_live(place: Quarantine, publishers: Any) -> None:
    for publisher in publishers:
        source = Upstream("docker.io", publisher.name, "1")
        await import_image(
            place.session, place.registry, source=source, targets=[f"live/{publisher.name}:1"], force=True
        )


async def _take(place: Quarantine, promotions: Promotions = NOTHING) -> Inventory:
    return await take_inventory(place.client, place.registry.login_server, Knowledge(promotions, (), {}))


async def _inventory(place: Quarantine, promotions: Promotions = NOTHING) -> dict[str, ResolvedImage]:
    return {image.repository: image.image for image in (await _take(place, promotions)).images}


def _record(imported: ImportedImage) -> PromotionRecord:
    """As it is read back from its file."""
    record = PromotionRecord.of(imported, policy="sha256:policy", run="run", at=datetime.now(UTC))
    return PromotionRecord.read(record.entry())
