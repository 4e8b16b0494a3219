"""What an assessment of an image in live/ proves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from pratique.config.scanning import Scanning
from pratique.findings import Finding, Severity
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.polling import EvidencePoller
from pratique.gate.rules import Rules
from pratique.gate.verdict import VerdictState
from pratique.images import PlatformManifest
from pratique.records.cases import Condition, FindingState
from pratique.rescan.assessment import ImageAssessment, assess_images
from tests.pratique.rescan.test_cases import Days, image

FIRST, SECOND = (
    Finding(vulnerability=f"CVE-2026-{number}", severity=Severity.CRITICAL, package="openssl") for number in (1, 2)
)
DIGESTS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
PLATFORMS = ("linux/amd64", "linux/arm64")
IMAGE = image()
IMAGE = replace(
    IMAGE, image=replace(IMAGE.image, platforms=tuple(map(PlatformManifest, PLATFORMS, DIGESTS)), contents=DIGESTS)
)


@dataclass(frozen=True)
class Told:
    """Sources that say what a test has them say, by digest."""

    said: Mapping[str, Sequence[Observation]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT})

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        return {subject: self.said.get(subject.digest, ()) for subject in subjects}


def told(source: str, *findings: Finding, proof: bool = True) -> Observation:
    return Observation(
        source=source,
        status=SourceStatus.ASSESSED if proof else SourceStatus.NOTHING,
        findings=frozenset(findings),
        at=datetime.now(UTC) - timedelta(hours=2) if proof else None,
    )


async def assessed(said: Mapping[str, Sequence[Observation]]) -> ImageAssessment:
    source = Told(said)
    rules = Rules(policy=Policy(), platforms=PLATFORMS, sources=source.names)
    async with EvidencePoller([source], []) as poller:
        (assessment,) = await assess_images([IMAGE], rules, poller, Scanning(wait=0))
    return assessment


BOTH = {digest: [told(RECOMMENDATIONS, FIRST), told(FINDINGS_ARTIFACT, FIRST, SECOND)] for digest in DIGESTS}
#: What may be missing on the second day: each source's word about each digest.
PARTS = [(digest, place) for digest in DIGESTS for place in range(2)]


@pytest.mark.parametrize(
    "missing",
    [parts for count in range(1, 5) for parts in combinations(PARTS, count)],
    ids=lambda parts: str(len(parts)),
)
@pytest.mark.parametrize("forgotten", [True, False], ids=["nothing left", "rows left"])
async def test_evidence_that_is_missing_cures_nothing(missing: Sequence[tuple[str, int]], forgotten: bool) -> None:
    """Neither a finding that only the missing part reported, nor the image: whatever else still makes it bad."""
    days = Days(reactions=("hold",))
    days(0, await assessed(BOTH))
    said = {digest: list(observations) for digest, observations in BOTH.items()}
    for digest, place in missing:
        left = () if forgotten else (FIRST,)
        said[digest][place] = told(said[digest][place].source, *left, proof=False)
    days(1, after := await assessed(said))
    gone = any(place == 1 for _, place in missing)  # the artifact is the proof
    assert after.proven is not gone
    if gone:
        assert [finding.state for finding in days.case.findings] == [FindingState.OPEN] * 2
        assert {finding.vulnerability for holds in days.cases.holds.values() for finding in holds[0].findings} == {
            "CVE-2026-1",
            "CVE-2026-2",
        }
    assert days.case.condition is Condition.BAD
    assert days.case.held_since


async def test_a_full_assessment_cures() -> None:
    """With every platform's proof, a finding that is not reported is gone, also while another one is still there."""
    days = Days(reactions=("hold",))
    days(0, await assessed(BOTH))
    fewer = {digest: [told(RECOMMENDATIONS, FIRST), told(FINDINGS_ARTIFACT, FIRST)] for digest in DIGESTS}
    days(1, after := await assessed(fewer))
    assert (after.state, after.proven) == (VerdictState.UNHEALTHY, True)
    assert [finding.state for finding in days.case.findings] == [FindingState.OPEN, FindingState.CURED]
