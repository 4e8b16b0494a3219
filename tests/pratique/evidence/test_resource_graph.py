"""What rows of Resource Graph prove about an image, and what they do not prove."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from pratique.azure import resource_graph
from pratique.errors import Throttled
from pratique.evidence.resource_graph import ResourceGraph
from pratique.findings import Fix, Severity
from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.policy import RECOMMENDATIONS, SUB_ASSESSMENTS
from pratique.gate.polling import EvidencePoller
from sandbox.scenario import DefenderPlan, Finding, Identity, Scan, Scenario
from sandbox.services.defender.reports import Row
from sandbox.services.defender.state import Defender
from sandbox.services.resourcegraph import quota
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.pratique.evidence.conftest import subject
from tests.pratique.evidence.forms import FORMS, Form
from tests.pratique.evidence.rows import BOTH, CVES, NAMES, change_rows, observe, reword
from tests.sandbox.defending import FALCO, NAME, OPENSSL, REPOSITORY, UNHEALTHY, bring, scans_end, until
from tests.sandbox.registries import content


async def test_findings(scanned: Scanning, form: Form) -> None:
    """Every finding has its severity, version and fix, wherever a row has them; unknown severity is the worst."""
    image = await scanned(form.scenario(UNHEALTHY))
    for observation in await observe(image, *image.subjects, name=form.generation):
        assert observation.status is SourceStatus.ASSESSED
        assert observation.at is not None
        found = {finding.vulnerability: finding for finding in observation.findings}
        assert [found[finding.cve].severity for finding in OPENSSL] == list(form.severities)
        assert {(f.package, f.version, f.fix, f.fixed_version) for f in found.values()} == {
            ("libssl3", "3.3.2-r1", Fix.AVAILABLE, "3.3.3-r0"),
            ("zlib", "1.3.1-r1", Fix.NONE, ""),
        }
        assert {f.sources for f in found.values()} == {(form.generation,)}


async def test_two_generations_are_two_sources(scanned: Scanning) -> None:
    """Each generation is queried once for all subjects, and so are the details of a vulnerability without a rating."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=BOTH))
    async with image.session() as session:
        source = ResourceGraph(session, NAMES)
        assert source.names == {RECOMMENDATIONS, SUB_ASSESSMENTS}
        found = await source(image.subjects)
    assert [[observation.source for observation in found[subject]] for subject in image.subjects] == [NAMES] * 2
    requests = image.sandbox.azure.requests.since(0)
    assert sum(entry.path.endswith("/resources") and entry.method == "POST" for entry in requests) == 3


async def test_a_look_at_all_releases_is_one_query(scanned: Scanning) -> None:
    """Three releases of a hundred images each, with their indexes, cost one query a look, and one generation."""
    rated = Finding(cve="CVE-2026-1", severity="Medium", package="openssl", version="3.0.1")
    image = await scanned(Scenario(scans={FALCO: Scan(outcome="unhealthy", findings=(rated,))}))
    waiting = [
        [subject(f"sha256:{release * 1000 + number:064x}", f"quarantine/{release}/{number}") for number in range(200)]
        for release in range(3)
    ]
    waiting[0].append(image.subjects[0])
    log, before = image.sandbox.azure.requests, len(image.sandbox.azure.requests.since())
    async with image.session() as session, EvidencePoller([ResourceGraph(session, (RECOMMENDATIONS,))], []) as poller:
        for _ in range(2):
            due = poller.clock.now()
            found = await asyncio.gather(*(poller.poll(subjects, lambda _: (), due) for subjects in waiting))
            assert found[0][image.subjects[0]][RECOMMENDATIONS].findings
    queries = [entry for entry in log.since()[before:] if entry.path.endswith("ResourceGraph/resources")]
    assert len(queries) == 2


async def test_a_clean_image_has_no_row(scanned: Scanning) -> None:
    """The missing row proves nothing."""
    image = await scanned(Scenario(scans={FALCO: Scan(outcome="healthy")}, defender=BOTH))
    for name in NAMES:
        for observation in await observe(image, *image.subjects, name=name):
            assert observation == Observation(source=name, status=SourceStatus.NOTHING, detail="no row yet")


@pytest.mark.parametrize("findings", [(), OPENSSL], ids=["no findings", "findings"])
async def test_an_exempted_image(scanned: Scanning, form: Form, findings: tuple[Finding, ...]) -> None:
    """It is not applicable, with Defender's cause; findings that are listed all the same are kept."""
    image = await scanned(form.scenario(Scan(outcome="not-applicable", findings=findings)))
    for observation in await observe(image, *image.subjects, name=form.generation):
        assert (observation.status, observation.detail) == (SourceStatus.NOT_APPLICABLE, "Exempt")
        assert {finding.vulnerability for finding in observation.findings} == {f.cve for f in findings}


