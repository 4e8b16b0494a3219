"""Days go by for what is in live/: an image turns bad, its time runs out, a fix comes, and the reactions go again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas import StateType
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

from flows.release_images import release_images
from flows.rescan_live import rescan_live
from pratique.config import Bootstrap
from pratique.errors import GateBlocked, LiveImagesAtRisk, PermissionDenied
from sandbox.scenario import Client, DefenderPlan, Scenario
from sandbox.services.oci.catalogue import image_spec
from sandbox.services.oci.manifests import IN_TOTO
from sandbox.services.oci.repository import StoredManifest
from tasks.runtime import run_clock
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_events import Told, told
from tests.flows.world import KURED, World, acceptance, git
from tests.sandbox.registries import publish

__all__ = ["told"]

DAY = 86_400
FIXED = KURED.replace("1.14.0", "1.14.1")
NAME = "live/kubereboot/kured:1.14.0"
REPLACED = "the manifests use another image of its repository, which passes"
ADVISORY = """
- cve: CVE-2026-4444
  severity: High
  published: 2026-01-01
  affected: [{ manager: apk, packages: [tzdata], fixed: 2024b-r0 }]
"""


@dataclass(frozen=True)
class CloudClock:
    """The local Azure's time, which these tests move by days."""

    world: World

    def now(self) -> datetime:
        return self.world.sandbox.azure.clock.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.1))


@dataclass(frozen=True)
class Life:
    """A cluster with one released image, and the file of what the world knows about vulnerabilities."""

    world: World
    advisories: Path

    def with_scanning(self, **scanning: Any) -> Life:
        document = self.world.config.model_dump(mode="json")
        document["scanning"].update(scanning)
        return replace(self, world=replace(self.world, config=Bootstrap.model_validate(document)))

    async def days(self, count: float, *, scanned: bool = True) -> None:
        """Let days go by.

        :param scanned: whether the image is still scanned, and its scans waited for
        """
        before = self._scans()
        await self.world.jump(count * DAY)
        if scanned:
            await self.world.until(lambda: all(now > then for now, then in zip(self._scans(), before, strict=True)))

    def _scans(self, tag: str = "1.14.0") -> list[int]:
        """How often each manifest of an image was scanned, in quarantine/ and live/."""
        store, places = self.world.registry, ("quarantine/kubereboot/kured", "live/kubereboot/kured")
        entries = self._stored(tag).manifest.body["manifests"]
        images = [one["digest"] for one in entries if one["platform"]["os"] != "unknown"]
        return [len(store.referrers(place, digest, IN_TOTO)) for place in places for digest in images]

    async def rescan(self) -> dict[str, Any]:
        return await rescan_live(self.world.config)

    async def release_fix(self) -> Life:
        """Upstream publishes a version without the vulnerability; the catalogue names it, and it is released."""
        publish(self.world.sandbox, image_spec(FIXED, "alpine:3.20", {"tzdata": "2024b-r0"}))
        document = self.world.config.model_dump(mode="json")
        document["catalogue"]["releases"][0]["images"] = [{"source": FIXED}]
        fixed = replace(self, world=replace(self.world, config=Bootstrap.model_validate(document)))
        await release_images(fixed.world.config)
        await self.world.until(lambda: all(self._scans("1.14.1")))
        return fixed

    async def at_risk(self) -> str:
        with pytest.raises(LiveImagesAtRisk) as failed:
            await self.rescan()
        return str(failed.value)

    def on_record(self, file: str = "findings.json") -> Any:
        return json.loads(git("show", f"pratique-records:{file}", folder=self.world.gitops))

    @property
    def readable(self) -> bool:
        """Whether the image may be pulled."""
        return self._stored().attributes.read_enabled

    def set_readable(self, value: bool) -> None:
        self.world.registry.set_attributes(self._stored(), read_enabled=value)

    def _stored(self, tag: str = "1.14.0") -> StoredManifest:
        repository = self.world.registry.repository("live/kubereboot/kured")
        return repository.manifests[repository.tags[tag].digest]

    async def summary(self) -> str:
        """The last summary among the artifacts."""
        async with get_client() as client:
            found = await client.read_latest_artifacts(
                artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=["live-summary"]))
            )
        return str(found[0].data)

    @property
    def case(self) -> dict[str, Any]:
        """The case of the image that turns bad."""
        (found,) = [one for one in self.on_record()["images"] if one["tags"] == ["1.14.0"]]
        return dict(found)

    @property
    def proposal(self) -> str:
        """The only proposal to replace that image, as ``name@sha``."""
        (found,) = self.case["proposals"].values()
        return str(found)


@pytest.fixture
async def life(world: MakeWorld, tmp_path: Path) -> Life:
    """The image is released, and nothing is known against it."""
    file = tmp_path / "advisories.yaml"
    file.write_text("[]")
    plan = DefenderPlan(advisories=str(file))
    laptop = Client(private_links=frozenset())
    cluster = world(((KURED,),), Scenario(defender=plan, timings=PROMPT, clients={"laptop": laptop}))
    await cluster.prepare()
    return Life(cluster, file)


