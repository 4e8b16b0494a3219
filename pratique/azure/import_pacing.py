"""How many imports run at once, and what happens when Azure is too busy for one.

::

    async def work() -> ImportedImage:
        return await promotion.quarantine(...)

    imported = await paced_import(session, registry, work)

Imports start as fast as Resource Manager's write bucket allows. The limits of container registries are not documented:
when a registry refuses an import because it is busy, half as many run at once, and the number grows again with every
import that ends.

Facts: Microsoft Learn, "Understand how Azure Resource Manager throttles requests".
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

from pratique.azure.pacing import Pace
from pratique.azure.queues import Queue
from pratique.azure.registries import IMPORT_DEADLINE_SECONDS, Registry
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.transport import LONGEST_SECONDS
from pratique.errors import Throttled

T = TypeVar("T")

#: What the write bucket carries: 200 imports at once, and 10 more a second for the 70 seconds that one takes. The rest
#: is slack. It bounds the open work of a process.
MOST_AT_ONCE = 1000
_GROWTH = 0.5  # imports more at once for each that ends
#: Resource Manager's bucket, for which the queue waits. It says nothing about the registry.
_BUCKET_EMPTY = re.compile(r"429 (subscription|tenant)requeststhrottled\b", re.IGNORECASE)


class Window:
    """How many imports into one registry run at once."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most = self._limit = float(most)
        self._running = 0
        self._cut = -math.inf

    def wait(self, now: float) -> float:
        return 0.0 if self._running < max(1, int(self._limit)) else math.inf

    def take(self, now: float) -> None:
        self._running += 1

    def ended(self) -> None:
        """An import has ended, whatever its outcome."""
        self._running -= 1

    def accepted(self) -> None:
        """The registry was not too busy for it."""
        self._limit = min(self._most, self._limit + _GROWTH)

    def refused(self, now: float, began: float) -> None:
        """The registry was too busy for an import. Imports that ran at the last cut do not cause another one.

        :param began: when the import began
        """
        if began >= self._cut:
            self._limit, self._cut = max(1.0, min(self._limit, self._running) / 2), now


class _Window:
    """A window with its queue."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._window = Window()
        self._queue = Queue(self._window, now)

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        await self._queue.enter()
        began = self._now()
        try:
            yield
        except Throttled as error:
            if not (error.source_limit or _BUCKET_EMPTY.match(error.observed)):
                with self._queue.changing():
                    self._window.refused(self._now(), began)
            raise
        else:
            with self._queue.changing():
                self._window.accepted()
        finally:
            with self._queue.changing():
                self._window.ended()


_windows: WeakKeyDictionary[Pace, dict[str, _Window]] = WeakKeyDictionary()


async def paced_import(
    session: AzureSession,
    registry: Registry,
    work: Callable[[], Awaitable[T]],
    *,
    on_busy: Callable[[Throttled, float], None] = lambda error, seconds: None,
) -> T:
    """Do work that imports an image, when it is its turn, and do it again after Azure was too busy for it.

    :param registry: that is imported into
    :param work: looks whether there is anything to import, and imports it. It is called again from its beginning,
        because what it rests on may have changed in the meantime
    :param on_busy: is told the error and the seconds until the next attempt
    :raises Throttled: when Azure is still too busy half an hour after it said so first, or the source limits pulls
    """
    pace = session.in_subscription(ResourceId.parse(registry.id).subscription).pace
    window = _windows.setdefault(pace, {}).setdefault(registry.id.lower(), _Window(pace.now))
    attempt, refused_at = 0, math.inf
    while True:
        try:
            async with window.seat(), pace.turn("writes"):
                return await work()
        except Throttled as error:
            refused_at = min(refused_at, pace.now())
            if error.source_limit or pace.now() - refused_at > IMPORT_DEADLINE_SECONDS:
                raise
            seconds = back_off(attempt, session.poll_seconds, error.retry_after)
            on_busy(error, seconds)
        attempt += 1
        await asyncio.sleep(seconds)


def back_off(attempt: int, base: float, asked: float | None) -> float:
    """Seconds to wait before the next attempt: doubled for each, with jitter, and not less than the service asks.

    :param attempt: 0 for the first
    :param base: seconds after the first
    :param asked: seconds that the service asks to wait, which counts up to the longest wait
    """
    most = min(LONGEST_SECONDS, base * 2.0 ** min(attempt, 16))
    return min(LONGEST_SECONDS, asked or 0.0) + most * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
