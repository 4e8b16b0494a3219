"""The pipeline's own roles, under their conditions, are enough for all that it does, and none of their rights too much.

That holds in both kinds of a registry's permissions, each with the roles that are for it.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from flows.renew_certificate import renew_certificate
from flows.rescan_live import rescan_live
from flows.sweep_access import sweep_access
from pratique.config import CERTIFICATES_OFFICER, Bootstrap
from pratique.errors import PratiqueError
from pratique.preflight.check import (
    CLUSTER_ACTIONS,
    LIVE_ACTIONS,
    OWN_REGISTRY_ACTIONS,
    REGISTRY_ACTIONS,
    REVOKE_ACTIONS,
    run_checks,
)
from pratique.preflight.registry_rights import ACTIONS, DATA_ACTIONS
from sandbox.core.rbac import contains
from sandbox.registry_forms import RegistryPermissions
from sandbox.scenario import Finding, Identity, Scan, Scenario
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import PROJECT, World, write_certificate
from tests.sandbox.callers import arm, owner

INFRA = PROJECT / "infra"
NOBODYS = "00000000-0000-0000-0000-000000000000"
LEGACY, ABAC = "pipeline-role-registry", "pipeline-role-registry-abac"
#: Where each role is assigned, below the subscription; the narrowest first. Of LEGACY and ABAC a pipeline has one.
PLACES = {
    "pipeline-role": f"/resourceGroups/{CLUSTER_GROUP}",
    LEGACY: f"/resourceGroups/{CLUSTER_GROUP}",
    ABAC: f"/resourceGroups/{CLUSTER_GROUP}",
    "pipeline-role-network": f"/resourceGroups/{SPOKE_GROUP}",
    "pipeline-role-subscription": "",
}
#: Told by a failed deployment only: test_a_failed_deployment_names_what_failed.
EXPLAINS = "Microsoft.Resources/deployments/operations/read"


def document(role: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((INFRA / f"{role}.json").read_text())
    return read


ROLES = {role: document(role) for role in PLACES}
GRANTED = {
    role: {action.lower() for action in held["Actions"]} | {f"data:{action.lower()}" for action in held["DataActions"]}
    for role, held in ROLES.items()
}
EVERY_RIGHT = [
    (role, right)
    for role, held in ROLES.items()
    for right in (*held["Actions"], *held["DataActions"])
    if right != EXPLAINS
]
#: What is said instead of the action's name: Resource Graph tells nobody which right is missing.
SILENT = {
    "Microsoft.Resources/subscriptions/resourceGroups/read": "Could not read Defender's findings",
}
#: Within every limit. An image without findings has no rows in Resource Graph, and takes no right to read them.
FINDING = Finding(cve="CVE-2025-26519", severity="Low", package="musl", version="1.2.5-r0")


class Pipeline:
    """A cluster's world whose identity has the pipeline's roles and nothing else.

    :param registry: the role that reads registries
    """

    def __init__(self, make: MakeWorld, registry: str = LEGACY, **permissions: Any) -> None:
        nothing = Identity(roles=(), subscription_roles=(), network_roles=())
        scans = {"kubereboot/kured": Scan(outcome="unhealthy", findings=(FINDING,))}
        mode = RegistryPermissions(mode="abac" if registry == ABAC else "legacy", **permissions)
        scenario = Scenario(identity=nothing, scans=scans, timings=PROMPT, registry_permissions=mode)
        self.cluster = _replicated(make(scenario=scenario))
        self.roles = [role for role in PLACES if role not in (LEGACY, ABAC) or role == registry]
        self._names = {role: str(uuid.uuid4()) for role in self.roles}
        self._owner = owner(self.cluster.sandbox)
        for role in self.roles:
            self.define(role)
            self._assign(role, PLACES[role])

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.cluster.sandbox.azure.subscription_id}"

    @property
    def object_id(self) -> str:
        return self.cluster.sandbox.azure.scenario.identity.object_id

    def define(self, role: str, *without: str) -> None:
        """Make or change the role as ``az role definition create`` does; what it loses is lost at once."""
        held = ROLES[role]
        body = {
            "roleName": held["Name"],
            "description": held["Description"],
            "assignableScopes": [scope.replace(NOBODYS, self.subscription[-36:]) for scope in held["AssignableScopes"]],
            "permissions": [
                {
                    "actions": [action for action in held["Actions"] if action not in without],
                    "notActions": held["NotActions"],
                    "dataActions": [action for action in held["DataActions"] if action not in without],
                    "notDataActions": held["NotDataActions"],
                }
            ],
        }
        self._put(f"{self.subscription}{PLACES[role]}", "roleDefinitions", self._names[role], body)

    def _assign(self, role: str, place: str) -> None:
        definition = f"{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{self._names[role]}"
        body = {"roleDefinitionId": definition, "principalId": self.object_id, "principalType": "ServicePrincipal"}
        if (condition := INFRA / f"{role}.condition").exists():
            body["condition"] = condition.read_text().replace(NOBODYS, self.object_id)
            body["conditionVersion"] = "2.0"
        self._put(f"{self.subscription}{place}", "roleAssignments", str(uuid.uuid4()), body)

    def _put(self, scope: str, kind: str, name: str, properties: dict[str, Any]) -> None:
        path = f"{scope}/providers/Microsoft.Authorization/{kind}/{name}"
        with arm(self.cluster.sandbox, self._owner) as client:
            client.put(path, json={"properties": properties}).raise_for_status()

    async def do_everything(self) -> None:
        """A plan, each of the flows, and the check.

        :raises PratiqueError: when one of them fails
        """
        config = self.cluster.config
        await self.cluster.plan()
        await self.cluster.prepare()
        write_certificate(self.cluster.pem)
        assert (await renew_certificate(config)).imported
        await sweep_access(config, everything=True)
        await rescan_live(config)
        for line in await run_checks(config):
            if not line.passed:
                raise PratiqueError(f"check {line.name}", "", line.detail, line.remedy)

    async def fail(self) -> str:
        """Do everything, which must end with an error of ours; returns its text."""
        with pytest.raises(PratiqueError) as failed:
            await self.do_everything()
        return str(failed.value)

    def used(self) -> dict[str, set[str]]:
        """Actions that it was allowed, by the role that grants them there; data actions have the prefix ``data:``."""
        used: dict[str, set[str]] = {role: set() for role in self.roles}
        for check in self.cluster.sandbox.control("GET", "/checks")["checks"]:
            if check["granted"] and check["principal"] == self.object_id:
                action = ("data:" if check["data"] else "") + check["action"].lower()
                there = [r for r in self.roles if contains(self.subscription + PLACES[r], check["scope"])]
                used[next((r for r in there if action in GRANTED[r]), there[0])].add(action)
        return used


@pytest.fixture
def pipeline(world: MakeWorld) -> Pipeline:
    return Pipeline(world)


@pytest.mark.parametrize("registry", [LEGACY, ABAC])
async def test_the_roles_are_what_the_flows_use(world: MakeWorld, registry: str) -> None:
    """Every flow succeeds under them, every action was used at its place, and none that they lack was needed there."""
    pipeline = Pipeline(world, registry)
    join = "Microsoft.Network/virtualNetworks/subnets/join/action"
    pipeline.define("pipeline-role-network", join)
    assert join in await pipeline.fail()
    pipeline.define("pipeline-role-network")
    await pipeline.do_everything()
    used = pipeline.used()
    by_the_lease = {action for action in used["pipeline-role"] if action.startswith("data:microsoft.keyvault")}
    assert by_the_lease == {
        "data:microsoft.keyvault/vaults/certificates/read",
        "data:microsoft.keyvault/vaults/certificates/import/action",
    }
    used["pipeline-role"] -= by_the_lease
    # Asked for beforehand: Resource Graph leaves rows out in silence, and here they may come after the proof.
    used["pipeline-role"].add("microsoft.security/assessments/read")
    for role in pipeline.roles:
        assert sorted(used[role] - GRANTED[role]) == sorted(GRANTED[role] - used[role]) == [], role
    assert pipeline.cluster.access == []


@pytest.mark.parametrize(("role", "action"), EVERY_RIGHT)
async def test_without_it_something_fails(
    world: MakeWorld, role: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take one right away, and a flow or the check ends with an error that names it."""
    pipeline = Pipeline(world, ABAC if role == ABAC else LEGACY)
    monkeypatch.setattr("pratique.access.revoke.PAUSES", (0.0, 0.0))
    pipeline.define(role, action)
    assert SILENT.get(action, action) in await pipeline.fail()


