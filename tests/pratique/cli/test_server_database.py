"""Which database a Prefect server uses: on SQLite here, on PostgreSQL in ``make test-postgres``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from pratique.cli.automations import read_files
from pratique.cli.server_database import WARNINGS, ServerDatabase, server_database
from tests.installation import prefect_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's server on SQLite, to which this process's clients talk."""
    with (
        prefect_server(tmp_path_factory.mktemp("server")) as started,
        temporary_settings({PREFECT_API_URL: started.url}),
    ):
        yield


async def test_sqlite_is_recognised(server: None) -> None:
    """By a flow that is there."""
    async with get_client() as client:
        await client.create_flow_from_name("prepare_cluster")
        assert await server_database(client, "prepare_cluster") is ServerDatabase.SQLITE


async def test_nothing_is_claimed_without_a_search_that_works(server: None) -> None:
    """A flow that the server does not find says nothing about its database."""
    async with get_client() as client:
        assert await server_database(client, "no_such_flow") is ServerDatabase.UNKNOWN


def test_the_automation_to_switch_off_exists() -> None:
    """Warnings name it as the UI shows it."""
    name = read_files()["crash-zombies.yaml"]["name"]
    assert all(f'"{name}"' in warning for warning in WARNINGS.values())
