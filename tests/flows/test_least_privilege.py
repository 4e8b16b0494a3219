"""The pipeline's own roles are enough for everything that it does, and none of their actions is too much.

The sandbox does not evaluate the condition under which they may be assigned; it is only compared with what it names.
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
    OWN_REGISTRY_ACTIONS,
    REGISTRY_ACTIONS,
    REVOKE_ACTIONS,
    run_checks,
)
from sandbox.core.rbac import contains
from sandbox.scenario import Finding, Identity, Scan, Scenario
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import PROJECT, World, write_certificate
from tests.sandbox.callers import arm, owner

INFRA = PROJECT / "infra"
NOBODYS = "00000000-0000-0000-0000-000000000000"
#: Where each role is assigned, below the subscription; the narrowest first.
PLACES = {
    "pipeline-role": f"/resourceGroups/{CLUSTER_GROUP}",
    "pipeline-role-network": f"/resourceGroups/{SPOKE_GROUP}",
    "pipeline-role-subscription": "",
}
#: Told by a failed deployment only: test_a_failed_deployment_names_what_failed.
EXPLAINS = "Microsoft.Resources/deployments/operations/read"


def document(role: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((INFRA / f"{role}.json").read_text())
    return read


ROLES = {role: document(role) for role in PLACES}
GRANTED = {role: {action.lower() for action in held["Actions"]} for role, held in ROLES.items()}
EVERY_ACTION = [(role, action) for role, held in ROLES.items() for action in held["Actions"] if action != EXPLAINS]
#: What is said instead of the action's name: a registry and Resource Graph tell nobody which right is missing.
SILENT = {
    "Microsoft.ContainerRegistry/registries/pull/read": "Could not look up the image",
    "Microsoft.Resources/subscriptions/resourceGroups/read": "Could not read Defender's findings",
}
#: Within every limit. An image without findings has no rows in Resource Graph, and takes no right to read them.
FINDING = Finding(cve="CVE-2025-26519", severity="Low", package="musl", version="1.2.5-r0")


class Pipeline:
    """A cluster's world whose identity has the pipeline's roles and nothing else."""

    def __init__(self, make: MakeWorld) -> None:
        nothing = Identity(roles=(), subscription_roles=(), network_roles=())
        scans = {"kubereboot/kured": Scan(outcome="unhealthy", findings=(FINDING,))}
        self.cluster = _replicated(make(scenario=Scenario(identity=nothing, scans=scans, timings=PROMPT)))
        self._names = {role: str(uuid.uuid4()) for role in PLACES}
        self._owner = owner(self.cluster.sandbox)
        for role, place in PLACES.items():
            self.define(role)
            self._assign(role, place)

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
                    "dataActions": held["DataActions"],
                    "notDataActions": held["NotDataActions"],
                }
            ],
        }
        self._put(f"{self.subscription}{PLACES[role]}", "roleDefinitions", self._names[role], body)

    def _assign(self, role: str, place: str) -> None:
        definition = f"{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{self._names[role]}"
        body = {"roleDefinitionId": definition, "principalId": self.object_id, "principalType": "ServicePrincipal"}
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
        used: dict[str, set[str]] = {role: set() for role in PLACES}
        for check in self.cluster.sandbox.control("GET", "/checks")["checks"]:
            if check["granted"] and check["principal"] == self.object_id:
                action = ("data:" if check["data"] else "") + check["action"].lower()
                there = [r for r, place in PLACES.items() if contains(self.subscription + place, check["scope"])]
                used[next((r for r in there if action in GRANTED[r]), there[0])].add(action)
        return used


@pytest.fixture
def pipeline(world: MakeWorld) -> Pipeline:
    return Pipeline(world)


async def test_the_roles_are_what_the_flows_use(pipeline: Pipeline) -> None:
    """Every flow succeeds under them, every action was used at its place, and none that they lack was needed there."""
    join = "Microsoft.Network/virtualNetworks/subnets/join/action"
    pipeline.define("pipeline-role-network", join)
    assert join in await pipeline.fail()
    pipeline.define("pipeline-role-network")
    await pipeline.do_everything()
    used = pipeline.used()
    by_the_lease = {action for action in used["pipeline-role"] if action.startswith("data:")}
    assert by_the_lease == {
        "data:microsoft.keyvault/vaults/certificates/read",
        "data:microsoft.keyvault/vaults/certificates/import/action",
    }
    used["pipeline-role"] -= by_the_lease
    # Asked for beforehand: Resource Graph leaves rows out in silence, and here they may come after the proof.
    used["pipeline-role"].add("microsoft.security/assessments/read")
    for role in ROLES:
        assert sorted(used[role] - GRANTED[role]) == sorted(GRANTED[role] - used[role]) == [], role
    assert pipeline.cluster.access == []


@pytest.mark.parametrize(("role", "action"), EVERY_ACTION)
async def test_without_it_something_fails(
    pipeline: Pipeline, role: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take one action away, and a flow or the check ends with an error that names it."""
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


def test_what_is_checked_beforehand_is_in_the_role() -> None:
    """``pratique check`` asks for nothing that the role does not have."""
    checked = {*CLUSTER_ACTIONS, *OWN_REGISTRY_ACTIONS, *REGISTRY_ACTIONS, *REVOKE_ACTIONS}
    assert checked <= {*ROLES["pipeline-role"]["Actions"]}


@pytest.mark.parametrize("role", PLACES)
def test_the_roles_are_narrow(role: str) -> None:
    """No wildcard and no data action; nothing is deleted but assignments; no push, no credentials, no definitions."""
    held = ROLES[role]
    assert held["Actions"] == sorted(set(held["Actions"]))
    assert held["NotActions"] == held["DataActions"] == held["NotDataActions"] == []
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
