"""What hangs beside an image: who is believed, and what is only noted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pratique.evidence import attestations
from pratique.evidence.attestations import AttachedStatements
from pratique.evidence.signatures.trust import TrustStore
from pratique.findings import Severity
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT
from sandbox.core.routing import answer
from sandbox.home import Home
from sandbox.scenario import Client, Finding, Scan, Scenario
from sandbox.services.defender.findings_artifact import attach_statement, statement
from sandbox.services.defender.images import ScannedImage
from sandbox.services.defender.notation import Signer
from sandbox.services.oci import distribution
from sandbox.services.oci.manifests import IN_TOTO
from tests.pratique.evidence.conftest import HOST, Scanned, subject
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.sandbox.defending import FALCO, NAME, OPENSSL, REPOSITORY, UNHEALTHY
from tests.sandbox.registries import content

ACME = "acme"
CLEAN = Scan(outcome="healthy")
NEVER = Scan(outcome="never")
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def defenders_root(scanned: Scanned) -> TrustStore:
    return TrustStore.load([scanned.sandbox.azure.home.directory / "defender-root.pem"])


def acmes_root(folder: Path) -> TrustStore:
    return TrustStore.load([folder / ACME / "acme-root.pem"])


def acme(folder: Path) -> Signer:
    """A third party with a root of its own."""
    return Signer(Home(folder / ACME), ACME)


def attach(
    scanned: Scanned,
    signer: Signer | None,
    *findings: Finding,
    at: datetime = YESTERDAY,
    document: bytes | None = None,
    about: str | None = None,
) -> None:
    """Push a statement about the first platform beside it.

    :param at: when its scan ended
    :param document: in place of a statement
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


async def look(
    scanned: Scanned, trusted: Mapping[str, TrustStore | None], *subjects: Subject
) -> dict[str, Observation]:
    """The observations on one subject by source; the first platform's unless another one is named."""
    async with scanned.client() as client:
        source = AttachedStatements(client, trusted)
        assert source.names == set(trusted)
        found = await source(subjects or scanned.subjects[:1])
    (observations,) = found.values()
    return {one.source: one for one in observations}


