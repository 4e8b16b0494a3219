"""The condition of an image in ``live/``, from its assessment and its last condition.

An image that is not proven today keeps the condition that its open findings gave it: missing proof cures nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from pratique.gate.verdict import VerdictState
from pratique.records.cases import Condition, FindingState, Tracked
from pratique.rescan.assessment import ImageAssessment

#: Conditions in which findings are beyond the limits.
BAD = (Condition.BAD, Condition.REPLACED)


def condition_of(
    assessment: ImageAssessment,
    findings: Sequence[Tracked],
    previous: Condition | None,
    *,
    replaced: bool,
    stale: bool,
    overdue: bool = False,
) -> Condition | None:
    """The image's condition; ``None`` when it passes and has no findings on record.

    :param findings: as tracked after this assessment
    :param previous: its condition on record
    :param replaced: see :func:`is_replaced`
    :param stale: see :func:`is_stale`
    :param overdue: whether it came in by break glass whose hours are over, and was not assessed since
    """
    has_open = any(finding.state is FindingState.OPEN for finding in findings)
    unproven = not assessment.passes and assessment.state is not VerdictState.UNHEALTHY
    if assessment.state is VerdictState.UNHEALTHY or (unproven and previous in BAD and has_open):
        return Condition.REPLACED if replaced else Condition.BAD
    if unproven and overdue:
        return Condition.BREAK_GLASS
    if has_open and (not unproven or previous in (*BAD, Condition.WATCHED)):
        return Condition.WATCHED
    if unproven:
        return Condition.STALE if stale else Condition.UNVERIFIED
    return Condition.CURED if findings else None


def passing_repositories(assessments: Iterable[ImageAssessment]) -> frozenset[tuple[str, str]]:
    """Registry and repository of each image that passes and that the manifests of a cluster use."""
    return frozenset(
        (assessment.image.registry, assessment.image.repository)
        for assessment in assessments
        if assessment.image.used and assessment.passes
    )


def is_replaced(assessment: ImageAssessment, passing: Collection[tuple[str, str]]) -> bool:
    """Whether no cluster's manifests use the image, while some use an image of its repository that passes.

    :param passing: from :func:`passing_repositories`
    """
    image = assessment.image
    return not image.used and (image.registry, image.repository) in passing


def is_stale(assessment: ImageAssessment, *, stale_after: timedelta, window: timedelta, at: datetime) -> bool:
    """Whether Defender's window has passed, and no assessment is recent enough to count.

    :param stale_after: time from the push after which Defender stops assessing an image
    :param window: time for which an assessment counts
    """
    recent = assessment.assessed_at is not None and at - assessment.assessed_at <= window
    pushed = assessment.image.pushed
    return not assessment.inconclusive and not recent and pushed is not None and at - pushed > stale_after
