"""The forms of Prefect's UI: every field explains itself, and the server refuses what is wrong before a run exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Scheduled
from prefect.utilities.callables import parameter_schema

from flows.drill_quarantine_bypass import drill_quarantine_bypass
from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from flows.renew_certificate import renew_certificate
from flows.rescan_live import rescan_live
from flows.seal_live import seal_live
from flows.sweep_access import sweep_access
from pratique.config.drill import CONFIRMATION
from tests.flows.conftest import MakeWorld

FLOWS: list[Flow[Any, Any]] = [
    prepare_cluster,
    release_images,
    renew_certificate,
    rescan_live,
    seal_live,
    sweep_access,
    drill_quarantine_bypass,
]


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Path, schema and description of each field of each group."""
    groups = {"": schema, **schema["definitions"]}
    for group, its in groups.items():
        for name, field in its.get("properties", {}).items():
            nested = [part["$ref"] for part in (field, *field.get("allOf", ())) if "$ref" in part]
            about = field.get("description") or "".join(
                groups[ref.rpartition("/")[2]].get("description", "") for ref in nested
            )
            yield f"{group}.{name}", field, about


@pytest.mark.parametrize("shown", FLOWS, ids=lambda shown: str(shown.name))
def test_every_field_explains_itself(shown: Flow[Any, Any]) -> None:
    """Each has a place in the form and says what it is for, and none is one of a secret itself."""
    schema = parameter_schema(shown).model_dump()
    for path, field, about in fields(schema):
        assert "position" in field, path
        assert about.strip(), path
        assert field.get("format") != "password", path
        assert field.get("title") or "$ref" in field or "allOf" in field, path


async def deployed(shown: Flow[Any, Any]) -> UUID:
    async with get_client() as client:
        return await client.create_deployment(
            await client.create_flow(shown),
            "form",
            parameter_openapi_schema=parameter_schema(shown).model_dump_for_openapi(),
            enforce_parameter_schema=True,
        )


async def start(deployment: UUID, **parameters: Any) -> None:
    async with get_client() as client:
        await client.create_flow_run_from_deployment(deployment, parameters=parameters, state=Scheduled())


@pytest.mark.parametrize(
    ("group", "field", "wrong"),
    [
        ("access", "network", "sometimes"),
        ("access", "lease_minutes", 3),
        ("cluster", "resource_group", "a group/"),
        ("certificate", "pem", "-----BEGIN PRIVATE KEY-----"),
        ("gate", "brunch", "main"),
    ],
)
async def test_the_server_refuses(group: str, field: str, wrong: object, world: MakeWorld, prefect: Path) -> None:
    """A value outside its choices, bounds or pattern, or for no field at all, makes no run; the right ones make one."""
    config = world().config.model_dump(mode="json")
    deployment = await deployed(prepare_cluster)
    await start(deployment, config=config)
    config[group][field] = wrong
    with pytest.raises(PrefectHTTPStatusError) as refused:
        await start(deployment, config=config)
    assert refused.value.response.status_code in (409, 422)
    assert field in refused.value.response.text


@pytest.mark.parametrize("typed", ["", "yes", CONFIRMATION.upper(), f"{CONFIRMATION}!"])
async def test_a_drill_has_to_be_confirmed(typed: str, world: MakeWorld, prefect: Path) -> None:
    """The server makes no run of a drill for anything but the words themselves, nor without any."""
    config = world().config.model_dump(mode="json")
    deployment = await deployed(drill_quarantine_bypass)
    await start(deployment, config=config, confirm=CONFIRMATION)
    for parameters in ({"confirm": typed}, {}):
        with pytest.raises(PrefectHTTPStatusError):
            await start(deployment, config=config, **parameters)
