"""How often the registry is asked about an image's attestations while the gate waits, and that nothing is missed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from pratique.evidence.attestations import AttachedStatements
from pratique.evidence.full_lookups import FULL_EVERY
from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.policy import FINDINGS_ARTIFACT
from sandbox.scenario import Scan, Scenario
from sandbox.services.defender.findings_artifact import descriptor
from sandbox.services.oci import distribution
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.pratique.evidence.conftest import Scanned
from tests.pratique.evidence.test_findings_artifact import Image
from tests.sandbox.defending import FALCO

API, TAG, EXISTS = "list of referrers", "list under the tag", "whether it exists"


@dataclass
class StillClock:
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s")


class Lookups:
    """A source's repeated lookups of the attestations of one image, that Defender never scans."""

    def __init__(self, scanned: Scanned, source: AttachedStatements, clock: StillClock) -> None:
        self.image = Image(scanned.sandbox, scanned.digests[0])
        self.source, self.clock, self.subject = source, clock, scanned.subjects[0]
        self._requests = scanned.sandbox.azure.requests

    async def __call__(self) -> tuple[Observation, list[str]]:
        """One lookup: the observation, and what it asked the registry for."""
        before = len(self._requests.since())
        ((observation,),) = (await self.source([self.subject])).values()
        sent = [each for each in self._requests.since()[before:] if each.path.startswith("/v2/") and each.status != 401]
        return observation, [_kind(each.method, each.path) for each in sent]

    def tag_artifact(self) -> None:
        """List an artifact under the image's referrers tag only."""
        elsewhere = {**descriptor(self.image.manifest), "digest": "sha256:" + "0" * 64}
        made = self.image.attach([self.image.blob(b"tagged")], subject=elsewhere)
        self.image.tag_referrers(self.image.manifest, made, artifactType=None)


def _kind(method: str, path: str) -> str:
    if "/referrers/" in path:
        return API
    return EXISTS if method == "HEAD" else TAG if "/manifests/sha256-" in path else "content"


@pytest.fixture
async def look_up(scanned: Scanning) -> AsyncIterator[Lookups]:
    image = await scanned(Scenario(scans={FALCO: Scan(outcome="never")}))
    clock = StillClock()
    async with image.client() as client:
        yield Lookups(image, AttachedStatements(client, {FINDINGS_ARTIFACT: None}, clock), clock)


async def test_while_nothing_is_new_a_lookup_is_one_request(look_up: Lookups) -> None:
    """Only the first looks everywhere; the gate is told that the others did not."""
    observation, asked = await look_up()
    assert (observation.status, observation.partial) == (SourceStatus.NOTHING, False)
    assert asked == [API, TAG, EXISTS]
    for _ in range(3):
        observation, asked = await look_up()
        assert (observation.status, observation.partial, asked) == (SourceStatus.NOTHING, True, [API])


async def test_referrers_of_other_kinds_are_read_once(look_up: Lookups) -> None:
    """What a digest names does not change, so an attestation about something else is not read at every lookup."""
    look_up.image.attach([look_up.image.blob(media_type="text/plain")], artifactType="", annotations={})
    assert (await look_up())[1] == [API, TAG, "content"]
    assert (await look_up())[1] == [API]


@pytest.mark.parametrize("demand", ["look_everywhere", "forget", "time"])
async def test_a_full_lookup_on_demand_and_now_and_then(look_up: Lookups, demand: str) -> None:
    """Before the gate decides, in each new wait, and after ten minutes."""
    await look_up()
    if demand == "time":
        look_up.clock.time += FULL_EVERY - timedelta(seconds=1)
        assert (await look_up())[1] == [API]
        look_up.clock.time += timedelta(seconds=1)
    else:
        getattr(look_up.source, demand)([look_up.subject])
    observation, asked = await look_up()
    assert (observation.partial, asked) == (False, [API, TAG, EXISTS])


async def test_an_artifact_is_seen_at_the_next_lookup(look_up: Lookups) -> None:
    """A list that has changed is followed at once, and everywhere; so is one that names findings, from then on."""
    await look_up()
    look_up.image.artifact(b'{"no": "statement"}')
    for _ in range(2):
        observation, asked = await look_up()
        assert (observation.status, observation.partial) == (SourceStatus.UNREADABLE, False)
        assert {API, TAG, "content"} == set(asked)


async def test_an_artifact_under_the_tag_is_seen_by_a_full_lookup(look_up: Lookups) -> None:
    """What only the referrers tag lists is not missed, and keeps being seen."""
    await look_up()
    look_up.tag_artifact()
    assert (await look_up())[0].status is SourceStatus.NOTHING
    look_up.source.look_everywhere([look_up.subject])
    for _ in range(2):
        observation, _ = await look_up()
        assert (observation.status, observation.partial) == (SourceStatus.UNREADABLE, False)


async def test_a_failed_lookup_is_no_full_one(look_up: Lookups) -> None:
    """After a failure the next lookup looks everywhere."""
    tag = look_up.image.manifest.digest.replace(":", "-")
    look_up.image.sandbox.azure.faults.add(kind="status", status=503, path=f"*/manifests/{tag}")
    assert (await look_up())[0].status is SourceStatus.FAILED
    observation, asked = await look_up()
    assert (observation.status, observation.partial, asked) == (SourceStatus.NOTHING, False, [API, TAG, EXISTS])


@pytest.mark.parametrize("answer", ["404", "no index"])
async def test_a_registry_without_the_referrers_api(
    look_up: Lookups, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """The tag is looked at every time: an answer that is no image index does not show that the API is there."""
    if answer == "404":
        path = f"*/referrers/{look_up.image.manifest.digest}"
        look_up.image.sandbox.azure.faults.add(kind="status", status=404, path=path, times=None)
    else:
        monkeypatch.setattr(distribution, "OCI_INDEX", "application/json")
    assert (await look_up())[1] == [API, TAG, EXISTS]
    assert (await look_up())[1] == [API, TAG]
    look_up.tag_artifact()
    assert (await look_up())[0].status is SourceStatus.UNREADABLE