async def test_findings_about_a_digest_elsewhere(scanned: Scanning, form: Form) -> None:
    """Findings count for the digest in any repository and registry; only rows about this very place are a proof."""
    image = await scanned(form.scenario(UNHEALTHY))
    ours = image.subjects[0]
    elsewhere = replace(ours, repository="quarantine/other")
    foreign = replace(ours, registry="other.azurecr.io")
    spelled = [replace(ours, registry=host) for host in (ours.registry.upper(), f"{ours.registry}.")]
    observed = await observe(image, ours, *spelled, elsewhere, foreign, name=form.generation)
    for observation in observed:
        assert {finding.vulnerability for finding in observation.findings} == CVES
    assert [observation.status for observation in observed] == [SourceStatus.ASSESSED] * 3 + [SourceStatus.NOTHING] * 2
    for observation in observed[3:]:
        assert any("in another place" in note and REPOSITORY in note for note in observation.notes)
        assert observation.at is None


async def test_an_exemption_elsewhere(scanned: Scanning, form: Form) -> None:
    """An exemption of the digest in another repository says nothing about this one."""
    image = await scanned(form.scenario(Scan(outcome="not-applicable")))
    elsewhere = replace(image.subjects[0], repository="quarantine/other")
    (observation,) = await observe(image, elsewhere, name=form.generation)
    assert observation.status is SourceStatus.NOTHING


async def test_rows_about_an_earlier_push(scanned: Scanning, form: Form) -> None:
    """Findings from before a digest was deleted and pushed again count; such rows prove nothing."""
    image = await scanned(form.scenario(UNHEALTHY))
    (digest, _), store = image.digests, content(image.sandbox, NAME)
    pushed = store.manifest(REPOSITORY, digest).created
    cases = [(0, SourceStatus.ASSESSED), (4, SourceStatus.ASSESSED), (6, SourceStatus.NOTHING)]
    subjects = [subject(digest, arrived=pushed + timedelta(minutes=minutes)) for minutes, _ in cases]
    observed = await observe(image, *subjects, name=form.generation)
    for observation, (_, expected) in zip(observed, cases, strict=True):
        assert observation.status is expected
        assert {finding.vulnerability for finding in observation.findings} == CVES
        assert any("earlier push" in note for note in observation.notes) is (expected is SourceStatus.NOTHING)


async def test_rows_without_a_push_time(scanned: Scanning, form: Form) -> None:
    """Rows older than the image may still be about it: their findings count, but they prove nothing."""
    image = await scanned(form.scenario(UNHEALTHY))
    digest = image.digests[0]

    def change(row: Row) -> None:
        reword(row, "LastPushedToRegistryUTC", "LastSeen")

    change_rows(image, form.generation, change, digest)
    arrived = content(image.sandbox, NAME).manifest(REPOSITORY, digest).created
    for minutes in (0, 60):
        arrival = arrived + timedelta(minutes=minutes)
        (observation,) = await observe(image, subject(digest, arrived=arrival), name=form.generation)
        assert {finding.vulnerability for finding in observation.findings} == CVES
        assert (observation.at is None) is bool(minutes)


async def test_a_row_from_before_the_arrival(scanned: Scanning) -> None:
    """A row that was last evaluated before the image arrived proves nothing, whatever push it names."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    digest = image.digests[0]

    def change(row: Row) -> None:
        before = "2026-01-01T00:00:00Z"
        row["properties"]["status"] |= {"statusChangeDate": before, "firstEvaluationDate": before}

    change_rows(image, "recommendations", change, digest)
    arrived = content(image.sandbox, NAME).manifest(REPOSITORY, digest).created
    (observation,) = await observe(image, subject(digest, arrived=arrived))
    assert observation.at is None
    assert {finding.vulnerability for finding in observation.findings} == CVES


@pytest.mark.parametrize("roles", [("Security Reader",), ()], ids=["readable", "not readable"])
async def test_rejected_vulnerabilities(scanned: Scanning, roles: tuple[str, ...]) -> None:
    """A CVE whose number was withdrawn counts, and a note says so; without the tenant's details it is just unrated."""
    withdrawn = Finding(cve="CVE-2026-3001", severity=None, package="zlib", version="1.3.1-r1", rejected=True)
    scenario = Scenario(
        scans={FALCO: Scan(outcome="unhealthy", findings=(withdrawn,))},
        defender=DefenderPlan(severity_in="details"),
        identity=Identity(tenant_roles=roles),
    )
    image = await scanned(scenario)
    for observation in await observe(image, *image.subjects):
        assert {finding.severity for finding in observation.findings} == {Severity.UNKNOWN}
        assert any("CVE-2026-3001 is rejected" in note for note in observation.notes) is bool(roles)


async def test_details_that_cannot_be_had(scanned: Scanning) -> None:
    """When the tenant refuses the query, unrated findings are of unknown severity, and a note gives the reason."""
    (form,) = (form for form in FORMS if form.name == "details")
    image = await scanned(form.scenario(UNHEALTHY))
    image.sandbox.azure.faults.add(kind="status", status=403, path="*/Microsoft.ResourceGraph/resources", nth=2)
    for observation in await observe(image, *image.subjects):
        assert {finding.severity for finding in observation.findings} == {Severity.UNKNOWN}
        assert any("details of vulnerabilities cannot be read" in note for note in observation.notes)


async def test_a_reimported_image(scanned: Scanning) -> None:
    """After an image is deleted and imported again, only the rows of the second scan prove anything."""
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
    monkeypatch.setattr(resource_graph, "_WINDOW_SECONDS", 0.01)
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
