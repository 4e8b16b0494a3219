"""Registries to probe."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.scenario import Scenario
from tests.conftest import StartSandbox
from tests.pratique.preflight.probed import IMAGES, Prepare, Probed, probed


@pytest.fixture
def prepare(start_sandbox: StartSandbox, tmp_path: Path) -> Prepare:
    """Makes a registry with scanned images on a local Azure with the given scenario."""

    async def make(scenario: Scenario, images: tuple[str, ...] = IMAGES, *, live: bool = True) -> Probed:
        return await probed(start_sandbox(scenario), tmp_path, images, live)

    return make
