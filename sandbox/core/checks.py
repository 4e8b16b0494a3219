"""A record of every permission check and its result.

The request log names only the one action that a request is about. This record has every check: for each resource of
a template, for the source of an image import, for the items that a list or a query leaves out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Check:
    """A permission check.

    :ivar principal: object id of the caller
    :ivar data: whether the action is a data action
    :ivar granted: the result
    """

    principal: str
    action: str
    scope: str
    data: bool
    granted: bool


class Checks:
    """All distinct checks since the last reset."""

    def __init__(self) -> None:
        self._times: Counter[Check] = Counter()

    def note(self, check: Check) -> None:
        self._times[check] += 1

    def document(self) -> list[dict[str, Any]]:
        """As the control API shows them, in the order of their first occurrence."""
        return [{**asdict(check), "times": times} for check, times in self._times.items()]
