"""What the gate's report on a release says about break glass: who let what in, until when, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pratique.gate.approval import Approval
from pratique.gate.exceptions.break_glass import BreakGlass, BreakGlassUse
from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.gate.wait import GateReport
from pratique.text import first_few


def use_of(verdict: ImageVerdict, approval: Approval | None) -> BreakGlassUse | None:
    """Who let an image in by break glass; ``None`` for an image that passes in another way, or does not pass."""
    if approval is None or not verdict.state.passes:
        return None
    for platform in verdict.platforms:
        if platform.state is VerdictState.BREAK_GLASS and platform.break_glass is not None:
            at = approval.read_at or platform.break_glass.opened
            return BreakGlassUse(glass=platform.break_glass, approved_by=approval.name, approval=approval.reason, at=at)
    return None


def uses(report: GateReport) -> list[BreakGlassUse]:
    """Everything that a release lets in by break glass."""
    found = (use_of(verdict, report.approval) for verdict in report.verdicts)
    return [use for use in found if use is not None]


def ends(report: GateReport) -> datetime | None:
    """When the first break-glass entry ends on which the release's verdict rests; ``None`` when it rests on none."""
    return min((use.glass.until for use in uses(report)), default=None)


def companions(report: GateReport) -> str:
    """That an image with a break-glass entry waits for the others of its release, and the next step, as a sentence.

    Empty when there is no such image, or no other image that does not pass yet.
    """
    asked = [verdict for verdict in report.verdicts if any(_entries(verdict))]
    if not asked:
        return ""
    others = [verdict for verdict in report.verdicts if verdict not in asked and not verdict.state.passes]
    if not others:
        return ""
    return (
        f"{_names(asked)} passes together with {_names(others)}, or not at all: images of a release do. To let it in "
        "alone, move it into a release of its own in catalogue.releases, and release that with --only."
    )


def _entries(verdict: ImageVerdict) -> Iterator[BreakGlass]:
    return (platform.break_glass for platform in verdict.platforms if platform.break_glass is not None)


def _names(verdicts: list[ImageVerdict]) -> str:
    return first_few([str(verdict.image.reference) for verdict in verdicts])
