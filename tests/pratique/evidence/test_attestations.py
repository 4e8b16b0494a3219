"""Attestations of an image: which signers are trusted, and what is only noted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pratique.evidence import attestations, findings_artifact
from pratique.evidence.attestations import AttachedStatements
from pratique.evidence.signatures.trust import NOBODY, TrustStore
from pratique.findings import Severity
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT
from sandbox.core.routing import answer
from sandbox.home import Home
from sandbox.scenario import Client, DefenderPlan, Finding, Scan, Scenario
from sandbox.services.defender.findings_artifact import attach_statement, statement
from sandbox.services.defender.images import ScannedImage
from sandbox.services.defender.notation import Signer
from sandbox.services.oci import distribution
from sandbox.services.oci.manifests import IN_TOTO
from tests.pratique.evidence.conftest import HOST, Scanned, subject
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.sandbox.defending import DEFENDER, FALCO, NAME, OPENSSL, REPOSITORY, UNHEALTHY
from tests.sandbox.registries import content

ACME = "acme"
CLEAN = Scan(outcome="healthy")
NEVER = Scan(outcome="never")
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def defenders_root(scanned: Scanned) -> TrustStore:
    return TrustStore.load([scanned.sandbox.azure.home.directory / "defender-root.pem"], [DEFENDER])


def acmes_root(folder: Path) -> TrustStore:
    return TrustStore.load([folder / ACME / "acme-root.pem"], ["*"])


def acme(folder: Path) -> Signer:
    """A third party with its own root."""
    return Signer(Home(folder / ACME), ACME)


def attach(
    scanned: Scanned,
    signer: Signer | None,
    *findings: Finding,
    at: datetime = YESTERDAY,
    document: bytes | None = None,
    about: str | None = None,
) -> None:
    """Attach a statement about the first platform to that platform.

    :param at: when its scan ended
    :param document: to attach instead of a statement
    :param about: the digest that it names, if not that platform's
    """
    store, digest, now = content(scanned.sandbox, NAME), scanned.digests[0], datetime.now(UTC)

    async def push() -> None:
        image = ScannedImage("", HOST, REPOSITORY, about or digest)
        written = statement(image, findings, started=at, finished=at) if document is None else document
        manifest = store.manifest(REPOSITORY, digest).manifest
        artifact = attach_statement(store, REPOSITORY, manifest, written, now)
        if signer is not None:
            signer.attach_signature(store, REPOSITORY, artifact, now)

    scanned.sandbox.run(push())


async def observe(
    scanned: Scanned, trusted: Mapping[str, TrustStore | None], *subjects: Subject
) -> dict[str, Observation]:
    """The observations of one subject by source; of the first platform unless another subject is given."""
    async with scanned.client() as client:
        source = AttachedStatements(client, trusted)
        assert source.names == set(trusted)
        found = await source(subjects or scanned.subjects[:1])
    (observations,) = found.values()
    return {observation.source: observation for observation in observations}


async def test_defenders_statement(scanned: Scanning) -> None:
    """A signed statement gives the findings, the time and the signer; a clean scan has no findings."""
    for scan in (UNHEALTHY, CLEAN):
        image = await scanned(Scenario(scans={FALCO: scan}))
        observation = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
        assert observation.status is SourceStatus.ASSESSED
        assert {f.vulnerability for f in observation.findings} == {finding.cve for finding in scan.findings}
        assert {f.sources for f in observation.findings} <= {(FINDINGS_ARTIFACT,)}
        assert observation.at is not None
        assert "mdvm" in observation.detail
        assert "CN=Defender for Containers findings" in observation.detail
        assert observation.notes == ()


@pytest.mark.parametrize("artifact", ["unsigned", "forged-root"])
async def test_no_trusted_signature(scanned: Scanning, artifact: str) -> None:
    """It proves nothing and is noted; only the unsafe mode accepts it, and says so."""
    image = await scanned(Scenario(scans={FALCO: Scan.model_validate({"outcome": "never", "artifact": artifact})}))
    if artifact == "unsigned":
        attach(image, None)
    observation = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert (observation.status, observation.findings) == (SourceStatus.NOTHING, frozenset())
    (note,) = observation.notes
    assert "does not count" in note
    assert [f"the attestation {digest} does" in note for digest in observation.rejected] == [True]
    accepted = (await observe(image, {FINDINGS_ARTIFACT: None}))[FINDINGS_ARTIFACT]
    assert (accepted.status, accepted.rejected) == (SourceStatus.ASSESSED, ())
    assert "forged" in accepted.detail


async def test_bad_news_needs_no_signature(scanned: Scanning, tmp_path: Path) -> None:
    """Findings count whoever reports them, however old, beside a newer clean scan of a trusted signer."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    trusted = {FINDINGS_ARTIFACT: defenders_root(image)}
    assert (await observe(image, trusted))[FINDINGS_ARTIFACT].findings == frozenset()
    attach(image, None, OPENSSL[0], at=YESTERDAY - timedelta(days=3000))
    attach(image, acme(tmp_path), OPENSSL[1])
    attach(image, None, document=b"garbage")
    observation = (await observe(image, trusted))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.ASSESSED
    assert observation.at is not None
    assert observation.at > YESTERDAY
    assert {f.vulnerability for f in observation.findings} == {OPENSSL[0].cve, OPENSSL[1].cve}
    assert len([note for note in observation.notes if "Its 1 findings do." in note]) == 2


