"""Templates are deployed once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.azure.deployments import (
    Deployment,
    ensure_deployment,
    find_deployment,
    read_outputs,
    same_parameters,
)
from pratique.azure.session import AzureSession
from pratique.azure.templates import load_template
from pratique.errors import ConfigurationError, NotFound, OperationFailed
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP, spoke_network_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import jump
from tests.waiting import until

SPOKE = "spoke-BU0001A0005-01"
NAME = "small"


def template(**parameters: Any) -> dict[str, Any]:
    """One identity, named by a parameter."""
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {"name": {"type": "string"}, **parameters},
        "resources": [
            {
                "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
                "apiVersion": "2023-01-31",
                "name": "[parameters('name')]",
                "location": "centralus",
            }
        ],
        "outputs": {"made": {"type": "string", "value": "[parameters('name')]"}},
    }


def puts(sandbox: RunningSandbox) -> int:
    """How often a deployment was really asked for."""
    return sum(
        1
        for entry in sandbox.azure.requests.since(0)
        if entry.method == "PUT" and "/deployments/" in entry.path and entry.status in (200, 201)
    )


async def test_outputs_of_a_deployment_that_somebody_made(session: AzureSession, sandbox: RunningSandbox) -> None:
    """The spoke's network is found where the network team put it."""
    outputs = await read_outputs(session, SPOKE_GROUP, SPOKE)
    assert outputs["clusterVnetResourceId"] == spoke_network_id(sandbox.azure)


async def test_a_missing_deployment_is_told_with_its_command(session: AzureSession) -> None:
    """The remedy is the command that makes it."""
    with pytest.raises(NotFound, match=f"az deployment group create -g {SPOKE_GROUP} -n nowhere"):
        await read_outputs(session, SPOKE_GROUP, "nowhere")


async def test_the_same_again_is_left_alone(session: AzureSession, sandbox: RunningSandbox) -> None:
    """Deployed once, then unchanged; another parameter deploys, a volatile one does not, and `force` always does."""
    spare = template(spare={"type": "string", "defaultValue": ""})
    first = await ensure_deployment(session, CLUSTER_GROUP, NAME, spare, {"name": "id-a"})
    same = await ensure_deployment(session, CLUSTER_GROUP, NAME, spare, {"name": "id-a"})
    assert (first.outcome, first.outputs) == ("deployed", {"made": "id-a"})
    assert (same.outcome, same.outputs) == ("unchanged", {"made": "id-a"})
    volatile = await ensure_deployment(
        session, CLUSTER_GROUP, NAME, spare, {"name": "id-a", "spare": "x"}, volatile=frozenset({"spare"})
    )
    assert (volatile.outcome, puts(sandbox)) == ("unchanged", 1)
    other = await ensure_deployment(session, CLUSTER_GROUP, NAME, spare, {"name": "id-b"})
    again = await ensure_deployment(session, CLUSTER_GROUP, NAME, spare, {"name": "id-b"}, force=True)
    assert (other.outcome, again.outcome, puts(sandbox)) == ("deployed", "deployed", 3)


async def test_another_template_is_deployed(session: AzureSession) -> None:
    """The hash that Azure calculates decides, not the parameters alone."""
    await ensure_deployment(session, CLUSTER_GROUP, NAME, template(), {"name": "id-a"})
    changed = template()
    changed["outputs"]["also"] = {"type": "string", "value": "x"}
    done = await ensure_deployment(session, CLUSTER_GROUP, NAME, changed, {"name": "id-a"})
    assert (done.outcome, done.outputs["also"]) == ("deployed", "x")


