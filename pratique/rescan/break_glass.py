"""Shows which images in ``live/`` two people let in unassessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pratique.gate.exceptions.break_glass import BreakGlassUse, format_minute
from pratique.markdown import table
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.inventory import LiveImageEntry

_HEADINGS = ("image", "today", "until", "incident", "asked for by", "approved by", "why", "digest")
#: Rows of the table.
_MOST = 200


def break_glass_table(
    found: Sequence[tuple[LiveImageEntry, BreakGlassUse]], assessments: Sequence[ImageAssessment], at: datetime
) -> Iterator[str]:
    """A heading and a table of the images that came in by break glass, whether or not their hours are over.

    :param found: those that were not assessed before this rescan
    :param at: when the rescan runs
    """
    if not found:
        return
    states = {assessment.image.key: str(assessment.state) for assessment in assessments}
    yield f"## Let in by break glass: {len(found)}"
    rows = [
        (
            image.name,
            states[image.key],
            format_minute(use.glass.until) + ", OVER" * use.overdue(at),
            use.glass.incident,
            use.glass.requested_by,
            use.approved_by,
            use.glass.reason,
            image.digest,
        )
        for image, use in found[:_MOST]
    ]
    yield table(_HEADINGS, rows)
