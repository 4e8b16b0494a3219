"""How tests wait for an event: as long as the machine takes, and up to a limit that only a hang reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

#: Seconds after which a test has hung. No test waits until they have passed.
HANGS = 600.0
#: Azure seconds: a fault of this length lasts until the test moves the clock past it.
UNTIL_A_JUMP = 2 * 86_400.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that another thread or process makes true."""

    async def met() -> bool:
        return await asyncio.to_thread(condition)

    await until_met(met)


async def until_met(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds that has to be awaited."""
    async with asyncio.timeout(HANGS):
        while not await condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)
