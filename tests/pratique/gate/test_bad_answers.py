"""Bad answers on the way to a decision: each ends as our error or keeps the image out, and none as a pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from pratique.errors import GateBlocked
from pratique.evidence.findings_artifact import LARGEST_STATEMENT
from pratique.findings import Severity
from pratique.gate.candidate import Candidate
from pratique.gate.evaluate import evaluate_image
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Limits, Policy
from pratique.gate.record import record
from pratique.gate.report import markdown, require_passed, rows
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport
from sandbox.scenario import PublicImage, Scan, Scenario
from sandbox.services.defender.findings_artifact import attach_statement, statement
from sandbox.services.defender.images import ScannedImage
from sandbox.services.defender.notation import Signer
from sandbox.services.defender.reports import Row
from sandbox.services.resourcegraph import quota, routes
from tests.pratique.evidence.conftest import Scanned
from tests.pratique.evidence.rows import change_rows
from tests.pratique.gate.conftest import Open
from tests.pratique.gate.kit import AMD64, CRITICAL, HIGH, NGINX, NOW, acceptance, artifact, many
from tests.pratique.gate.kit import rows as told_in_rows
from tests.pratique.gate.quarantine import PLATFORMS, Hurried, Quarantine, only, written
from tests.sandbox.defending import NAME, OPENSSL
from tests.sandbox.registries import content

FALCO = "docker.io/falcosecurity/falcoctl:0.10.1"
REPOSITORY = "falcosecurity/falcoctl"
CLEAN = Scan(outcome="healthy", delay=0)
NOT_YET = Scan(outcome="never", delay=0)
#: Within the limits: a row, and a proof that would let it pass.
TOLERABLE = Scan(outcome="unhealthy", findings=OPENSSL[2:], delay=0)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def _no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many gates in a row are asked about here, which no run does."""
    monkeypatch.setattr(quota, "QUERIES", 1000)


async def arrived(quarantine: Open, scan: Scan) -> tuple[Quarantine, Candidate]:
    place = await quarantine(Scenario(scans={REPOSITORY: scan}))
    (image,) = await place.bring(FALCO)
    return place, image


async def judged(place: Quarantine, image: Candidate, folder: Path | None = None) -> GateReport:
    """What is decided at the deadline at the latest.

    :param folder: for a file that accepts the image unassessed; without one there is none
    """
    clock = Hurried()

    async def told(_: GateReport) -> None:
        clock.jump(minutes=240)

    accepting = [acceptance(image=str(image.image.pinned))]
    accepted = [written(folder, acceptances=accepting)] if folder else []
    return await place.judge([image], place.gate(exceptions=accepted), clock, told)


def shown(report: GateReport, *, at_most: int) -> str:
    """All that people are shown, each part of it bounded.

    :param at_most: characters
    """
    parts = [json.dumps(rows(report, {})), markdown(report)]
    if not report.passed:
        with pytest.raises(GateBlocked) as blocked:
            require_passed(report)
        parts.append(str(blocked.value))
    assert max(map(len, parts)) <= at_most
    assert json.loads(json.dumps(record(report)))["images"]
    return "".join(parts)


def assessed(image: Candidate) -> str:
    """The one digest that needs a verdict."""
    ((digest,),) = [[subject.digest for subject in image.subjects(PLATFORMS)]]
    return digest


def spoiled(place: Quarantine, image: Candidate, change: Change) -> None:
    """Have Defender's one row about the image changed; earlier changes are undone."""

    def again(row: Row) -> None:
        row.setdefault("before", json.dumps(row["properties"]))
        row["properties"] = json.loads(row["before"])
        change(row["properties"])

    change_rows(Scanned(place.sandbox, []), RECOMMENDATIONS, again, assessed(image))


# Resource Graph

BODIES = (
    b'{"totalRecords": 1, "count": 1, "data": [{"id": "/subscriptions/',
    b"",
    b"\x00\xff",
    b"<html>Bad gateway</html>",
    b"[]",
    b'{"data": {"rows": []}}',
    b'{"data": [null]}',
    b'{"data": [{"digest": 7, "properties": "x"}]}',
    b'{"data": [], "resultTruncated": "true"}',
)