async def test_defenders_own(scanned: Scanning) -> None:
    """Signed and read: what was found, when, by whom; a clean scan is one without findings."""
    for scan in (UNHEALTHY, CLEAN):
        image = await scanned(Scenario(scans={FALCO: scan}))
        observation = (await look(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
        assert observation.status is SourceStatus.ASSESSED
        assert {f.vulnerability for f in observation.findings} == {finding.cve for finding in scan.findings}
        assert {f.sources for f in observation.findings} <= {(FINDINGS_ARTIFACT,)}
        assert observation.at is not None
        assert "mdvm" in observation.detail
        assert "CN=Defender for Containers findings" in observation.detail
        assert observation.notes == ()


@pytest.mark.parametrize("artifact", ["unsigned", "forged-root"])
async def test_what_nobody_trusted_signed(scanned: Scanning, artifact: str) -> None:
    """It proves nothing, and is mentioned; only the unsafe way believes it, and says so."""
    image = await scanned(Scenario(scans={FALCO: Scan.model_validate({"outcome": "never", "artifact": artifact})}))
    if artifact == "unsigned":
        attach(image, None)
    observation = (await look(image, {FINDINGS_ARTIFACT: defenders_root(image)}))[FINDINGS_ARTIFACT]
    assert (observation.status, observation.findings) == (SourceStatus.NOTHING, frozenset())
    (note,) = observation.notes
    assert "does not count" in note
    believed = (await look(image, {FINDINGS_ARTIFACT: None}))[FINDINGS_ARTIFACT]
    assert believed.status is SourceStatus.ASSESSED
    assert "forged" in believed.detail


async def test_a_third_party(scanned: Scanning, tmp_path: Path) -> None:
    """It speaks under its own name, and not under Defender's; one lookup serves both."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    attach(image, acme(tmp_path), OPENSSL[0])
    before = len(image.sandbox.azure.requests.since(0))
    both = {FINDINGS_ARTIFACT: defenders_root(image), ACME: acmes_root(tmp_path)}
    found = await look(image, both)
    assert found[FINDINGS_ARTIFACT].status is found[ACME].status is SourceStatus.ASSESSED
    assert found[FINDINGS_ARTIFACT].findings == frozenset()
    assert [(f.vulnerability, f.severity, f.sources) for f in found[ACME].findings] == [
        (OPENSSL[0].cve, Severity.CRITICAL, (ACME,))
    ]
    assert found[ACME].at == YESTERDAY
    lists = [e for e in image.sandbox.azure.requests.since(before) if f"referrers/{image.digests[0]}" in e.path]
    assert len([e for e in lists if e.status == 200]) == 1
    alone = await look(image, {FINDINGS_ARTIFACT: defenders_root(image)})
    assert any("does not count" in note for note in alone[FINDINGS_ARTIFACT].notes)


async def test_the_unsafe_way_leaves_others_their_own(scanned: Scanning, tmp_path: Path) -> None:
    """What a trusted name signed does not count for the name that believes everything."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    attach(image, acme(tmp_path))
    found = await look(image, {FINDINGS_ARTIFACT: None, ACME: acmes_root(tmp_path)})
    assert (found[FINDINGS_ARTIFACT].status, found[ACME].status) == (SourceStatus.NOTHING, SourceStatus.ASSESSED)


async def test_the_newest_scan_counts(scanned: Scanning, tmp_path: Path) -> None:
    """By the end of the scan, whatever was pushed last; of two at the same time both count."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    signer = acme(tmp_path)
    for hours, finding in ((2, OPENSSL[0]), (2, OPENSSL[1]), (0, OPENSSL[2])):
        attach(image, signer, finding, at=YESTERDAY + timedelta(hours=hours))
    observation = (await look(image, {ACME: acmes_root(tmp_path)}))[ACME]
    assert observation.at == YESTERDAY + timedelta(hours=2)
    assert {f.vulnerability for f in observation.findings} == {OPENSSL[0].cve, OPENSSL[1].cve}


@pytest.mark.parametrize("document", [b'{"predicate":', b"[]", b"\x00", None], ids=repr)
async def test_a_trusted_statement_that_cannot_be_read(
    scanned: Scanning, tmp_path: Path, document: bytes | None
) -> None:
    """It may hold findings, so nothing else of its signer's proves anything; nobody else is held up."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    attach(image, acme(tmp_path), OPENSSL[0])
    attach(image, acme(tmp_path), document=document, about="sha256:" + "0" * 64)
    found = await look(image, {FINDINGS_ARTIFACT: defenders_root(image), ACME: acmes_root(tmp_path)})
    assert found[ACME].status is SourceStatus.UNREADABLE
    assert "cannot be read" in found[ACME].detail
    assert {f.vulnerability for f in found[ACME].findings} == {OPENSSL[0].cve}
    assert found[FINDINGS_ARTIFACT].status is SourceStatus.ASSESSED


async def test_where_nothing_hangs(scanned: Scanning) -> None:
    """An image without attestations, and an image that is not there."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    trusted = {FINDINGS_ARTIFACT: defenders_root(image)}
    bare = (await look(image, trusted))[FINDINGS_ARTIFACT]
    assert (bare.status, bare.notes) == (SourceStatus.NOTHING, ())
    absent = (await look(image, trusted, subject("sha256:" + "0" * 64)))[FINDINGS_ARTIFACT]
    assert (absent.status, absent.detail) == (SourceStatus.NOTHING, "the image is not in the quarantine repository")


async def test_a_list_that_makes_no_sense(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the registry lists might hold findings, if only it could be read."""
    image = await scanned(Scenario(scans={FALCO: NEVER}))
    for listed in (5, "no list", [5], [{"artifactType": IN_TOTO}]):
        document = {"manifests": listed}
        monkeypatch.setattr(distribution, "answer", lambda *_, document=document, **__: answer(document))
        observation = (await look(image, {FINDINGS_ARTIFACT: None}))[FINDINGS_ARTIFACT]
        assert observation.status is SourceStatus.UNREADABLE


async def test_a_worker_without_private_link(scanned: Scanning) -> None:
    """It cannot prove anything, and says what would help."""
    image = await scanned(Scenario(client=Client(private_links=frozenset())))
    observation = (await look(image, {FINDINGS_ARTIFACT: None}))[FINDINGS_ARTIFACT]
    assert observation.status is SourceStatus.NOTHING
    assert "cannot see the registry" in observation.detail
    assert "private endpoint" in observation.detail


async def test_one_image_does_not_hold_up_the_others(scanned: Scanning) -> None:
    """A registry that fails for one digest could not be asked about that one; the other is assessed."""
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    image.sandbox.azure.faults.add(kind="status", status=503, path=f"*/referrers/{image.digests[0]}", times=None)
    async with image.client() as client:
        found = await AttachedStatements(client, {FINDINGS_ARTIFACT: defenders_root(image)})(image.subjects)
    answers = [one.status for wanted in image.subjects for one in found[wanted]]
    assert answers == [SourceStatus.FAILED, SourceStatus.ASSESSED]


async def test_the_registrys_pace_is_kept(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to slow down is obeyed; when it does not end, or asks for too much, the next round tries again."""
    monkeypatch.setattr(attestations, "_PAUSE", 0.01)
    image = await scanned(Scenario(scans={FALCO: CLEAN}))
    trusted = {FINDINGS_ARTIFACT: defenders_root(image)}
    faults, digest = image.sandbox.azure.faults, image.digests[0]
    faults.add(kind="status", status=429, path=f"*/referrers/{digest}", times=2)
    assert (await look(image, trusted))[FINDINGS_ARTIFACT].status is SourceStatus.ASSESSED
    faults.add(kind="status", status=429, path=f"*/referrers/{digest}", retry_after=3600)
    assert (await look(image, trusted))[FINDINGS_ARTIFACT].status is SourceStatus.FAILED
    faults.add(kind="status", status=429, path=f"*/referrers/{digest}", times=None)
    assert (await look(image, trusted))[FINDINGS_ARTIFACT].status is SourceStatus.FAILED
