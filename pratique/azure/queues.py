"""A queue in front of something that opens and closes: first come, first served, for coroutines of any event loop."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol


class Gate(Protocol):
    """What a queue stands in front of."""

    def wait(self, now: float) -> float:
        """Seconds until one may enter; 0 for now, infinite when only a change can tell."""

    def take(self, now: float) -> None:
        """One enters."""


class Queue:
    """Lets one after the other through a gate. Only the first in the queue looks at the gate.

    :param now: monotonic seconds
    """

    def __init__(self, gate: Gate, now: Callable[[], float]) -> None:
        self._gate, self._now = gate, now
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter] = deque()

    async def enter(self) -> None:
        """Wait for one's turn."""
        waiter = _Waiter()
        with self._lock:
            self._waiting.append(waiter)
        try:
            while (seconds := self._try(waiter)) > 0:
                await waiter.wait(seconds)
        finally:
            with self._lock:
                self._waiting.remove(waiter)
                self._wake()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the gate in this block, and let the first in the queue look at it again."""
        with self._lock:
            yield
            self._wake()

    def _try(self, waiter: _Waiter) -> float:
        with self._lock:
            if self._waiting[0] is not waiter:
                return math.inf
            now = self._now()
            seconds = self._gate.wait(now)
            if seconds <= 0:
                self._gate.take(now)
            return seconds

    def _wake(self) -> None:
        if self._waiting:
            self._waiting[0].wake()


class _Waiter:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        self._woken.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), None if seconds == math.inf else seconds)

    def wake(self) -> None:
        with suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._woken.set)
