"""Azure's time.

Durations shrink, timestamps do not: ``await clock.sleep(480)`` takes eight seconds of wall time at speed 60, while
:meth:`Clock.now` stays the wall's own time, so that tokens, certificates and creation dates mean the same to the
sandbox as to its clients. :meth:`Clock.jump` moves both.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

#: Azure seconds. An on-demand clock does not run for longer waits.
LONGEST_WAIT = 86_400.0


class Clock:
    """A clock whose durations run ``speed`` times faster than the wall's.

    :param speed: 0 for a clock that stands still until it jumps
    :param on_demand: time passes only while something waits for it. A slow client, or one on a busy machine, then does
        not miss days of Azure's time between two requests. Work that never ends, such as daily scans and the evaluation
        of alert rules, does not count as waiting, nor does a log that nobody reads: with every pull in a log, time
        would run for as long as clients pull
    """

    def __init__(self, speed: float = 60.0, *, on_demand: bool = False) -> None:
        if speed < 0:
            raise ValueError(f"speed must not be negative, not {speed}")
        self.speed = speed
        self._on_demand = on_demand
        self._lock = threading.Lock()
        # Azure seconds that had passed at this moment of the wall's monotonic clock, and those up to which they pass.
        self._passed, self._at, self._until = 0.0, time.monotonic(), 0.0
        self._jumped = 0.0
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        """The time that Azure's answers carry (UTC)."""
        return datetime.now(UTC) + timedelta(seconds=self._jumped)

    def elapsed(self) -> float:
        """Azure seconds since the start: what delays are measured in."""
        with self._lock:
            return self._elapsed()

    def after(self, seconds: float) -> float:
        """The moment ``seconds`` of Azure's time from now, up to which time passes on demand."""
        with self._lock:
            due = self._elapsed() + seconds
            if seconds <= LONGEST_WAIT:
                self._pass_until(due)
        return due

    def pass_until(self, due: float) -> None:
        """On demand, let time pass up to a moment for which somebody waits by asking again."""
        with self._lock:
            if due - self._elapsed() <= LONGEST_WAIT:
                self._pass_until(due)

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of Azure's time; a jump shortens the wait."""
        await self.sleep_until(self.after(seconds))

    async def sleep_until(self, due: float) -> None:
        """Wait for a moment of Azure's time, without making it pass on demand."""
        while (left := due - self.elapsed()) > 0:
            changed = self._changed
            # With a time limit only if time gets there by itself.
            passes = self.speed > 0 and (not self._on_demand or due <= self._until)
            try:
                await asyncio.wait_for(changed.wait(), left / self.speed if passes else None)
            except TimeoutError:
                continue

    def jump(self, seconds: float) -> None:
        """Move forward by ``seconds`` and wake everything that is due by then."""
        if seconds < 0:
            raise ValueError("time does not run backwards, not even here")
        with self._lock:
            self._passed, self._at = self._elapsed() + seconds, time.monotonic()
            self._jumped += seconds
            self._wake()

    def wall(self, seconds: float) -> float:
        """Seconds on the clients' clocks, which a clock that stands still shares with Azure: it only jumps."""
        return seconds / (self.speed or 1)

    def retry_after(self, seconds: float) -> dict[str, str]:
        """Headers that ask a client to come back in ``seconds`` of Azure's time.

        ``Retry-After`` has whole seconds only, and azure-core heeds the header in milliseconds only without it: below
        one second of wall time, or while time stands still, only the milliseconds are sent.
        """
        wall = seconds / self.speed if self.speed else 0.0
        if wall < 1:
            return {"x-ms-retry-after-ms": str(max(20, round(wall * 1000)))}
        return {"Retry-After": str(round(wall))}

    def _pass_until(self, due: float) -> None:
        if self._on_demand and due > self._until:
            self._passed, self._at, self._until = self._elapsed(), time.monotonic(), due
            self._wake()

    def _elapsed(self) -> float:
        passed = self._passed + (time.monotonic() - self._at) * self.speed
        return min(passed, max(self._passed, self._until)) if self._on_demand else passed

    def _wake(self) -> None:
        """Have everybody who sleeps look at the time again."""
        self._changed.set()
        self._changed = asyncio.Event()