async def test_bad_news_alone(scanned: Scanning) -> None:
    """Findings of a stranger count although nothing is proven; a statement about another image says nothing."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    attach(image, None, OPENSSL[0])
    attach(image, None, OPENSSL[1], about="sha256:" + "0" * 64)
    observation = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.NOTHING
    assert {f.vulnerability for f in observation.findings} == {OPENSSL[0].cve}
    assert f"pratique trust show {HOST}/{REPOSITORY}@{image.digests[0]}" in observation.detail


async def test_nobody_is_trusted(scanned: Scanning) -> None:
    """Until a signer is pinned nothing proves a scan, and the detail names the command that helps."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    observation = (await observe(image, {FINDINGS_ARTIFACT: NOBODY}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.NOTHING
    assert "no signer of attestations is trusted yet: 'pratique trust show" in observation.detail


async def test_another_team_under_the_same_root(scanned: Scanning) -> None:
    """Its "clean" statement proves nothing."""
    image = await scanned(Scenario(scans={FALCO: Scan(outcome="never", artifact="other-team")}))
    observation = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.NOTHING
    assert "is none of the trusted identities" in observation.notes[0]


async def test_a_signature_outlives_its_certificate(scanned: Scanning) -> None:
    """With the timestamp authority trusted, Defender's statement counts after its certificate expired."""
    plan = DefenderPlan(certificate="expired")
    image = await scanned(Scenario(scans={FALCO: CLEAN}, defender=plan))
    home = image.sandbox.azure.home.directory
    root, authorities = [home / "defender-root.pem"], [home / "defender-tsa-root.pem"]
    trust = TrustStore.load(root, [DEFENDER], timestamp_authorities=authorities)
    assert (await observe(image, {FINDINGS_ARTIFACT: trust}))[FINDINGS_ARTIFACT].status is SourceStatus.ASSESSED
    without = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert without.status is SourceStatus.NOTHING
    assert "no timestamp authority is trusted" in without.notes[0]


async def test_one_valid_signature_suffices(scanned: Scanning, tmp_path: Path) -> None:
    """A forged signature beside Defender's is noted, and does no harm."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    store, now = content(image.sandbox, NAME), datetime.now(UTC)

    async def forge() -> None:
        (listed,) = store.referrers(REPOSITORY, image.digests[0], IN_TOTO)
        artifact = store.manifest(REPOSITORY, listed["digest"]).manifest
        acme(tmp_path).attach_signature(store, REPOSITORY, artifact, now)

    image.sandbox.run(forge())
    observation = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.ASSESSED
    assert "a signature of the attestation" in observation.notes[0]


async def test_a_flood_hides_no_findings(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a limit leaves out statements that a trusted signer may have made, the source is in doubt."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    for hours in (1, 2):
        attach(image, None, at=YESTERDAY + timedelta(hours=hours))
    monkeypatch.setattr(findings_artifact, "MOST_ARTIFACTS", 2)
    observation = (await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.UNREADABLE
    assert "was not read" in observation.detail


async def test_a_third_party(scanned: Scanning, tmp_path: Path) -> None:
    """Its statement counts for its own source and not for Defender's; one lookup serves both."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    attach(image, acme(tmp_path), OPENSSL[0])
    before = len(image.sandbox.azure.requests.since(0))
    both = {FINDINGS_ARTIFACT: defenders_root(image), ACME: acmes_root(tmp_path)}
    found = await observe(image, both)
    assert found[FINDINGS_ARTIFACT].status is found[ACME].status is SourceStatus.ASSESSED
    assert found[FINDINGS_ARTIFACT].findings == frozenset()
    assert [(f.vulnerability, f.severity, f.sources) for f in found[ACME].findings] == [
        (OPENSSL[0].cve, Severity.CRITICAL, (ACME,))
    ]
    assert found[ACME].at == YESTERDAY
    lists = [e for e in image.sandbox.azure.requests.since(before) if f"referrers/{image.digests[0]}" in e.path]
    assert len([e for e in lists if e.status == 200]) == 1
    alone = await observe(image, {FINDINGS_ARTIFACT: defenders_root(image)})
    assert any("does not count" in note for note in alone[FINDINGS_ARTIFACT].notes)