@pytest.fixture(autouse=True)
def its_clock(life: Life) -> Iterator[None]:
    token = run_clock.set(CloudClock(life.world))
    yield
    run_clock.reset(token)


async def test_a_month(life: Life) -> None:
    """Bad on day 3, reported and held; overdue on day 33; then a fix is released, and the hold is lifted."""
    life = life.with_scanning(reactions=["hold"])
    await life.days(1)
    quiet = await life.rescan()
    assert (quiet["outcome"], quiet["changes"], quiet["cases"]) == ("All is well", [], [])

    life.advisories.write_text(ADVISORY)
    await life.days(2)
    told = await life.at_risk()
    for part in ("1 of them since the last rescan", NAME, "CVE-2026-4444 (High) in tzdata", "2024b-r0", "in 30 days"):
        assert part in told
    assert "cluster-manifests/kustomization.yaml" in told
    begun = life.case
    assert (begun["condition"], begun["held"]) == ("bad", begun["since"])

    await life.days(1)
    assert "none of them since the last rescan" in await life.at_risk()
    assert life.case == begun  # nothing is new, so nothing is written
    await life.days(29, scanned=False)
    assert "0 days overdue" in await life.at_risk()
    (finding,) = life.case["findings"]
    assert datetime.fromisoformat(finding["due"]) - datetime.fromisoformat(finding["firstSeen"]) == timedelta(days=30)
    assert life.case == begun | {"findings": [finding]}
    assert finding["told"]

    await life.days(1, scanned=False)
    fixed = await life.release_fix()
    after = await fixed.rescan()
    assert [(one["kind"], one["image"]) for one in after["changes"]] == [("cured", NAME), ("lifted", NAME)]
    assert {one["why"].partition(";")[0] for one in after["changes"]} == {REPLACED}
    assert (fixed.case["condition"], fixed.case["held"]) == ("replaced", None)
    assert after["outcome"] == "All is well"


async def test_known_attestations_are_asked_for_and_not_downloaded(life: Life) -> None:
    """The second rescan lists all referrers again, and downloads no attestation; on the next day it downloads the new
    ones. Each finds the same."""
    downloads, lists = [], []
    for days in (1, 0, 1):
        if days:
            await life.days(days)
        since = life.world.last_request()
        assert (await life.rescan())["outcome"] == "All is well"
        paths = [str(entry["path"]) for entry in life.world.requests(since)]
        lists.append(sum("/referrers/" in path for path in paths))
        downloads.append({path for path in paths if "/blobs/" in path})
    first, second, third = downloads
    assert (bool(first), second, bool(third), first & third) == (True, set(), True, set())
    assert lists[0] == lists[1] < lists[2]


async def test_a_held_digest_is_refused(life: Life) -> None:
    """A hold keeps the digest out also when the gate would let it in: it says why, and how it lifts. The next rescan
    finds the image cured, and lifts it."""
    life = life.with_scanning(reactions=["hold"])
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    await life.at_risk()
    life.advisories.write_text("[]")
    await life.days(1)
    with pytest.raises(GateBlocked) as refused:
        await release_images(life.world.config)
    for part in ("is Held", "held since", NAME, "CVE-2026-4444", "exceptions cover them"):
        assert part in str(refused.value)
    after = await life.rescan()
    assert [(one["kind"], one["why"].partition(";")[0]) for one in after["changes"]] == [
        ("cured", "its findings are gone"),
        ("lifted", "its findings are gone"),
    ]
    assert (after["outcome"], life.case["condition"]) == ("All is well", "cured")
    assert (await release_images(life.world.config)).title == "Nothing to do"


async def test_an_exception_lifts_a_hold(life: Life) -> None:
    """Once somebody answers for the findings the gate lets the digest in at once, and the next rescan lifts the hold;
    the clock goes on for the day on which the exception ends, of which the report warns."""
    life = life.with_scanning(reactions=["hold"])
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    await life.at_risk()
    begun = life.case["findings"][0]["firstSeen"]
    waived = {**acceptance(KURED, 10), "image": KURED, "vulnerability": "CVE-2026-4444"}
    life = replace(life, world=life.world.excepting(exceptions=[waived]))
    assert (await release_images(life.world.config)).title == "Nothing to do"
    after = await life.rescan()
    assert [(one["kind"], one["why"].partition(";")[0]) for one in after["changes"]] == [
        ("cured", "exceptions cover its findings"),
        ("lifted", "exceptions cover its findings"),
    ]
    (ending,) = after["endingExceptions"]
    assert (ending["subject"], ending["owner"], ending["images"]) == ("CVE-2026-4444", "platform-team", [NAME])
    await life.days(15)
    assert "in 15 days" in await life.at_risk()
    assert life.case["findings"][0]["firstSeen"] == begun


