"""Words that Defender's generations have in common.

The vocabulary of ``FixStatus`` is not published; FixAvailable, NoFix, NoFixAvailable and WillNotFix have been seen.
"""

from __future__ import annotations

from datetime import datetime

from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Fix

HEALTHY = "healthy"
NOT_APPLICABLE = "notapplicable"

_NO_FIX = frozenset({"nofix", "nofixavailable", "willnotfix"})
_FIX = "fixavailable"


def fix_of(*said: Reader) -> Fix:
    """What ``FixStatus`` and ``FixedVersion`` of all the documents amount to.

    A fix that one of them knows of exists; there is none only if no other word was said.
    """
    words = {one.text("FixStatus").lower() for one in said if one.says("FixStatus")}
    if _FIX in words or any(one.says("FixedVersion") for one in said):
        return Fix.AVAILABLE
    return Fix.NONE if words and words <= _NO_FIX else Fix.UNKNOWN


def code_of(status: Reader) -> str:
    """``Healthy``, ``Unhealthy``, ``NotApplicable``, or what comes after them, in lower case."""
    return status.required("code").lower()


def not_applicable(status: Reader) -> str:
    """Why the image was not assessed; empty when it was."""
    if code_of(status) != NOT_APPLICABLE:
        return ""
    return status.text("cause") or status.text("description") or "no cause given"


def latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
