"""The clocks of an image's findings: each starts on the day on which a rescan first sees the finding.

A finding counts until an assessment no longer reports it, or an exception covers it; its due date stays the same all
the while. An image that could not be assessed cures nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from pratique.config.scanning import Sla
from pratique.findings import Finding
from pratique.records.cases import MEMORY, FindingState, Tracked
from pratique.rescan.assessment import ImageAssessment


def track_findings(
    known: Sequence[Tracked], assessment: ImageAssessment, sla: Sla, at: datetime
) -> tuple[Tracked, ...]:
    """The findings of an image after an assessment, in the order of their keys.

    :param known: the findings on record
    :param at: when the rescan runs
    """
    before = {finding.key: finding for finding in known}
    after = {
        finding.key: _reported(finding, state, before.get(finding.key), sla, at)
        for findings, state in ((assessment.waived, FindingState.WAIVED), (assessment.findings, FindingState.OPEN))
        for finding in findings
    }
    for key, finding in before.items():
        if key not in after and (unreported := _unreported(finding, at, cured=assessment.proven)):
            after[key] = unreported
    return tuple(after[key] for key in sorted(after))


def newly_overdue(findings: Sequence[Tracked], at: datetime) -> tuple[Tracked, ...]:
    """The findings that are overdue, and that no rescan has reported as overdue."""
    return tuple(finding for finding in findings if finding.overdue(at) and not finding.notified)


def mark_notified(findings: Sequence[Tracked], reported: Collection[Tracked]) -> tuple[Tracked, ...]:
    """All findings, with those that are reported now marked as such."""
    return tuple(replace(finding, notified=True) if finding in reported else finding for finding in findings)


def _reported(finding: Finding, state: FindingState, known: Tracked | None, sla: Sla, at: datetime) -> Tracked:
    first_seen = known.first_seen if known else at
    due = sla.due(finding.severity, first_seen)
    return Tracked(
        vulnerability=finding.vulnerability,
        package=finding.package,
        fixed_version=finding.fixed_version,
        severity=finding.severity,
        first_seen=first_seen,
        due=due,
        state=state,
        at=known.at if known and known.state is state else at,
        notified=known is not None and known.notified and known.due == due,
    )


def _unreported(finding: Tracked, at: datetime, *, cured: bool) -> Tracked | None:
    """A known finding that the assessment does not report; ``None`` once it has been cured for longer than MEMORY."""
    if cured and finding.state is not FindingState.CURED:
        return replace(finding, state=FindingState.CURED, at=at, notified=False)
    forgotten = finding.state is FindingState.CURED and at - finding.at > MEMORY
    return None if forgotten else finding
