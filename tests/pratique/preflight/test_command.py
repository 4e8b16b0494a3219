"""``pratique probe`` as a command, on a cluster that was deployed, and under the pipeline's own roles."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from pathlib import Path

import httpx
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pratique.azure.registries import Upstream, import_image, oci_client
from pratique.azure.session import AzureSession
from pratique.cli.app import app
from pratique.cluster.deploy import deploy
from pratique.cluster.infrastructure import read_network
from pratique.preflight.probe.place import Place
from pratique.preflight.probe.run import PROBES
from sandbox.core.rbac import RoleDefinition
from sandbox.services.alerts.state import Alerts
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.flows.world import KURED, PROJECT, make_config
from tests.pratique.preflight.probed import FALCO, Prepare, bring, leaked, scenario
from tests.sandbox.callers import jump
from tests.sandbox.defending import scans_end
from tests.waiting import until

CERTIFICATE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
#: Questions that take more than the pipeline's roles.
MORE = {"alert.delay", "api.versions"}


async def test_a_deployed_cluster(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """The command prints the report, writes it as JSON, tells no names, and sees an alert."""
    sandbox = start_sandbox(scenario())
    config = make_config(tmp_path, sandbox.azure.home.directory, ((KURED,),))
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient() as http:
        network = await read_network(session, config.network)
        found = await deploy(
            session, config.cluster, config.network, network, CERTIFICATE, registries=config.registries
        )
        place = Place(config, session, oci_client(session, http, {}), await session.caller(), found)
        await bring(place, (KURED,), live=True)
        source = Upstream("docker.io", "falcosecurity/falcoctl", FALCO.rpartition(":")[2])
        await import_image(session, found.registry, source=source, targets=["live/falcosecurity/falcoctl:bypassed"])
    await scans_end(sandbox)
    await asyncio.to_thread(jump, sandbox, 1200.0)
    await until(lambda: bool(sandbox.azure.state(Alerts).alerts))
    path, output = tmp_path / "bootstrap.yaml", tmp_path / "probe.json"
    YAML().dump(config.model_dump(mode="json", exclude_none=True), path)
    command = ["probe", str(path), "--output", str(output)]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert result.exit_code == 0, result.output
    answers = {answer["id"]: answer for answer in json.loads(output.read_text())["answers"]}
    assert answers["alert.delay"]["state"] == "seen"
    assert any("from the first event" in line for line in answers["alert.delay"]["observed"])
    assert answers["log.logins"]["observed"][0].startswith("the object id of this identity")
    assert answers["registry.mode"]["fits"] == "The default fits."
    assert f"{len(answers)} questions: " in result.output
    assert leaked(result.output + output.read_text(), sandbox) == []


async def test_nothing_could_be_read(prepare: Prepare, tmp_path: Path) -> None:
    """When every source refuses, the command says so with exit code 1."""
    world = await prepare(scenario(), (KURED,), live=False)
    path = tmp_path / "bootstrap.yaml"
    YAML().dump(world.config.model_dump(mode="json", exclude_none=True), path)
    world.sandbox.azure.faults.add(kind="status", status=403, host="management.azure.com", times=None)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["probe", str(path)])
    assert result.exit_code == 1
    assert "0 seen" in result.output


async def test_the_roles_of_the_pipeline_answer_most(prepare: Prepare) -> None:
    """Under the pipeline's roles only a few questions stay open; each names the right that the documentation lists."""
    world = await prepare(scenario(), (KURED,))
    await asyncio.to_thread(
        hold_only, world.sandbox, ("pipeline-role", "pipeline-role-registry", "pipeline-role-subscription")
    )
    found = await world.answers()
    assert {name for name, answer in found.items() if answer.state == "not read"} == MORE
    page = (PROJECT / "docs" / "probe.md").read_text()
    for question in MORE:
        rights = re.findall(r"Microsoft\.[\w/]+", found[question].needs)
        assert rights
        assert all(f"`{right}`" in page for right in rights)


async def test_rights_are_what_is_checked(prepare: Prepare) -> None:
    """With the rights that the answers name, and no others, everything is read."""
    world = await prepare(scenario(), (KURED,))
    rights = {right for probe in PROBES for right in re.findall(r"Microsoft\.[\w/]+", probe.needs)}
    own = {"Microsoft.Authorization/permissions/read", "Microsoft.Resources/subscriptions/resourceGroups/read"}
    await asyncio.to_thread(hold_only, world.sandbox, (), tuple(rights | own))
    found = await world.answers()
    # There is no alert rule without a deployment.
    assert {name for name, answer in found.items() if answer.state == "not read"} == {"alert.delay"}
    assert found["alert.delay"].observed == ("could not be read: not found",)


def hold_only(sandbox: RunningSandbox, roles: tuple[str, ...], actions: tuple[str, ...] = ()) -> None:
    """Take all roles from the identity, and give it these roles of ``infra/``, or these actions on the subscription."""
    azure = sandbox.azure
    me, subscription = azure.scenario.identity.object_id, f"/subscriptions/{azure.subscription_id}"
    granted = [(subscription, actions)] if actions else []
    for role in roles:
        scope = subscription if role == "pipeline-role-subscription" else group_id(azure, CLUSTER_GROUP)
        granted.append((scope, tuple(json.loads((PROJECT / "infra" / f"{role}.json").read_text())["Actions"])))

    async def change() -> None:
        for assignment in azure.access.assignments():
            if assignment.principal_id == me:
                azure.access.unassign(assignment.id)
        for scope, allowed in granted:
            definition = RoleDefinition(guid=str(uuid.uuid4()), name=f"probe {scope}", actions=allowed)
            azure.access.roles[definition.guid] = definition
            azure.access.assign(role=definition.guid, principal_id=me, scope=scope, at_once=True)

    sandbox.run(change())
