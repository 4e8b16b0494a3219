"""Query limit for each user: 15 in any window of five seconds, in real time.

Facts: Resource Graph, "Guidance for throttled requests". The window begins with its first query.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

QUERIES = 15
WINDOW = 5.0


class Quota:
    """The windows of all users.

    :param monotonic: returns seconds from a monotonic clock
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, user: str) -> bool:
        """Count a query; False when the quota is exceeded."""
        at = self._monotonic()
        began, used = self._windows.get(user, (at, 0))
        if at - began >= WINDOW:
            began, used = at, 0
        self._windows[user] = (began, min(used + 1, QUERIES))
        return used < QUERIES

    def headers(self, user: str) -> dict[str, str]:
        """The rest of the user's window, for the headers of every response."""
        began, used = self._windows.get(user, (self._monotonic(), 0))
        left = max(0, math.ceil(WINDOW - (self._monotonic() - began)))
        return {
            "x-ms-user-quota-remaining": str(QUERIES - used),
            "x-ms-user-quota-resets-after": f"00:00:{left:02}",
        }
