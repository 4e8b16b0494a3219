"""A Prefect server for all tests of a worker, and a cluster's world for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_TIMEOUT,
    PREFECT_API_DATABASE_TIMEOUT,
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from sandbox.scenario import Scenario, Timings
from tests.conftest import SPEED, StartSandbox
from tests.flows.world import KURED, World, make_world
from tests.pratique.writers import Writers
from tests.waiting import HANGS

#: Access that counts at once: the product waits between two looks whether it does, whatever Azure's speed.
PROMPT = Timings(role_assignment=0, firewall_rule=0, graph=0)


class MakeWorld(Protocol):
    def __call__(
        self,
        releases: Sequence[Sequence[str]] | None = ((KURED,),),
        scenario: Scenario | None = None,
        *,
        speed: float = SPEED,
    ) -> World: ...


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prefect's server, with a home of its own. It starts before any sandbox sets a proxy."""
    home = tmp_path_factory.mktemp("prefect")
    settings = {
        PREFECT_HOME: home,
        PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        PREFECT_API_REQUEST_TIMEOUT: HANGS,
        PREFECT_API_DATABASE_CONNECTION_TIMEOUT: HANGS,
        PREFECT_API_DATABASE_TIMEOUT: HANGS,
    }
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=int(HANGS)):
        yield home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that Azure needs and the local one does not."""
    monkeypatch.setattr("pratique.access.grant.PROBE_SECONDS", 0.1)
    Writers(monkeypatch)


@pytest.fixture
def world(prefect: Path, tmp_path: Path, start_sandbox: StartSandbox) -> MakeWorld:
    """Makes a cluster's world; the default is one image, and access that takes effect at once."""

    def make(
        releases: Sequence[Sequence[str]] | None = ((KURED,),),
        scenario: Scenario | None = None,
        *,
        speed: float = SPEED,
    ) -> World:
        return make_world(tmp_path, start_sandbox(scenario or Scenario(timings=PROMPT), speed=speed), releases)

    return make