@pytest.mark.parametrize("may", [True, False])
async def test_a_failed_deployment_names_what_failed(pipeline: Pipeline, may: bool) -> None:
    """One action only serves to say which resource failed."""
    pipeline.define("pipeline-role-network", "Microsoft.Network/privateDnsZones/join/action")
    if not may:
        pipeline.define("pipeline-role", EXPLAINS)
    named = "Failed resources: Microsoft.Network/privateEndpoints/privateDnsZoneGroups"
    assert (named in await pipeline.fail()) == may


def test_what_is_checked_beforehand_is_in_the_roles() -> None:
    """``pratique check`` asks for nothing that the roles do not have, and for all that the registries' roles have."""
    checked = {*CLUSTER_ACTIONS, *OWN_REGISTRY_ACTIONS, *REGISTRY_ACTIONS, *LIVE_ACTIONS, *REVOKE_ACTIONS}
    assert checked <= {*ROLES["pipeline-role"]["Actions"]}
    assert [*ACTIONS] == ROLES[LEGACY]["Actions"]
    assert [*DATA_ACTIONS] == ROLES[ABAC]["DataActions"]


@pytest.mark.parametrize("role", PLACES)
def test_the_roles_are_narrow(role: str) -> None:
    """No wildcard, data actions only for reading; nothing is deleted but assignments; no push, no credentials."""
    held = ROLES[role]
    assert held["Actions"] == sorted(set(held["Actions"]))
    assert held["DataActions"] == sorted(set(held["DataActions"]))
    assert all(re.search(r"/registries/(catalog|repositories/\w+)/read$", action) for action in held["DataActions"])
    assert role == ABAC or not held["DataActions"]
    assert held["NotActions"] == held["NotDataActions"] == []
    assert held["AssignableScopes"] == [f"/subscriptions/{NOBODYS}{PLACES[role]}"]
    assert {action for action in held["Actions"] if action.lower().endswith("/delete")} <= set(REVOKE_ACTIONS)
    wide = re.compile(r"\*|push|credentials|listkeys|accesspolicies|roledefinitions|elevateaccess", re.IGNORECASE)
    assert not [action for action in held["Actions"] if wide.search(action)]


def test_the_condition_names_the_roles_that_are_assigned() -> None:
    """Those that the template assigns, and the one that lets the pipeline into the vault; it takes back only that."""
    template = (INFRA / "pre-cluster-stamp.json").read_text()
    grants, removals = (INFRA / "pipeline-role.condition").read_text().split("roleAssignments/delete", 1)
    assigned = set(re.findall(r"roleDefinitions', '([0-9a-f-]{36})'", template))
    assert len(assigned) == 2
    assert _guids(grants) == {*assigned, CERTIFICATES_OFFICER, NOBODYS}
    assert _guids(removals) == {CERTIFICATES_OFFICER, NOBODYS}


def _guids(text: str) -> set[str]:
    return set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))


def _replicated(cluster: World) -> World:
    """With a replica of the registry: what the template can make, it makes."""
    settings = cluster.config.model_dump(mode="json")
    settings["cluster"]["parameters"] |= {"geoRedundancyLocation": "eastus2"}
    return World(cluster.sandbox, Bootstrap.model_validate(settings), cluster.folder)
