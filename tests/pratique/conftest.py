"""A session of the product with the running sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pratique.azure.session import AzureSession
from tests.conftest import RunningSandbox
from tests.pratique.repositories import make_remote
from tests.pratique.writers import Writers


@pytest.fixture
async def session(sandbox: RunningSandbox) -> AsyncIterator[AzureSession]:
    """Opened from the environment alone, as in production; only its own polling is quick."""
    async with AzureSession.open(poll_seconds=0.05) as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that Azure needs and the local one does not."""
    Writers(monkeypatch)
    monkeypatch.setattr("pratique.access.grant.PROBE_SECONDS", 0.01)
    monkeypatch.setattr("pratique.access.revoke.PAUSES", (0.0,) * 5)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository whose branch main holds one file."""
    return make_remote(tmp_path)
