"""The drill's own role is enough for a drill, and none of its actions is too much."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import Any

import pytest

from pratique.audit.drill.staging import REPOSITORIES
from pratique.errors import PratiqueError
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.flows.test_drill import Drilling, MakeDrilling, drilling
from tests.flows.world import PROJECT
from tests.sandbox.callers import arm, owner

__all__ = ["drilling"]
ROLE: dict[str, Any] = json.loads((PROJECT / "infra" / "pipeline-role-drill.json").read_text())
#: What is said instead of the action's name: a list leaves out what may not be read.
SILENT = {"Microsoft.ContainerRegistry/registries/read": "has no registry of that name"}


class Driller:
    """An identity that has the drill's role and nothing else; what there is was deployed by somebody else."""

    def __init__(self, cluster: Drilling) -> None:
        self.cluster = cluster
        self.sandbox = cluster.sandbox
        self._role = str(uuid.uuid4())
        self._owner = owner(self.sandbox)

    @property
    def object_id(self) -> str:
        return self.sandbox.azure.scenario.identity.object_id

    async def deploy(self) -> None:
        """With the default identity's roles, which it loses afterwards."""
        await self.cluster.deploy()
        access = self.sandbox.azure.access
        held = [one.id for one in access.assignments() if one.principal_id == self.object_id]
        with arm(self.sandbox, self._owner) as client:
            for assignment in held:
                client.delete(assignment).raise_for_status()
        self.define()
        definition = f"{self._subscription}/providers/Microsoft.Authorization/roleDefinitions/{self._role}"
        properties = {"roleDefinitionId": definition, "principalId": self.object_id}
        self._put("roleAssignments", str(uuid.uuid4()), {**properties, "principalType": "ServicePrincipal"})

    def define(self, *without: str) -> None:
        properties = {
            "roleName": ROLE["Name"],
            "description": ROLE["Description"],
            "assignableScopes": [group_id(self.sandbox.azure, CLUSTER_GROUP)],
            "permissions": [{"actions": [action for action in ROLE["Actions"] if action not in without]}],
        }
        self._put("roleDefinitions", self._role, properties)

    @property
    def _subscription(self) -> str:
        return f"/subscriptions/{self.sandbox.azure.subscription_id}"

    def _put(self, kind: str, name: str, properties: dict[str, Any]) -> None:
        scope = group_id(self.sandbox.azure, CLUSTER_GROUP)
        path = f"{scope}/providers/Microsoft.Authorization/{kind}/{name}"
        with arm(self.sandbox, self._owner) as client:
            client.put(path, json={"properties": properties}).raise_for_status()

    def granted(self) -> Counter[str]:
        """How often each action was asked for and granted."""
        checks = self.sandbox.control("GET", "/checks")["checks"]
        mine = [one for one in checks if one["granted"] and one["principal"] == self.object_id]
        found: Counter[str] = Counter()
        for one in mine:
            found[one["action"].lower()] += one["times"]
        return found


async def test_the_role_is_what_a_drill_uses(drilling: MakeDrilling) -> None:
    """A drill succeeds under it, and uses all of it. Without any one of its actions an error names what is missing."""
    driller = Driller(drilling())
    await driller.deploy()
    before = driller.granted()
    assert (await driller.cluster.run()).outcome == "passed"
    assert {*(driller.granted() - before)} == {action.lower() for action in ROLE["Actions"]}
    for action in ROLE["Actions"]:
        driller.define(action)
        with pytest.raises(PratiqueError) as failed:
            await driller.cluster.run()
        assert SILENT.get(action, action) in str(failed.value)
        driller.define()
    assert driller.cluster.left == set()


def test_the_role_is_narrow() -> None:
    """It may push and delete, and nothing else of what the pipeline may: no wildcard, no grant, no vault."""
    assert ROLE["Actions"] == sorted(set(ROLE["Actions"]))
    assert ROLE["DataActions"] == ROLE["NotActions"] == ROLE["NotDataActions"] == []
    writes = {action for action in ROLE["Actions"] if not action.lower().endswith("/read")}
    assert {action.rpartition("registries/")[2] for action in writes} == {
        "artifacts/delete",
        "importImage/action",
        "push/write",
    }
    assert not [action for action in ROLE["Actions"] if "*" in action]
    assert all(name.startswith("live/quarantine-drill/") for name in REPOSITORIES)
