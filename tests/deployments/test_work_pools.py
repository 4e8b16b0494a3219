"""deployments/work-pools against the server's rules, and against what Prefect's own workers of these types read."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from prefect.server.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import find_placeholders

from pratique.cli.deployment_files import POOL, PoolType

VIEW = "api/collections_data/views/aggregate-worker-metadata.json"
SECRETIVE = re.compile(r"password|secret|token|api_key|auth_string", re.IGNORECASE)


def template(kind: PoolType) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(kind.template.read_text())
    return content


def prefects_own(kind: PoolType) -> dict[str, Any]:
    """The template with which Prefect creates pools of the type: it says what the worker reads."""
    packages = json.loads(resources.files("prefect.server").joinpath(VIEW).read_text()).values()
    (worker,) = [workers[kind] for workers in packages if kind in workers]
    content: dict[str, Any] = worker["default_base_job_configuration"]
    return content


@pytest.mark.parametrize("kind", PoolType)
def test_the_server_takes_it(kind: PoolType) -> None:
    """Every placeholder is declared; every variable is used, and its default is what its schema allows."""
    content = template(kind)
    WorkPoolCreate(name=POOL, type=kind, base_job_template=content)
    schema = content["variables"]
    used = {found.name for found in find_placeholders(json.dumps(content["job_configuration"]))}
    assert used == {*schema["properties"]}
    defaults = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(defaults, {**schema, "required": []})


@pytest.mark.parametrize("kind", PoolType)
def test_the_worker_reads_it(kind: PoolType) -> None:
    """No part is one of which the worker knows nothing; none that it cannot do without is missing."""
    own = prefects_own(kind)
    parts = {*template(kind)["job_configuration"]}
    assert parts <= {*own["job_configuration"]}
    assert {*own["variables"].get("required", [])} <= {*template(kind)["variables"].get("required", [])} | {
        name for name, one in template(kind)["variables"]["properties"].items() if "default" in one
    }


@pytest.mark.parametrize("kind", PoolType)
def test_runs_send_heartbeats_as_often_as_the_automation_expects(kind: PoolType) -> None:
    """At Prefect's default of 180 seconds healthy runs would be taken for dead ones."""
    environment = template(kind)["variables"]["properties"]["env"]["default"]
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert not any(SECRETIVE.search(name) for name in environment)
