"""``pratique deploy`` with configurations, on a real Prefect server: blue's and green's deployments side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pratique.cli.configured_deployments import Configured, deployment_names
from tests.installation import ROOT, Server, prefect_server

EXAMPLE = ROOT / "examples" / "bootstrap.yaml"
REMOTE = "https://github.com/contoso/clusters.git"
#: What deploying sets, and a person may change.
KEPT = ("id", "parameters", "parameter_openapi_schema", "tags", "entrypoint", "work_pool_name")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with blue's deployments, whose configuration is a file."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as started:
        started.deploy("--config", str(EXAMPLE), "--name", "blue")
        yield started


def deployments(server: Server, name: str) -> dict[str, dict[str, Any]]:
    """The deployments of a name, by FLOW/DEPLOYMENT, without what the server changes by itself."""
    listed = [entry for entry in deployment_names(Configured(name=name)) if entry.endswith(f"/{name}")]
    found = {entry: server.get(f"/deployments/name/{entry}") for entry in listed}
    return {
        entry: {key: one[key] for key in KEPT}
        | {"schedules": [(schedule["id"], schedule["active"]) for schedule in one["schedules"]]}
        for entry, one in found.items()
    }


def switch_on(server: Server, deployment: str) -> None:
    """Switch on the schedule, as a person does in the UI."""
    found = server.get(f"/deployments/name/{deployment}")
    address = f"{server.url}/deployments/{found['id']}/schedules/{found['schedules'][0]['id']}"
    httpx.patch(address, json={"active": True}, trust_env=False, timeout=600).raise_for_status()


def test_greens_deployments_change_nothing_of_blues(server: Server) -> None:
    """Nor does deploying green again; green's form asks for the place of its configuration, and each run has it."""
    switch_on(server, "release_images/blue")
    before = deployments(server, "blue")
    assert before["prepare_cluster/blue"]["parameters"]["config"]["cluster"]
    (schedule,) = before["release_images/blue"]["schedules"]
    assert schedule[1] is True

    green = ("--config-from", REMOTE, "--path", "clusters/green.yaml", "--name", "green")
    for _ in range(2):
        server.deploy(*green)
        assert deployments(server, "blue") == before

    made = deployments(server, "green")
    assert {one.partition("/")[0] for one in made} == {one.partition("/")[0] for one in before}
    place = {"remote": REMOTE, "path": "clusters/green.yaml"}
    for one in made.values():
        assert one["parameters"]["config"] == place
        field = one["parameter_openapi_schema"]["properties"]["config"]
        assert field["$ref"].endswith("/ConfigSource")
        assert "anyOf" not in field
    run = server.run("release_images/green", {"only": ["docker.io/library/redis:7"]})
    assert server.read(run)["parameters"] == {"config": place, "only": ["docker.io/library/redis:7"]}


def test_the_shared_deployments_stay_without_a_configuration(server: Server) -> None:
    """A named configuration is not put on those that everybody uses."""
    listed = [name for name in deployment_names(Configured()) if not name.endswith(("/blue", "/green"))]
    assert listed
    assert all("config" not in server.get(f"/deployments/name/{name}")["parameters"] for name in listed)


def test_a_form_refuses_another_kind_of_configuration(server: Server) -> None:
    """Blue's deployments take a configuration, and the server refuses the place of one there."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        server.run("release_images/blue", {"config": {"remote": REMOTE}})
    assert refused.value.response.status_code in (409, 422)