async def test_unsafe_mode_ignores_what_others_signed(scanned: Scanning, tmp_path: Path) -> None:
    """A statement that another trusted source signed does not count for the source that accepts everything."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    attach(image, acme(tmp_path))
    found = await observe(image, {FINDINGS_ARTIFACT: None, ACME: acmes_root(tmp_path)})
    assert (found[FINDINGS_ARTIFACT].status, found[ACME].status) == (SourceStatus.NOTHING, SourceStatus.ASSESSED)


async def test_the_newest_scan_counts(scanned: Scanning, tmp_path: Path) -> None:
    """The scan that ended last counts, whatever was pushed last; two that ended at the same time both count."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    signer = acme(tmp_path)
    for hours, finding in ((2, OPENSSL[0]), (2, OPENSSL[1]), (0, OPENSSL[2])):
        attach(image, signer, finding, at=YESTERDAY + timedelta(hours=hours))
    observation = (await observe(image, {ACME: acmes_root(tmp_path)}))[ACME]
    assert observation.at == YESTERDAY + timedelta(hours=2)
    assert {f.vulnerability for f in observation.findings} == {OPENSSL[0].cve, OPENSSL[1].cve}


@pytest.mark.parametrize("document", [b'{"predicate":', b"[]", b"\x00", None], ids=repr)
async def test_a_trusted_statement_that_cannot_be_read(
    scanned: Scanning, tmp_path: Path, document: bytes | None
) -> None:
    """It may hold findings, so no other statement of its signer proves anything; other sources are unaffected."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    attach(image, acme(tmp_path), OPENSSL[0])
    attach(image, acme(tmp_path), document=document, about="sha256:" + "0" * 64)
    found = await observe(image, {FINDINGS_ARTIFACT: defenders_root(image), ACME: acmes_root(tmp_path)})
    assert found[ACME].status is SourceStatus.UNREADABLE
    assert "cannot be read" in found[ACME].detail
    assert {f.vulnerability for f in found[ACME].findings} == {OPENSSL[0].cve}
    assert found[FINDINGS_ARTIFACT].status is SourceStatus.ASSESSED


@pytest.mark.parametrize("unfit", ["future", "database", "filtered", "elsewhere"])
async def test_only_a_fit_scan_replaces_others(scanned: Scanning, tmp_path: Path, unfit: str) -> None:
    """A newer scan that proves nothing leaves the findings of those before it standing, and so does its own."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    signer, trusted = acme(tmp_path), {ACME: acmes_root(tmp_path)}
    attach(image, signer, OPENSSL[0])
    attach(image, signer, document=unfit_statement(image.digests[0], unfit))
    observation = (await observe(image, trusted))[ACME]
    assert {f.vulnerability for f in observation.findings} == {OPENSSL[0].cve}
    assert observation.at == YESTERDAY
    assert any("proves nothing" in note for note in observation.notes)
    attach(image, signer, at=YESTERDAY + timedelta(hours=3))
    later = (await observe(image, trusted))[ACME]
    assert (later.findings, later.at) == (frozenset(), YESTERDAY + timedelta(hours=3))


@pytest.mark.parametrize("unfit", ["filtered", "elsewhere"])
async def test_an_unfit_scan_alone(scanned: Scanning, tmp_path: Path, unfit: str) -> None:
    """It proves nothing, and the detail says why."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    attach(image, acme(tmp_path), document=unfit_statement(image.digests[0], unfit))
    observation = (await observe(image, {ACME: acmes_root(tmp_path)}))[ACME]
    assert observation.status is SourceStatus.NOTHING
    assert {"filtered": "-s", "elsewhere": "another place, other.example.com/app"}[unfit] in observation.detail


async def test_good_news_from_before_the_arrival(scanned: Scanning, tmp_path: Path) -> None:
    """It proves nothing about the image here; clocks may differ a little, and findings count."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    attach(image, acme(tmp_path), OPENSSL[0])
    for arrived, status in (
        (YESTERDAY - timedelta(minutes=1), SourceStatus.ASSESSED),
        (YESTERDAY + timedelta(minutes=4), SourceStatus.ASSESSED),
        (YESTERDAY + timedelta(minutes=6), SourceStatus.NOTHING),
    ):
        here = replace(image.subjects[0], arrived=arrived)
        observation = (await observe(image, {ACME: acmes_root(tmp_path)}, here))[ACME]
        assert observation.status is status
        assert {f.vulnerability for f in observation.findings} == {OPENSSL[0].cve}


