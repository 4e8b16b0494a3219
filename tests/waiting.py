"""How tests wait: for what happens, however long the machine takes, and in vain only when something hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

#: Seconds after which something hangs. No test waits for them to pass.
HANGS = 600.0
#: Seconds of Azure's time, for faults that last until the clock jumps by them: it does not get there by itself.
UNTIL_A_JUMP = 2 * 86_400.0


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again at what happens in another thread or process until it is so."""

    async def met() -> bool:
        return await asyncio.to_thread(condition)

    await until_met(met)


async def until_met(condition: Callable[[], Awaitable[bool]]) -> None:
    """The same for what has to be awaited to be seen."""
    async with asyncio.timeout(HANGS):
        while not await condition():  # noqa: ASYNC110  # nothing tells when it is so
            await asyncio.sleep(0.01)
