"""What existed stays, also in a deployment with a template that does not know it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from flows.prepare_cluster import prepare_cluster
from pratique.access.grant import open_access
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.cli.app import app
from pratique.errors import ConfigurationError, RemovalsRefused
from sandbox.services.acr.models import REGISTRY_TYPE
from tests.flows.conftest import MakeWorld
from tests.flows.test_cluster_stamp import configured
from tests.flows.world import OPENED, PROJECT, World
from tests.waiting import HANGS

RULE, SUBNET = (
    "203.0.113.7/32",
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
)
TAG = "owner"


def forgetful(cluster: World) -> World:
    """The same cluster with a template that takes neither the vault's rules nor its tags, and has a change."""
    template = json.loads((PROJECT / "infra/pre-cluster-stamp.json").read_text())
    for name in ("keyVaultIpRules", "keyVaultTags"):
        del template["parameters"][name]
    (vault,) = [one for one in template["resources"] if one["type"] == "Microsoft.KeyVault/vaults"]
    del vault["tags"]
    vault["properties"]["networkAcls"]["ipRules"] = []
    path = cluster.folder / "forgetful.json"
    path.write_text(json.dumps(template))
    return configured(cluster, cluster={"template": str(path)})


def add_foreign(cluster: World) -> None:
    """Somebody lets an address and a subnet into the vault, and tags vault and registry."""

    vault_id = cluster.vault_id

    async def put() -> None:
        resources = cluster.sandbox.azure.resources
        vault = resources.get(vault_id)
        (registry,) = [one for one in resources.list() if one["type"] == REGISTRY_TYPE]
        assert vault is not None
        acls = vault["properties"]["networkAcls"]
        acls |= {"ipRules": [*acls["ipRules"], {"value": RULE}], "virtualNetworkRules": [{"id": SUBNET}]}
        resources.put({**vault, "tags": {**vault["tags"], TAG: "payments"}})
        resources.put({**registry, "tags": {TAG: "platform"}})

    cluster.sandbox.run(put())


def has(cluster: World) -> tuple[bool, bool]:
    """Whether the vault has the foreign rule and the foreign tag."""
    vault = cluster.vault
    return RULE in vault["ipRules"], TAG in vault["tags"]


def deployed(cluster: World, since: int) -> int:
    """How often a deployment was started."""
    return sum(
        entry["method"] == "PUT" and "/deployments/" in entry["path"] and entry["status"] < 300
        for entry in cluster.requests(since)
    )


def check(cluster: World) -> tuple[int, list[str]]:
    outcome = CliRunner().invoke(app, ["check", cluster.written()])
    return outcome.exit_code, [line for line in outcome.output.splitlines() if " deployment: " in line]


async def test_removals_are_shown_refused_and_allowed(world: MakeWorld) -> None:
    """Plan and check name what would go and change nothing; a run refuses; when it is allowed, it goes."""
    cluster = world()
    await cluster.prepare()
    add_foreign(cluster)
    cluster = forgetful(cluster)
    since = cluster.last_request()
    plan = await cluster.plan()
    text = plan.text()
    for what in (f"firewall rule {RULE}", f"virtual network rule {SUBNET}", f"tag {TAG} = payments"):
        assert any(f"vaults/{cluster.vault_name}" in line and what in line for line in plan.removals), what
        assert what in text
    assert any("registries/" in line and f"tag {TAG} = platform" in line for line in plan.removals)
    assert any("would not deploy" in note and "cluster.removals" in note for note in plan.notes)
    assert any("keyVaultIpRules" in note and "cluster.ip_rules_parameter" in note for note in plan.notes)
    code, lines = await asyncio.to_thread(check, cluster)
    assert (code, [line.split()[0] for line in lines]) == (1, ["warn", "warn", "FAIL"])
    assert RULE in lines[-1]

    refused = await cluster.fail()
    assert isinstance(refused, RemovalsRefused)
    assert f"vaults/{cluster.vault_name}: firewall rule {RULE}" in refused.observed
    assert f"tag {TAG} = platform" in refused.observed
    assert "cluster.removals" in refused.remedy
    assert (has(cluster), deployed(cluster, since)) == ((True, True), 0)
    state: Any = await prepare_cluster(cluster.config, return_state=True)
    assert state.name == "Removals refused"

    allowed = configured(cluster, cluster={"removals": "allow"})
    code, lines = await asyncio.to_thread(check, allowed)
    assert (code, {line.split()[0] for line in lines}) == (0, {"warn", "pass"})
    assert not any("would not deploy" in note for note in (await allowed.plan()).notes)
    await allowed.prepare()
    assert (has(cluster), deployed(cluster, since)) == ((False, False), 1)


async def test_a_template_that_takes_rules_and_tags_keeps_them(world: MakeWorld) -> None:
    """The template of the project keeps the vault's rules and tags, also when no deployment names it."""
    cluster = world()
    await cluster.prepare()
    vault_id = cluster.vault_id

    async def put() -> None:
        vault = cluster.sandbox.azure.resources.get(vault_id)
        assert vault is not None
        vault["properties"]["networkAcls"]["ipRules"] = [{"value": RULE}]
        cluster.sandbox.azure.resources.put({**vault, "tags": {TAG: "payments"}})

    cluster.sandbox.run(put())
    changed = configured(cluster, cluster={"parameters": {"logRetentionInDays": 180}})
    assert (await changed.plan()).removals == ()
    await changed.prepare()
    assert has(cluster) == (True, True)
    since = cluster.last_request()
    renamed = configured(cluster, cluster={"deployment": "another-name"})
    await renamed.prepare()
    assert (has(cluster), deployed(cluster, since)) == ((True, True), 1)


async def test_a_lease_does_not_stop_a_deployment(world: MakeWorld) -> None:
    """What a run has opened is no reason to refuse; it is put back, and goes when its lease ends."""
    cluster = world()
    await cluster.prepare()
    vault, access = Vault(cluster.vault_name, cluster.vault_id), cluster.config.access
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient() as http:
        await open_access(session, http, vault, access, owner="another run")
    opened = cluster.access
    assert len(opened) == OPENED
    cluster = forgetful(cluster)
    since = cluster.last_request()
    await cluster.prepare()
    assert (cluster.access, deployed(cluster, since)) == (opened, 1)


async def test_parameters_that_a_template_does_not_know(world: MakeWorld, prefect: Path) -> None:
    """Check warns about those of the project, and fails for those of the configuration, with the key to change."""
    cluster = forgetful(world())
    code, lines = await asyncio.to_thread(check, cluster)
    assert (code, [line.split()[0] for line in lines]) == (0, ["warn", "warn", "pass"])
    assert "cluster.tags_parameter" in lines[1]
    process = cluster.start(prefect)
    output, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors
    assert "cluster.ip_rules_parameter" in output + errors
    wrong = configured(cluster, cluster={"parameters": {"keyVaultIpRules": []}})
    code, lines = await asyncio.to_thread(check, wrong)
    assert (code, lines[0].split()[0]) == (1, "FAIL")
    with pytest.raises(ConfigurationError, match=r"cluster\.parameters\.keyVaultIpRules"):
        await wrong.plan()


async def test_what_cannot_be_predicted(world: MakeWorld) -> None:
    """Without a prediction nothing is deployed, unless removals are allowed."""
    cluster = world()
    fault = cluster.sandbox.azure.faults.add(kind="status", status=403, path="*/whatIf", times=None)
    await cluster.fail()
    assert (cluster.state()["vaults"], fault.hits > 0) == ({}, True)
    await configured(cluster, cluster={"removals": "allow"}).prepare()
    assert cluster.state()["vaults"] != {}
