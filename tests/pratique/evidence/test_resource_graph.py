"""What rows of Resource Graph prove about an image, and what they do not prove."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pratique.azure import defender
from pratique.errors import Throttled
from pratique.evidence.resource_graph import Generation, ResourceGraph
from pratique.findings import Fix, Severity
from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.policy import RECOMMENDATIONS, SUB_ASSESSMENTS
from sandbox.scenario import DefenderPlan, Finding, Scan, Scenario
from sandbox.services.defender.reports import Row
from sandbox.services.defender.state import Defender
from sandbox.services.resourcegraph import quota
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.pratique.evidence.conftest import subject
from tests.pratique.evidence.rows import BOTH, CVES, NAMES, change_rows, observe
from tests.sandbox.defending import FALCO, NAME, OPENSSL, REPOSITORY, UNHEALTHY, bring, scans_end, until
from tests.sandbox.registries import content


@pytest.mark.parametrize("name", NAMES)
async def test_findings(scanned: Scanning, name: Generation) -> None:
    """Every finding has its package and fix; one without a rating has unknown severity, which counts as the worst."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=BOTH))
    for observation in await observe(image, *image.subjects, name=name):
        assert observation.status is SourceStatus.ASSESSED
        assert observation.at is not None
        found = {finding.vulnerability: finding for finding in observation.findings}
        assert set(found) == CVES
        assert {f.severity for f in found.values()} == {Severity.CRITICAL, Severity.UNKNOWN, Severity.LOW}
        assert {(f.package, f.fix) for f in found.values()} == {("libssl3", Fix.AVAILABLE), ("zlib", Fix.NONE)}
        assert {f.sources for f in found.values()} == {(name,)}


@pytest.mark.parametrize(("casing", "nesting"), [("camel", "text"), ("camel", "array"), ("pascal", "array")])
async def test_every_spelling(scanned: Scanning, casing: Any, nesting: Any) -> None:
    """Camel or Pascal case, nested objects or JSON text: the findings are the same."""
    plan = DefenderPlan(casing=casing, nesting=nesting)
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    for observation in await observe(image, *image.subjects):
        assert {finding.vulnerability for finding in observation.findings} == CVES


async def test_two_generations_are_two_sources(scanned: Scanning) -> None:
    """Each generation is queried once for all subjects."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=BOTH))
    async with image.session() as session:
        source = ResourceGraph(session, NAMES)
        assert source.names == {RECOMMENDATIONS, SUB_ASSESSMENTS}
        found = await source(image.subjects)
    assert [[observation.source for observation in found[subject]] for subject in image.subjects] == [NAMES] * 2
    requests = image.sandbox.azure.requests.since(0)
    assert sum(entry.path.endswith("/resources") and entry.method == "POST" for entry in requests) == 2


async def test_a_clean_image_has_no_row(scanned: Scanning) -> None:
    """The missing row proves nothing."""
    image = await scanned(Scenario(scans={FALCO: Scan(outcome="healthy")}, defender=BOTH))
    for name in NAMES:
        for observation in await observe(image, *image.subjects, name=name):
            assert observation == Observation(source=name, status=SourceStatus.NOTHING, detail="no row yet")


@pytest.mark.parametrize("findings", [(), OPENSSL], ids=["no findings", "findings"])
async def test_an_exempted_image(scanned: Scanning, findings: tuple[Finding, ...]) -> None:
    """It is not applicable, with Defender's cause; findings that are listed all the same are kept."""
    exempt = Scan(outcome="not-applicable", findings=findings)
    image = await scanned(Scenario(scans={FALCO: exempt}, defender=BOTH))
    for name in NAMES:
        for observation in await observe(image, *image.subjects, name=name):
            assert (observation.status, observation.detail) == (SourceStatus.NOT_APPLICABLE, "Exempt")
            assert {finding.vulnerability for finding in observation.findings} == {f.cve for f in findings}


