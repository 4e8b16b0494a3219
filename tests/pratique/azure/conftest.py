"""A session of the product with the running sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pratique.azure.session import AzureSession
from tests.conftest import RunningSandbox


@pytest.fixture
async def session(sandbox: RunningSandbox) -> AsyncIterator[AzureSession]:
    """Opened from the environment alone, as in production; only its own polling is quick."""
    async with AzureSession.open(poll_seconds=0.05) as opened:
        yield opened
