"""Judges images in ``live/`` with the gate's own code, under today's policy, exceptions and findings.

They are looked at once, a batch at a time, so that memory does not grow with their number; what is kept of each is a
:class:`ImageAssessment`. Nobody waits for Defender here: what is not proven today is not proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pratique.config.scanning import Scanning
from pratique.findings import Finding, merged
from pratique.gate.evidence import SourceStatus
from pratique.gate.exceptions.exemption import Waiver
from pratique.gate.holds import NO_HOLDS
from pratique.gate.polling import EvidencePoller
from pratique.gate.verdict import ImageVerdict, Rules, VerdictState, excess
from pratique.gate.wait import Candidate, GateReport, WaitPolicy, assess
from pratique.rescan.inventory import LiveImageEntry

#: Images a batch: their digests fit into one query of Resource Graph, their rows into some megabytes.
BATCH = 250
_INTERVAL = 30.0


@dataclass(frozen=True)
class ImageAssessment:
    """What the gate makes of one image now.

    :ivar findings: those that count and that have a clock or are beyond the limits
    :ivar waived: those that would have a clock if nothing excused them
    :ivar manifests: digests of the platforms that are bad
    :ivar assessed: when a source last assessed it
    :ivar doubt: whether some source could not be asked, or not be understood
    :ivar ending: exceptions and acceptances that let it pass, and end soon
    """

    image: LiveImageEntry
    state: VerdictState
    reason: str
    findings: tuple[Finding, ...] = ()
    waived: tuple[Finding, ...] = ()
    manifests: tuple[str, ...] = ()
    assessed: datetime | None = None
    doubt: bool = False
    ending: tuple[Waiver, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether it is good enough; that nobody scans at all is not, whatever the policy lets pass at the gate."""
        return self.state.passes and self.state is not VerdictState.SKIPPED

    @property
    def proven(self) -> bool:
        """Whether what is not reported of it is not there."""
        return not self.doubt and self.state in (VerdictState.HEALTHY, VerdictState.TOLERATED, VerdictState.UNHEALTHY)


async def judge_live(
    images: Sequence[LiveImageEntry],
    rules: Rules,
    poller: EvidencePoller,
    scanning: Scanning,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ImageAssessment]:
    """Judge every image.

    :param progress: told how many are done, after each batch
    :raises PratiqueError: when a source cannot be asked at all
    """
    rules = replace(rules, holds=NO_HOLDS)  # a hold is what comes of this, never a reason for it
    wait_policy = WaitPolicy(_INTERVAL, patience=0, deadline=scanning.wait, fail_fast=False)
    assessments: list[ImageAssessment] = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        candidates = [Candidate(one.image, one.registry, one.repository, None, one.arrivals) for one in batch]
        report = await assess("live", candidates, rules, wait_policy, poller=poller, progress=_silent)
        assessments += [_assessment(one, d, report, scanning) for one, d in zip(batch, report.verdicts, strict=True)]
        progress(len(assessments))
    return assessments


async def _silent(_: GateReport) -> None:
    """Nobody watches a single look."""


def _assessment(
    image: LiveImageEntry, verdict: ImageVerdict, report: GateReport, scanning: Scanning
) -> ImageAssessment:
    beyond = {f.key for j in verdict.platforms for f in excess(j.counted, report.rules.policy.limits)}
    waived = merged(one.finding for platform_verdict in verdict.platforms for one in platform_verdict.waived)
    said = [one for platform_verdict in verdict.platforms for one in platform_verdict.observations]
    asked = {one.source for one in said}
    return ImageAssessment(
        image,
        verdict.state,
        verdict.reason,
        tuple(_bare(f) for f in verdict.findings if f.key in beyond or scanning.sla.days(f.severity)),
        tuple(_bare(f) for f in waived if scanning.sla.days(f.severity)),
        tuple(one.digest for one in verdict.platforms if one.state is VerdictState.UNHEALTHY),
        max((one.at for one in said if one.status is SourceStatus.ASSESSED and one.at is not None), default=None),
        bool(report.rules.asked - asked)
        or any(one.status in (SourceStatus.FAILED, SourceStatus.UNREADABLE) for one in said),
        _ending(verdict, report.at + timedelta(days=scanning.exception_warning_days)),
    )


def _bare(finding: Finding) -> Finding:
    """A finding with what reports need."""
    return replace(finding, sources=())


def _ending(verdict: ImageVerdict, horizon: datetime) -> tuple[Waiver, ...]:
    used = [one.waiver for platform_verdict in verdict.platforms for one in platform_verdict.waived]
    used += [platform_verdict.acceptance for platform_verdict in verdict.platforms]
    return tuple(dict.fromkeys(one for one in used if one is not None and one.expires <= horizon))
