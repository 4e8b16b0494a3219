"""A bar in Prefect's UI that moves on as each of several things ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

T = TypeVar("T")


class Progress:
    """One bar, as an artifact of the run in which it is begun."""

    def __init__(self, artifact: UUID, total: int) -> None:
        self._artifact = artifact
        self._total = total
        self._done = 0
        self._shown = 0
        self._updating = asyncio.Lock()

    @classmethod
    async def begin(cls, key: str, about: str, total: int) -> Progress:
        """Show an empty bar.

        :param total: how many things there are
        """
        return cls(await acreate_progress_artifact(0, key=key, description=about), total)

    async def of(self, work: Awaitable[T]) -> T:
        """One of the things: the bar moves on once it has ended well, by whole percents."""
        result = await work
        self._done += 1
        async with self._updating:
            percent = 100 * self._done // self._total
            if percent > self._shown:
                self._shown = percent
                await aupdate_progress_artifact(self._artifact, percent)
        return result
