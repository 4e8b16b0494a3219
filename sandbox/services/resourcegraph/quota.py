"""How many queries a user may send: 15 in any window of five seconds, by the wall's clock.

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

    :param monotonic: seconds that only grow
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, user: str) -> bool:
        """Count a query; False when it is one too many."""
        now = self._monotonic()
        began, used = self._windows.get(user, (now, 0))
        if now - began >= WINDOW:
            began, used = now, 0
        self._windows[user] = (began, min(used + 1, QUERIES))
        return used < QUERIES

    def headers(self, user: str) -> dict[str, str]:
        """What is left of the user's window, as every answer tells it."""
        began, used = self._windows.get(user, (self._monotonic(), 0))
        left = max(0, math.ceil(WINDOW - (self._monotonic() - began)))
        return {
            "x-ms-user-quota-remaining": str(QUERIES - used),
            "x-ms-user-quota-resets-after": f"00:00:{left:02}",
        }
