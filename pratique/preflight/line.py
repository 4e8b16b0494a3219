"""One line of what ``pratique check`` prints."""

from __future__ import annotations

from dataclasses import dataclass

from pratique.errors import PratiqueError


@dataclass(frozen=True)
class Line:
    """The result of one check.

    :ivar remedy: the next step when the check failed, or warns
    :ivar warning: whether a run can work, and a person should still look at this
    """

    name: str
    passed: bool
    detail: str
    remedy: str = ""
    warning: bool = False


def failed(name: str, error: PratiqueError) -> Line:
    """The line of a check that ended with an error."""
    return Line(name, False, f"could not {error.attempted} ({error.subject}): {error.observed}", error.remedy)