def unfit_statement(digest: str, unfit: str) -> bytes:
    """A clean scan of an hour after yesterday's that proves nothing."""
    ended = YESTERDAY + (timedelta(days=400) if unfit == "future" else timedelta(hours=1))
    document = json.loads(statement(ScannedImage("", HOST, REPOSITORY, digest), [], started=ended, finished=ended))
    if unfit == "database":
        document["predicate"]["scanner"]["db"]["lastUpdate"] = "2020-01-01T00:00:00Z"
    elif unfit == "filtered":
        document["predicate"]["invocation"] = {"parameters": ["image", "-s", "LOW"]}
    elif unfit == "elsewhere":
        document["subject"][0]["name"] = "other.example.com/app"
    return json.dumps(document).encode()


async def test_no_attestations(scanned: Scanning) -> None:
    """An image without attestations has no evidence yet, and neither has an image that does not exist."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    trusted = {FINDINGS_ARTIFACT: defenders_root(image)}
    bare = (await observe(image, trusted))[FINDINGS_ARTIFACT]
    assert (bare.status, bare.notes) == (SourceStatus.NOTHING, ())
    absent = (await observe(image, trusted, subject("sha256:" + "0" * 64)))[FINDINGS_ARTIFACT]
    assert (absent.status, absent.detail) == (SourceStatus.NOTHING, "the image is not in the quarantine repository")


async def test_a_malformed_list(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of referrers that cannot be read might name findings, so it counts as unreadable."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    for listed in (5, "no list", [5], [{"artifactType": IN_TOTO}]):
        document = {"manifests": listed}
        monkeypatch.setattr(distribution, "answer", lambda *_, document=document, **__: answer(document))
        observation = (await observe(image, {FINDINGS_ARTIFACT: None}))[FINDINGS_ARTIFACT]
        assert observation.status is SourceStatus.UNREADABLE


async def test_a_worker_without_private_link(scanned: Scanning) -> None:
    """It has no evidence, and the detail names the remedy."""
    image = await scanned(Scenario(client=Client(private_links=frozenset())))
    observation = (await observe(image, {FINDINGS_ARTIFACT: None}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.NOTHING
    assert "cannot reach the registry" in observation.detail
    assert "private endpoint" in observation.detail


async def test_one_image_does_not_hold_up_the_others(scanned: Scanning) -> None:
    """When the registry fails for one digest, that one counts as failed; the other is assessed."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    image.sandbox.azure.faults.add(kind="status", status=503, path=f"*/referrers/{image.digests[0]}", times=None)
    async with image.client() as client:
        found = await AttachedStatements(client, {FINDINGS_ARTIFACT: defenders_root(image)})(image.subjects)
    statuses = [observation.status for subject in image.subjects for observation in found[subject]]
    assert statuses == [SourceStatus.FAILED, SourceStatus.ASSESSED]


async def test_throttling(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttled lookup waits and retries; if throttling continues or the wait is too long, it counts as failed."""
    monkeypatch.setattr(attestations, "_PAUSE", 0.01)
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    trusted = {FINDINGS_ARTIFACT: defenders_root(image)}
    faults, digest = image.sandbox.azure.faults, image.digests[0]
    faults.add(kind="status", status=429, path=f"*/referrers/{digest}", times=2)
    assert (await observe(image, trusted))[FINDINGS_ARTIFACT].status is SourceStatus.ASSESSED
    faults.add(kind="status", status=429, path=f"*/referrers/{digest}", retry_after=3600)
    assert (await observe(image, trusted))[FINDINGS_ARTIFACT].status is SourceStatus.FAILED
    faults.add(kind="status", status=429, path=f"*/referrers/{digest}", times=None)
    assert (await observe(image, trusted))[FINDINGS_ARTIFACT].status is SourceStatus.FAILED
