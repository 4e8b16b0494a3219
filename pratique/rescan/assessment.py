"""Assesses images in ``live/`` with the gate's code, under today's policy, exceptions and findings.

Each image is assessed once, in batches, so that memory does not grow with their number; only an
:class:`ImageAssessment` is kept of each. A rescan does not wait for Defender: an image without proof today is unproven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pratique.config.scanning import Scanning
from pratique.findings import Finding, merged
from pratique.gate.candidate import Candidate
from pratique.gate.evaluate import excess
from pratique.gate.evidence import SourceStatus, prove
from pratique.gate.exceptions.exemption import Waiver
from pratique.gate.holds import NO_HOLDS
from pratique.gate.polling import EvidencePoller
from pratique.gate.rules import Rules
from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.rescan.inventory import LiveImageEntry

#: Images per batch: their digests fit into one Resource Graph query or two, and the result into a few megabytes.
BATCH = 250
_INTERVAL = 30.0


@dataclass(frozen=True, kw_only=True)
class ImageAssessment:
    """The gate's verdict on one image, reduced to what the cases and the report need.

    :ivar findings: findings that count, and that have a clock or are beyond the limits
    :ivar waived: findings that would have a clock if no exception covered them, and the policy did not ignore them
    :ivar manifests: digests of the platforms' manifests that are bad
    :ivar assessed_at: when a source last assessed it; ``None`` when none says so
    :ivar inconclusive: whether a source could not be asked, or its answer could not be read
    :ivar unproven: whether a platform has no proof of a scan; one with findings may be bad without any
    :ivar expiring: exceptions and acceptances that let it pass, and expire soon
    """

    image: LiveImageEntry
    state: VerdictState
    reason: str
    findings: tuple[Finding, ...] = ()
    waived: tuple[Finding, ...] = ()
    manifests: tuple[str, ...] = ()
    assessed_at: datetime | None = None
    inconclusive: bool = False
    unproven: bool = False
    expiring: tuple[Waiver, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether its verdict passes. An image that no source scans does not, even if the policy skips the scan."""
        return self.state.passes and self.state is not VerdictState.SKIPPED

    @property
    def proven(self) -> bool:
        """Whether a finding that is not reported is known to be absent."""
        return not (self.inconclusive or self.unproven) and self.state in (
            VerdictState.HEALTHY,
            VerdictState.TOLERATED,
            VerdictState.UNHEALTHY,
        )


async def assess_images(
    images: Sequence[LiveImageEntry],
    rules: Rules,
    poller: EvidencePoller,
    scanning: Scanning,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ImageAssessment]:
    """Assess every image.

    :param progress: called after each batch with the number of images assessed so far
    :raises PratiqueError: when a source cannot be asked at all
    """
    # A hold results from the rescan, so it must not decide one. Break glass lets images in; it is no assessment.
    rules = replace(rules, holds=NO_HOLDS, exceptions=replace(rules.exceptions, break_glass=()))
    wait_policy = WaitPolicy(_INTERVAL, patience=0, deadline=scanning.wait, fail_fast=False)
    assessments: list[ImageAssessment] = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        candidates = [
            Candidate(
                image=image.image,
                registry=image.registry,
                repository=image.repository,
                since=None,
                arrivals=image.arrivals,
            )
            for image in batch
        ]
        report = await assess("live", candidates, rules, wait_policy, poller=poller, progress=_no_progress)
        assessments += [
            _assessment(image, verdict, report, scanning) for image, verdict in zip(batch, report.verdicts, strict=True)
        ]
        progress(len(assessments))
    return assessments


async def _no_progress(_: GateReport) -> None:
    """A rescan reports its progress by batch."""


def _assessment(
    image: LiveImageEntry, verdict: ImageVerdict, report: GateReport, scanning: Scanning
) -> ImageAssessment:
    limits, sla = report.rules.policy.limits, scanning.sla
    beyond = {finding.key for platform in verdict.platforms for finding in excess(platform.counted, limits)}
    waived = merged(waiver.finding for platform in verdict.platforms for waiver in platform.waived)
    observations = [observation for platform in verdict.platforms for observation in platform.observations]
    answered = {observation.source for observation in observations}
    return ImageAssessment(
        image=image,
        state=verdict.state,
        reason=verdict.reason,
        findings=tuple(_without_sources(f) for f in verdict.findings if f.key in beyond or sla.days(f.severity)),
        waived=tuple(_without_sources(f) for f in waived if sla.days(f.severity)),
        manifests=tuple(platform.digest for platform in verdict.platforms if platform.state is VerdictState.UNHEALTHY),
        assessed_at=max(
            (seen.at for seen in observations if seen.status is SourceStatus.ASSESSED and seen.at is not None),
            default=None,
        ),
        inconclusive=bool(report.rules.sources - answered)
        or any(observation.status in (SourceStatus.FAILED, SourceStatus.UNREADABLE) for observation in observations),
        unproven=not all(
            prove(platform.observations, report.rules.policy, report.rules.sources, report.at).given
            for platform in verdict.platforms
        ),
        expiring=_expiring(verdict, report.at + timedelta(days=scanning.exception_warning_days)),
    )


def _without_sources(finding: Finding) -> Finding:
    """A finding without what a rescan's reports do not need."""
    return replace(finding, sources=())


def _expiring(verdict: ImageVerdict, horizon: datetime) -> tuple[Waiver, ...]:
    waivers = [waived.waiver for platform in verdict.platforms for waived in platform.waived]
    waivers += [platform.acceptance for platform in verdict.platforms]
    return tuple(dict.fromkeys(waiver for waiver in waivers if waiver is not None and waiver.expires <= horizon))
