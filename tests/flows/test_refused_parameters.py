"""What a refused configuration leaves behind: no secret that it held, as far as this project can prevent that."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.exceptions import ParameterTypeError, PrefectHTTPStatusError
from prefect.logging.handlers import APILogHandler

from flows.prepare_cluster import prepare_cluster
from tests.flows.conftest import MakeWorld
from tests.flows.test_forms import deployed, start
from tests.flows.test_secrets import stored

SECRET = "Zq8kV3mW5tXy7RbN"
PAST_THE_FORM = "Yw4nT9pLc2HsJd6G"  # a deleted run stays in pages of the database's file
REMOTES = {
    "password": f"https://me:{SECRET}@git.contoso.com/x",
    "token": f"https://{SECRET}@git.contoso.com/x",
    "SSH": f"ssh://git:{SECRET}@git.contoso.com/x",
    "scp": f"me:{SECRET}@git.contoso.com:x",
    "SAS": f"https://git.contoso.com/x?se=1&sig={SECRET}",
    "encoded": f"https%3A%2F%2Fme%3A{SECRET}%40git.contoso.com%2Fx",
}


def with_remote(config: dict[str, Any], remote: str) -> dict[str, Any]:
    return {**config, "manifests": {**config["manifests"], "remote": remote}}


def places(home: Path, secret: str) -> list[str]:
    """Where Prefect has the secret: tables and files of the database, results."""
    return [place for place, trace in stored(home).items() if secret.encode() in trace]


async def test_the_server_stores_no_refused_parameter(
    world: MakeWorld, prefect: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a run nor a deployment's own parameters are stored with a secret in an address."""
    caplog.set_level(logging.DEBUG)
    config = world().config.model_dump(mode="json")
    deployment = await deployed(prepare_cluster)
    await start(deployment, config=config)
    for remote in REMOTES.values():
        wrong = with_remote(config, remote)
        with pytest.raises(PrefectHTTPStatusError) as refused:
            await start(deployment, config=wrong)
        assert refused.value.response.status_code in (409, 422)
        async with get_client() as client:
            with pytest.raises(PrefectHTTPStatusError):
                await client.update_deployment(deployment, DeploymentUpdate(parameters={"config": wrong}))
    assert places(prefect, SECRET) == []


async def test_a_run_that_gets_it_repeats_it_nowhere(
    world: MakeWorld, prefect: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prefect stores what is called past the form, in the run's parameters. The run adds no log, state or event."""
    caplog.set_level(logging.DEBUG)
    config = world().config.model_dump(mode="json")
    wrong: Any = with_remote(config, REMOTES["password"].replace(SECRET, PAST_THE_FORM))
    wrong["gate"]["brunch"] = PAST_THE_FORM
    with pytest.raises(ParameterTypeError) as refused:
        await prepare_cluster(wrong)
    await APILogHandler.aflush()
    assert "manifests.remote" in str(refused.value)
    assert PAST_THE_FORM not in str(refused.value)
    assert PAST_THE_FORM not in caplog.text
    assert "".join(capfd.readouterr()).count(PAST_THE_FORM) == 0
    tables = {place for place in places(prefect, PAST_THE_FORM) if place.startswith("table ")}
    assert tables <= {"table flow_run"}
    async with get_client() as client:
        for run in await client.read_flow_runs():
            if PAST_THE_FORM in str(run.parameters):
                await client.delete_flow_run(run.id)
    # docs/security.md says to delete the run.
    assert [place for place in places(prefect, PAST_THE_FORM) if place.startswith("table ")] == []
