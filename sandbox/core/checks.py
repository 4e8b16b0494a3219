"""Every question whether somebody may do something, with its answer.

The log of requests names the one action that a request is about. This record has all that was asked: what each resource
of a template takes, what an image import needs at its source, what a list or a query leaves out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """A question that was asked.

    :ivar principal: object id of who wanted to
    :ivar data: whether the action is a data action
    :ivar granted: the answer
    """

    principal: str
    action: str
    scope: str
    data: bool
    granted: bool


class Checks:
    """All questions since the last reset, each once."""

    def __init__(self) -> None:
        self._times: Counter[Check] = Counter()

    def note(self, check: Check) -> None:
        self._times[check] += 1

    def document(self) -> list[dict[str, Any]]:
        """As the control host shows them, in the order in which they were first asked."""
        return [{**asdict(check), "times": times} for check, times in self._times.items()]
