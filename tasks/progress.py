"""A progress bar in Prefect's UI for several pieces of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

T = TypeVar("T")


class Progress:
    """A progress bar, as an artifact of the run that creates it."""

    def __init__(self, artifact: UUID, total: int) -> None:
        self._artifact = artifact
        self._total = total
        self._done = 0
        self._shown = 0
        self._updating = asyncio.Lock()

    @classmethod
    async def begin(cls, key: str, about: str, total: int) -> Progress:
        """Show an empty bar.

        :param total: number of pieces of work
        """
        return cls(await acreate_progress_artifact(0, key=key, description=about), total)

    async def track(self, work: Awaitable[T]) -> T:
        """Await a piece of work, and advance the bar when it succeeds, in whole percents."""
        result = await work
        self._done += 1
        async with self._updating:
            percent = 100 * self._done // self._total
            if percent > self._shown:
                self._shown = percent
                await aupdate_progress_artifact(self._artifact, percent)
        return result