async def test_one_that_is_running_is_joined(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs at once make one deployment, and all get its outputs."""
    sandbox, joining = start_sandbox(speed=0), set[object]()

    async def look(*arguments: Any) -> Deployment | None:
        found = await find_deployment(*arguments)
        if found is not None and found.state != "Succeeded":
            joining.add(asyncio.current_task())
        return found

    monkeypatch.setattr("pratique.azure.deployments.find_deployment", look)
    async with AzureSession.open(poll_seconds=0.05) as session:
        asked = [ensure_deployment(session, CLUSTER_GROUP, NAME, template(), {"name": "id-a"}) for _ in range(3)]
        runs = [asyncio.create_task(one) for one in asked]
        await until(lambda: len(joining) == 2)
        await asyncio.to_thread(jump, sandbox, sandbox.azure.scenario.timings.deployment)
        done = await asyncio.gather(*runs)
    assert sorted(one.outcome for one in done) == ["deployed", "joined", "joined"]
    assert [one.outputs for one in done] == [{"made": "id-a"}] * 3
    assert puts(sandbox) == 1


async def test_a_failure_names_the_resource(session: AzureSession) -> None:
    """Innermost cause and failed resource, although the operation's poll was answered with 200."""
    broken = template()
    broken["resources"][0] |= {"type": "Microsoft.KeyVault/vaults", "properties": {}}
    with pytest.raises((OperationFailed, ConfigurationError)) as failed:
        await ensure_deployment(session, CLUSTER_GROUP, NAME, broken, {"name": "x"})
    assert "vaults" in failed.value.observed.lower() or "vault" in failed.value.observed.lower()
    found = await find_deployment(session, CLUSTER_GROUP, NAME)
    assert found is None or found.state == "Failed"


async def test_what_validation_refuses_is_the_configurations_fault(session: AzureSession) -> None:
    """A missing parameter is found before anything is deployed."""
    with pytest.raises(ConfigurationError, match="name"):
        await ensure_deployment(session, CLUSTER_GROUP, NAME, template(), {})
    assert await find_deployment(session, CLUSTER_GROUP, NAME) is None


@pytest.mark.parametrize(
    ("recorded", "given", "same"),
    [
        ({"a": {"type": "String", "value": "1"}}, {"a": "1"}, True),
        ({"A": {"type": "String", "value": "1"}}, {"a": "1"}, True),
        ({"a": {"type": "String", "value": "1"}}, {"a": "2"}, False),
        ({"a": {"type": "String", "value": "1"}}, {}, False),
        ({"d": {"type": "String", "value": "default"}}, {}, True),
        ({"d": {"type": "String", "value": "once given"}}, {}, False),
        ({"e": {"type": "String", "value": "centralus"}}, {}, True),
        ({"s": {"type": "SecureString"}}, {"s": "1"}, False),
        ({}, {"a": "1"}, False),
    ],
)
def test_parameters_are_compared(recorded: dict[str, Any], given: dict[str, Any], same: bool) -> None:
    """By name without case; defaults count; what is secure is never the same."""
    declared = {"parameters": {"d": {"defaultValue": "default"}, "e": {"defaultValue": "[resourceGroup().location]"}}}
    assert same_parameters(declared, recorded, given, ()) is same


async def test_a_template_may_hold_comments(tmp_path: Path) -> None:
    """As the az CLI accepts it: comments go, slashes in strings stay."""
    path = tmp_path / "stamp.json"
    path.write_text('{ // one\n "resources": [], /* two\n lines */ "$schema": "https://x//y" }')
    assert await load_template(path) == {"resources": [], "$schema": "https://x//y"}


@given(st.dictionaries(st.text(), st.text(), max_size=5))
async def test_json_is_read_as_it_is(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    """Whatever strings hold, nothing is taken for a comment."""
    path = tmp_path_factory.mktemp("t") / "stamp.json"
    path.write_text(json.dumps({**values, "resources": []}))
    assert await load_template(path) == {**values, "resources": []}


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"resources": '])
async def test_what_is_no_template_is_refused(tmp_path: Path, text: str) -> None:
    """The file is named."""
    path = tmp_path / "stamp.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"stamp\.json"):
        await load_template(path)


async def test_bicep_needs_its_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the command that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="az bicep install"):
        await load_template(tmp_path / "stamp.bicep")


async def test_bicep_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the compiler on the path; what it complains of is passed on."""
    compiler = tmp_path / "bicep"
    compiler.write_text(
        '#!/bin/sh\ncase "$3" in *good*) echo \'{"resources": []}\';; *) echo BCP018 >&2; exit 1;; esac\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert await load_template(tmp_path / "good.bicep") == {"resources": []}
    with pytest.raises(ConfigurationError, match="BCP018"):
        await load_template(tmp_path / "bad.bicep")