async def test_repository_and_digest_must_match(scanned: Scanning) -> None:
    """Rows of another repository or registry do not count; letter case makes no difference."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    ours = image.subjects[0]
    elsewhere = replace(ours, repository="quarantine/other")
    foreign = replace(ours, registry="other.azurecr.io")
    uppercase = replace(ours, registry=ours.registry.upper())
    statuses = [observation.status for observation in await observe(image, ours, elsewhere, foreign, uppercase)]
    assert statuses == [SourceStatus.ASSESSED, SourceStatus.NOTHING, SourceStatus.NOTHING, SourceStatus.ASSESSED]


async def test_rows_about_an_earlier_push(scanned: Scanning) -> None:
    """Rows about a digest from before it was deleted and pushed again do not count."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    (digest, _), store = image.digests, content(image.sandbox, NAME)
    pushed = store.manifest(REPOSITORY, digest).created
    cases = [(0, SourceStatus.ASSESSED), (4, SourceStatus.ASSESSED), (6, SourceStatus.NOTHING)]
    for minutes, expected in cases:
        (observation,) = await observe(image, subject(digest, arrived=pushed + timedelta(minutes=minutes)))
        assert observation.status is expected
        assert bool(observation.findings) is (expected is SourceStatus.ASSESSED)
        assert any("earlier push" in note for note in observation.notes) is (expected is SourceStatus.NOTHING)


async def test_rows_without_a_push_time(scanned: Scanning) -> None:
    """Rows older than the image may still be about it: their findings count, but they prove nothing."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    digest = image.digests[0]

    def change(row: Row) -> None:
        about = row["properties"]["resourceAdditionalData"]
        row["properties"]["resourceAdditionalData"] = about.replace("LastPushedToRegistryUTC", "LastSeen")

    change_rows(image, "recommendations", change, digest)
    arrived = content(image.sandbox, NAME).manifest(REPOSITORY, digest).created
    for minutes in (0, 60):
        (observation,) = await observe(image, subject(digest, arrived=arrived + timedelta(minutes=minutes)))
        assert {finding.vulnerability for finding in observation.findings} == CVES
        assert (observation.at is None) is bool(minutes)


async def test_a_reimported_image(scanned: Scanning) -> None:
    """After an image is deleted and imported again, only the rows of the second scan count."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    sandbox, store = image.sandbox, content(image.sandbox, NAME)
    digest = image.digests[0]

    async def delete() -> None:
        store.delete_repository(REPOSITORY)

    sandbox.run(delete())
    sandbox.control("POST", "/clock", json={"jump": 3600})
    await until(sandbox, lambda: not list(sandbox.azure.state(Defender).rows()))
    await bring(sandbox)
    again = subject(digest, arrived=store.manifest(REPOSITORY, digest).created)
    await scans_end(sandbox)
    (observation,) = await observe(image, again)
    assert observation.status is SourceStatus.ASSESSED
    assert observation.at is not None
    assert again.arrived is not None
    assert observation.at >= again.arrived.replace(microsecond=0)


async def test_throttling(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttled query is repeated; when throttling continues, it raises Throttled."""
    monkeypatch.setattr(defender, "_WINDOW_SECONDS", 0.01)
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    faults = image.sandbox.azure.faults
    faults.add(kind="status", status=429, path="*/Microsoft.ResourceGraph/resources", times=2)
    for observation in await observe(image, *image.subjects):
        assert observation.status is SourceStatus.ASSESSED
    faults.add(kind="status", status=429, path="*/Microsoft.ResourceGraph/resources", times=None)
    with pytest.raises(Throttled):
        await observe(image, *image.subjects)


async def test_many_rounds_at_once(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """Concurrent rounds share the caller's quota of fifteen queries per window: none is refused."""
    monkeypatch.setattr(quota, "WINDOW", 0.9)
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    async with image.session() as session:
        source = ResourceGraph(session, ["recommendations"])
        rounds = await asyncio.gather(*(source(image.subjects) for _ in range(18)))
    observations = [observation for found in rounds for group in found.values() for observation in group]
    assert {observation.status for observation in observations} == {SourceStatus.ASSESSED}
    statuses = {e.status for e in image.sandbox.azure.requests.since(0) if e.path.endswith("ResourceGraph/resources")}
    assert statuses == {200}