async def test_invalid_answers(quarantine: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A truncated answer, or one of another kind, blocks the image despite its valid proof."""
    place, image = await arrived(quarantine, CLEAN)
    with monkeypatch.context() as patched:
        for body in BODIES:
            bad = Response(body, media_type="application/json")
            patched.setattr(routes, "answer", lambda *_, bad=bad, **__: bad)
            verdict = only(await judged(place, image))
            assert verdict.state is VerdictState.UNVERIFIED
            assert verdict.reason.startswith("recommendations: could not be asked")
    assert only(await judged(place, image)).state is VerdictState.HEALTHY


CHANGES: tuple[Change, ...] = (
    lambda properties: properties.update(status=7),
    lambda properties: properties.pop("status"),
    lambda properties: properties.update(additionalData=[]),
    lambda properties: properties.update(additionalData={"CvesDetails": '[{"CveId": "CVE-2026-'}),
    lambda properties: properties.update(additionalData={"CvesDetails": [{"CveId": "CVE-2026-1\x00"}]}),
    lambda properties: properties.update(additionalData={"CvesDetails": [7]}),
    lambda properties: properties.update(resourceAdditionalData=properties["resourceAdditionalData"][:-40]),
)


async def test_rows_of_wrong_types(quarantine: Open, tmp_path: Path) -> None:
    """Their contents are unknown, so neither proof from another source nor an acceptance passes the image."""
    place, image = await arrived(quarantine, TOLERABLE)
    assert only(await judged(place, image)).state is VerdictState.TOLERATED
    for change in CHANGES:
        spoiled(place, image, change)
        report = await judged(place, image, tmp_path)
        assert only(report).state is VerdictState.UNVERIFIED
        assert "cannot be read" in only(report).reason
        assert "cannot be read" in shown(report, at_most=10_000)


async def test_a_megabyte_of_findings(quarantine: Open) -> None:
    """All of them count and are recorded; what people see is short, and says that there are more."""
    place, image = await arrived(quarantine, TOLERABLE)
    cves = [{"CveId": f"CVE-2026-{n:06}", "Severity": "High", "Description": "x" * 80} for n in range(8000)]
    text = json.dumps(cves)
    assert len(text) > 1_000_000
    update = {"SoftwareName": "openssl", "CvesDetails": text}
    spoiled(place, image, lambda properties: properties.update(additionalData=update))
    report = await judged(place, image)
    assert only(report).state is VerdictState.UNHEALTHY
    assert len(only(report).counted) == 8000
    text = shown(report, at_most=300_000)
    assert "more" in text
    (recorded,) = record(report)["images"][0]["platforms"]
    assert len(recorded["findings"]) == 8000


async def test_odd_names(quarantine: Open) -> None:
    """Odd names neither hide a finding nor break the reports."""
    place, image = await arrived(quarantine, TOLERABLE)
    for name in ("a\x00b", "\x00", "x" * 1_000_000, "a|b\n# c", "\u202eltr", {"a": 1}):
        cves = [{"CveId": "CVE-2026-1", "Severity": "High", "FixedVersion": name}]
        update = {"SoftwareName": name, "DetectedSoftwareVersions": [name], "FixedVersion": name, "CvesDetails": cves}
        spoiled(place, image, partial(dict.update, additionalData=update))
        report = await judged(place, image)
        assert only(report).state is VerdictState.UNHEALTHY
        text = shown(report, at_most=10_000)
        assert "CVE-2026-1 (High)" in text
        assert not {"\x00", "\u202e"} & set(text)


# The artifacts


def hang(place: Quarantine, image: Candidate, document: bytes, *, signed: bool) -> None:
    """Put an attestation beside the image that is newer than what hangs there."""
    store, repository = content(place.sandbox, NAME), image.repository
    now = datetime.now(UTC)

    async def put() -> None:
        manifest = store.manifest(repository, assessed(image)).manifest
        artifact = attach_statement(store, repository, manifest, document, now + timedelta(minutes=1))
        if signed:
            Signer(place.sandbox.azure.home).attach_signature(store, repository, artifact, now)

    place.sandbox.run(put())


def changed(document: dict[str, Any], *path: str, to: Any) -> bytes:
    """The statement with one value changed."""
    inner = document = json.loads(json.dumps(document))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return json.dumps(document).encode()


Garbage = Callable[[dict[str, Any]], bytes]
GARBAGE: tuple[Garbage, ...] = (
    lambda _: b"",
    lambda good: json.dumps(good).encode()[:-30],
    lambda _: b"\x00\xff\xfe" * 100,
    lambda good: json.dumps([good]).encode(),
    lambda _: b"[" * 100_000,
    lambda good: changed(good, "predicate", to=None),
    lambda good: changed(good, "predicateType", to="https://example.com/else"),
    lambda good: changed(good, "subject", to=[{"digest": {"sha256": "0" * 64}}]),
    lambda good: changed(good, "predicate", "scanner", "result", to="none"),
    lambda good: changed(good, "predicate", "scanner", "result", to=[{"id": "\x00"}]),
    lambda good: changed(good, "predicate", "metadata", to={}),
)
#: Those that name the image and whose results cannot be read.
DOUBTFUL = (1, 3, 5, 8, 9)


async def test_malformed_attestations(quarantine: Open, tmp_path: Path) -> None:
    """One that names the image, or that Defender signed, may report findings: it blocks. Others are noted."""
    references = [f"docker.io/library/garbage:{number}" for number, _ in enumerate(GARBAGE)]
    published = tuple(PublicImage(reference=one, packages={"app": one}) for one in references)
    place = await quarantine(Scenario(images=published, scans={"library/garbage": CLEAN}))
    images = await place.stock(*references)
    for garbage, image in zip(GARBAGE, images, strict=True):
        now = datetime.now(UTC)
        about = ScannedImage("", image.registry, image.repository, assessed(image))
        document = garbage(json.loads(statement(about, [], started=now, finished=now)))
        hang(place, image, document, signed=False)
        report = await judged(place, image)
        doubtful = GARBAGE.index(garbage) in DOUBTFUL
        assert only(report).state is (VerdictState.UNVERIFIED if doubtful else VerdictState.HEALTHY)
        assert "does not count" in shown(report, at_most=10_000)
        hang(place, image, document, signed=True)
        report = await judged(place, image, tmp_path)
        assert only(report).state is VerdictState.UNVERIFIED
        assert "cannot be read" in shown(report, at_most=10_000)


async def test_an_attestation_of_many_findings(quarantine: Open) -> None:
    """A megabyte of them is read and counts; what is too large to read is no proof."""
    place, image = await arrived(quarantine, NOT_YET)
    now = datetime.now(UTC)
    about = ScannedImage("", image.registry, image.repository, assessed(image))
    found = [OPENSSL[0].model_copy(update={"cve": f"CVE-2026-{number:06}"}) for number in range(8000)]
    document = statement(about, found, started=now, finished=now)
    assert len(document) > 1_000_000
    hang(place, image, document, signed=True)
    report = await judged(place, image)
    assert only(report).state is VerdictState.UNHEALTHY
    assert len(only(report).counted) == 8000
    shown(report, at_most=300_000)


async def test_an_attestation_that_is_too_large(quarantine: Open) -> None:
    """It is no proof, and hides older attestations, so it cannot bring an old one back into effect."""
    place, image = await arrived(quarantine, CLEAN)
    hang(place, image, b" " * (LARGEST_STATEMENT + 1), signed=True)
    report = await judged(place, image)
    assert only(report).state is VerdictState.UNVERIFIED
    assert "larger than" in shown(report, at_most=10_000)


# Very many of them


def test_a_thousand_blocked_images() -> None:
    """The error names some, those with findings first, and counts the rest."""
    rules, wait = (
        Rules(policy=Policy(), platforms=PLATFORMS, sources=frozenset({FINDINGS_ARTIFACT})),
        Wait(at=NOW, since=NOW, started=NOW, patience=0, deadline=0),
    )
    images = [replace(NGINX, reference=replace(NGINX.reference, tag=f"1.{number}")) for number in range(1000)]
    evidence = {str(images[-1].reference): {AMD64: (artifact(CRITICAL),)}}
    verdicts = tuple(evaluate_image(image, evidence.get(str(image.reference), {}), rules, wait) for image in images)
    report = GateReport(release="one", verdicts=verdicts, rules=rules, at=NOW)
    with pytest.raises(GateBlocked) as blocked:
        require_passed(report)
    assert str(images[-1].reference) in str(blocked.value)
    assert "and 990 more" in str(blocked.value)
    assert len(str(blocked.value)) < 5_000


def test_a_thousand_contradictions() -> None:
    """The summary lists some and counts the rest; the record has all."""
    policy = Policy(limits=Limits(critical=2000, high=2000))
    rules, wait = (
        Rules(policy=policy, platforms=PLATFORMS, sources=frozenset({FINDINGS_ARTIFACT, RECOMMENDATIONS})),
        Wait(at=NOW, since=NOW, started=NOW, patience=0, deadline=0),
    )
    milder = many(HIGH, 1000)
    worse = [replace(finding, severity=Severity.CRITICAL) for finding in milder]
    verdict = evaluate_image(NGINX, {AMD64: (artifact(*milder), told_in_rows(*worse))}, rules, wait)
    report = GateReport(release="one", verdicts=(verdict,), rules=rules, at=NOW)
    assert report.passed
    assert markdown(report).count("the worse severity counts") == 100
    assert "and 900 more" in markdown(report)
    (recorded,) = record(report)["images"][0]["platforms"]
    assert len(recorded["notes"]) == 1000
