"""Azure's time.

Durations shrink, timestamps do not: ``await clock.sleep(480)`` takes eight seconds of wall time at speed 60, while
:meth:`Clock.now` stays the wall's own time, so that tokens, certificates and creation dates mean the same to the
sandbox as to its clients. :meth:`Clock.jump` moves both.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """A clock whose durations run ``speed`` times faster than the wall's."""

    def __init__(self, speed: float = 60.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be positive, not {speed}")
        self.speed = speed
        self._started = time.monotonic()
        self._jumped = 0.0
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        """The time that Azure's answers carry (UTC)."""
        return datetime.now(UTC) + timedelta(seconds=self._jumped)

    def elapsed(self) -> float:
        """Azure seconds since the start: what delays are measured in."""
        return (time.monotonic() - self._started) * self.speed + self._jumped

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of Azure's time; a jump shortens the wait."""
        due = self.elapsed() + seconds
        while (left := due - self.elapsed()) > 0:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), left / self.speed)
            except TimeoutError:
                continue

    def jump(self, seconds: float) -> None:
        """Move forward by ``seconds`` and wake everything that is due by then."""
        if seconds < 0:
            raise ValueError("time does not run backwards, not even here")
        self._jumped += seconds
        self._changed.set()
        self._changed = asyncio.Event()

    def retry_after(self, seconds: float) -> dict[str, str]:
        """Headers that ask a client to come back in ``seconds`` of Azure's time.

        ``Retry-After`` has whole seconds only, and azure-core heeds the header in milliseconds only without it: below
        one second of wall time that one goes alone.
        """
        wall = seconds / self.speed
        if wall < 1:
            return {"x-ms-retry-after-ms": str(max(20, round(wall * 1000)))}
        return {"Retry-After": str(round(wall))}