async def test_block_pulls(life: Life) -> None:
    """Pulls of an image that the manifests use are blocked only if configured, and allowed again once it is cured."""
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    polite = life.with_scanning(reactions=["block-pulls"])
    await polite.at_risk()
    assert polite.readable
    assert "Pulls of live/kubereboot/kured:1.14.0 are not blocked" in await polite.summary()
    forced = polite.with_scanning(block_pulls_referenced=True)
    await forced.at_risk()
    assert not forced.readable
    assert forced.case["blocked"]
    life.advisories.write_text("[]")
    await life.days(1)
    after = await forced.rescan()
    assert [one["kind"] for one in after["changes"]] == ["cured", "pulls allowed"]
    assert (forced.readable, forced.case["blocked"]) == (True, None)


async def test_a_reaction_that_fails(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are reported all the same, and the report says what failed; the next run does it."""

    async def refuse(*_: object, **__: object) -> None:
        raise PermissionDenied("block pulls", NAME, "It lacks push/write.", "Grant AcrPush.")

    life = life.with_scanning(reactions=["block-pulls"], block_pulls_referenced=True)
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    with monkeypatch.context() as patched:
        patched.setattr("pratique.rescan.reactions.set_pulls", refuse)
        assert "1 of them since the last rescan" in await life.at_risk()
    assert "A reaction failed" in await life.summary()
    assert life.readable
    await life.at_risk()
    assert not life.readable


async def test_somebody_elses_block(life: Life) -> None:
    """An image that somebody else has blocked stays blocked, whatever its condition."""
    life = life.with_scanning(reactions=["block-pulls"], block_pulls_referenced=True)
    life.set_readable(False)
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    await life.at_risk()
    assert life.case["blocked"] is None
    life.advisories.write_text("[]")
    await life.days(1)
    await life.rescan()
    assert not life.readable


async def test_stale(life: Life) -> None:
    """Once Defender no longer scans an image, the absence of findings means nothing: the run completes and says so."""
    await life.days(29)
    assert (await life.rescan())["outcome"] == "All is well"
    await life.days(15, scanned=False)
    record = await life.rescan()
    assert (record["outcome"], life.case["condition"]) == ("Not verified", "stale")
    assert record["changes"] == []


async def test_without_a_way_to_the_registry(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images in promotions and manifests are assessed by Resource Graph; the report says what could not be read."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, life.world.sandbox.proxy.replace("//", "//laptop@"))
    record = await life.rescan()
    assert (record["seen"], record["images"], record["outcome"]) == (False, 1, "Not verified")
    assert "The registry cannot be reached from here" in record["notes"][0]
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    assert NAME in await life.at_risk()


async def test_propose(life: Life) -> None:
    """A branch moves the manifests to the newest image of the repository that passes; it is made once, and goes when
    nobody needs it any more."""
    life = life.with_scanning(reactions=["propose"])
    before = life.world.head
    await life.release_fix()
    git("update-ref", "refs/heads/main", before, folder=life.world.gitops)  # somebody has gone back
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    await life.at_risk()
    name, _, sha = life.proposal.partition("@")
    assert git("rev-parse", name, folder=life.world.gitops).strip() == sha
    assert git("rev-parse", f"{name}^", "main", folder=life.world.gitops).split() == [before, before]
    assert "newTag: 1.14.1" in git("show", f"{name}:cluster-manifests/kustomization.yaml", folder=life.world.gitops)
    await life.at_risk()
    assert life.proposal == f"{name}@{sha}"
    git("update-ref", "refs/heads/main", sha, folder=life.world.gitops)
    after = await life.rescan()
    assert [one["kind"] for one in after["changes"]] == ["cured"]
    assert name not in git("branch", "--list", folder=life.world.gitops)


async def test_events(life: Life, told: Told) -> None:
    """Each change of an image is one event; ``notify`` adds one for the whole run; without changes there is none."""
    life = life.with_scanning(reactions=["notify", "hold"])
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    told()
    await life.at_risk()
    events = [event for event in told() if event.event.startswith("pratique.live.")]
    assert [event.event.rpartition(".")[2] for event in events] == ["newly-bad", "held", "notified"]
    assert {event.resource.id for event in events[:2]} == {f"pratique.image.{NAME}"}
    assert events[0].payload["findings"] == ["CVE-2026-4444 (High)"]
    assert events[2].payload["changes"] == [f"newly bad: {NAME}", f"held: {NAME}"]
    await life.at_risk()
    assert [event for event in told() if event.event.startswith("pratique.live.")] == []


async def test_states(life: Life) -> None:
    """The run's state is named: all is well, or at risk with a message that says what to do."""
    state = await rescan_live(life.world.config, return_state=True)
    assert (state.name, state.type) == ("Nothing to do", StateType.COMPLETED)
    life.advisories.write_text(ADVISORY)
    await life.days(1)
    state = await rescan_live(life.world.config, return_state=True)
    assert (state.name, state.type) == ("Live images at risk", StateType.FAILED)
    assert "pratique release" in (state.message or "")
