"""Writers of a vault's firewall in this process, known one by one instead of by how long they take at most."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pratique.azure import firewall


class Writers:
    """Lets a change of the firewall settle for exactly as long as others take from their GET to the end of their PATCH.

    Azure's clients are given seconds for that, which is never enough for those of a machine that is busy enough.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._between: dict[asyncio.Task[Any] | None, asyncio.Event] = {}
        self._converge, self._get, self._patch = firewall._converge, firewall._get, firewall._patch
        monkeypatch.setattr(firewall, "_converge", self.converge)
        monkeypatch.setattr(firewall, "_get", self.get)
        monkeypatch.setattr(firewall, "_patch", self.patch)
        monkeypatch.setattr(firewall, "_settle", self.settle)

    async def converge(self, *arguments: Any, **options: Any) -> Any:
        self._tasks.add(asyncio.current_task())
        try:
            return await self._converge(*arguments, **options)
        finally:
            self._tasks.discard(asyncio.current_task())
            self._written()

    async def get(self, *arguments: Any) -> Any:
        if (task := asyncio.current_task()) in self._tasks:
            self._written()
            self._between[task] = asyncio.Event()
        return await self._get(*arguments)

    async def patch(self, *arguments: Any) -> Any:
        try:
            return await self._patch(*arguments)
        finally:
            self._written()

    async def settle(self) -> None:
        self._written()
        await asyncio.gather(*(other.wait() for other in list(self._between.values())))

    def _written(self) -> None:
        """What this writer has read it does not write any more."""
        if (between := self._between.pop(asyncio.current_task(), None)) is not None:
            between.set()
