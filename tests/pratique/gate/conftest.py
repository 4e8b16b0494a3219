"""Starts a sandbox with an empty quarantine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from sandbox.scenario import Scenario
from tests.conftest import SPEED, StartSandbox
from tests.pratique.gate.quarantine import Quarantine, opened


class Open(Protocol):
    def __call__(self, scenario: Scenario, *, speed: float = SPEED) -> Awaitable[Quarantine]: ...


@pytest.fixture
async def quarantine(start_sandbox: StartSandbox) -> AsyncIterator[Open]:
    """Opens the quarantine of a scenario, which is closed after the test."""
    async with AsyncExitStack() as closing:

        async def start(scenario: Scenario, *, speed: float = SPEED) -> Quarantine:
            return await closing.enter_async_context(opened(start_sandbox(scenario, speed=speed)))

        yield start
