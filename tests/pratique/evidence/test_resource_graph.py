"""What Resource Graph's rows say of an image, and what they do not."""

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
from sandbox.services.resourcegraph import quota
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.pratique.evidence.conftest import subject
from tests.pratique.evidence.rows import BOTH, CVES, NAMES, ask, spoil
from tests.sandbox.defending import FALCO, NAME, OPENSSL, REPOSITORY, UNHEALTHY, bring, scans_end
from tests.sandbox.registries import content


@pytest.mark.parametrize("name", NAMES)
async def test_findings(scanned: Scanning, name: Generation) -> None:
    """All that is found in an image, with its package and fix; what nobody rated is unknown, which counts as worst."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=BOTH))
    for observation in await ask(image, *image.subjects, name=name):
        assert observation.status is SourceStatus.ASSESSED
        assert observation.at is not None
        found = {finding.vulnerability: finding for finding in observation.findings}
        assert set(found) == CVES
        assert {f.severity for f in found.values()} == {Severity.CRITICAL, Severity.UNKNOWN, Severity.LOW}
        assert {(f.package, f.fix) for f in found.values()} == {("libssl3", Fix.AVAILABLE), ("zlib", Fix.NONE)}
        assert {f.sources for f in found.values()} == {(name,)}


@pytest.mark.parametrize(("casing", "nesting"), [("camel", "text"), ("camel", "array"), ("pascal", "array")])
async def test_every_spelling(scanned: Scanning, casing: Any, nesting: Any) -> None:
    """Keys in either letter case, nested documents as such or as text: the same findings."""
    plan = DefenderPlan(casing=casing, nesting=nesting)
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    for observation in await ask(image, *image.subjects):
        assert {finding.vulnerability for finding in observation.findings} == CVES


async def test_two_generations_are_two_sources(scanned: Scanning) -> None:
    """Each is asked once about everything."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=BOTH))
    async with image.session() as session:
        source = ResourceGraph(session, NAMES)
        assert source.names == {RECOMMENDATIONS, SUB_ASSESSMENTS}
        found = await source(image.subjects)
    assert [[one.source for one in found[subject]] for subject in image.subjects] == [NAMES] * 2
    requests = image.sandbox.azure.requests.since(0)
    assert sum(entry.path.endswith("/resources") and entry.method == "POST" for entry in requests) == 2


async def test_a_clean_image_has_no_row(scanned: Scanning) -> None:
    """That there is none proves nothing."""
    image = await scanned(Scenario(scans={FALCO: Scan(outcome="healthy")}, defender=BOTH))
    for name in NAMES:
        for observation in await ask(image, *image.subjects, name=name):
            assert observation == Observation(name, SourceStatus.NOTHING, detail="no row yet")


@pytest.mark.parametrize("findings", [(), OPENSSL], ids=["no findings", "findings"])
async def test_an_exempted_image(scanned: Scanning, findings: tuple[Finding, ...]) -> None:
    """It was not assessed, for the cause that is told; what is listed all the same is kept."""
    exempt = Scan(outcome="not-applicable", findings=findings)
    image = await scanned(Scenario(scans={FALCO: exempt}, defender=BOTH))
    for name in NAMES:
        for observation in await ask(image, *image.subjects, name=name):
            assert (observation.status, observation.detail) == (SourceStatus.NOT_APPLICABLE, "Exempt")
            assert {finding.vulnerability for finding in observation.findings} == {f.cve for f in findings}


async def test_the_place_counts_with_the_digest(scanned: Scanning) -> None:
    """Rows of another repository or registry are about something else; letter case makes no difference."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    ours = image.subjects[0]
    elsewhere = replace(ours, repository="quarantine/other")
    foreign = replace(ours, registry="other.azurecr.io")
    louder = replace(ours, registry=ours.registry.upper())
    answers = [one.status for one in await ask(image, ours, elsewhere, foreign, louder)]
    assert answers == [SourceStatus.ASSESSED, SourceStatus.NOTHING, SourceStatus.NOTHING, SourceStatus.ASSESSED]


async def test_rows_about_an_earlier_push(scanned: Scanning) -> None:
    """A digest that was deleted and pushed again has nothing to do with what was said of it before."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    (digest, _), store = image.digests, content(image.sandbox, NAME)
    pushed = store.manifest(REPOSITORY, digest).created
    cases = [(0, SourceStatus.ASSESSED), (4, SourceStatus.ASSESSED), (6, SourceStatus.NOTHING)]
    for minutes, expected in cases:
        (observation,) = await ask(image, subject(digest, arrived=pushed + timedelta(minutes=minutes)))
        assert observation.status is expected
        assert bool(observation.findings) is (expected is SourceStatus.ASSESSED)
        assert any("earlier push" in note for note in observation.notes) is (expected is SourceStatus.NOTHING)


async def test_rows_that_do_not_tell_the_push(scanned: Scanning) -> None:
    """Older than the image, they may be about it all the same: their findings count, and not as a proof."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    digest = image.digests[0]

    def change(row: Row) -> None:
        about = row["properties"]["resourceAdditionalData"]
        row["properties"]["resourceAdditionalData"] = about.replace("LastPushedToRegistryUTC", "LastSeen")

    spoil(image, "recommendations", change, digest)
    arrived = content(image.sandbox, NAME).manifest(REPOSITORY, digest).created
    for minutes in (0, 60):
        (observation,) = await ask(image, subject(digest, arrived=arrived + timedelta(minutes=minutes)))
        assert {finding.vulnerability for finding in observation.findings} == CVES
        assert (observation.at is None) is bool(minutes)


async def test_an_image_that_came_back(scanned: Scanning) -> None:
    """Deleted and imported again some time later: only the rows of the second scan count."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    sandbox, store = image.sandbox, content(image.sandbox, NAME)
    digest = image.digests[0]

    async def delete() -> None:
        store.delete_repository(REPOSITORY)

    sandbox.run(delete())
    sandbox.control("POST", "/clock", json={"jump": 600})
    await bring(sandbox)
    again = subject(digest, arrived=store.manifest(REPOSITORY, digest).created)
    await scans_end(sandbox)
    (observation,) = await ask(image, again)
    assert observation.status is SourceStatus.ASSESSED
    assert observation.at is not None
    assert again.arrived is not None
    assert observation.at >= again.arrived.replace(microsecond=0)


async def test_the_pace_is_kept(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused query is repeated; when the refusals do not end, the source could not be asked this time."""
    monkeypatch.setattr(defender, "_WINDOW_SECONDS", 0.01)
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    faults = image.sandbox.azure.faults
    faults.add(kind="status", status=429, path="*/Microsoft.ResourceGraph/resources", times=2)
    for observation in await ask(image, *image.subjects):
        assert observation.status is SourceStatus.ASSESSED
    faults.add(kind="status", status=429, path="*/Microsoft.ResourceGraph/resources", times=None)
    with pytest.raises(Throttled):
        await ask(image, *image.subjects)


async def test_many_rounds_at_once(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks, the quota of fifteen queries in a window is the caller's: no query is refused."""
    monkeypatch.setattr(quota, "WINDOW", 0.9)
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    async with image.session() as session:
        source = ResourceGraph(session, ["recommendations"])
        rounds = await asyncio.gather(*(source(image.subjects) for _ in range(18)))
    assert all(one.status is SourceStatus.ASSESSED for found in rounds for some in found.values() for one in some)
    statuses = {e.status for e in image.sandbox.azure.requests.since(0) if e.path.endswith("ResourceGraph/resources")}
    assert statuses == {200}
