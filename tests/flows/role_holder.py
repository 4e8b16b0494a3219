"""The pipeline's identity with the roles of a file in infra/ and nothing else, once somebody else has deployed."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import RunningSandbox
from tests.flows.test_least_privilege import INFRA, document
from tests.sandbox.callers import arm, owner

#: What is said instead of the action's name: a list leaves out what may not be read.
SILENT = {"Microsoft.ContainerRegistry/registries/read": "has no registry of that name"}


def rights(role: str) -> list[str]:
    """The actions and data actions of a role in infra/."""
    held = document(role)
    return [*held["Actions"], *held["DataActions"]]


class RoleHolder:
    """Gives the identity its roles on the cluster's resource group, under their conditions.

    :param roles: names of files in infra/
    """

    def __init__(self, sandbox: RunningSandbox, *roles: str) -> None:
        self.sandbox = sandbox
        self._guids = {role: str(uuid.uuid4()) for role in roles}
        self._owner = owner(sandbox)

    @property
    def object_id(self) -> str:
        return self.sandbox.azure.scenario.identity.object_id

    def take_roles(self) -> None:
        """Give it these roles, in place of all that it has."""
        access = self.sandbox.azure.access
        held = [one.id for one in access.assignments() if one.principal_id == self.object_id]
        with arm(self.sandbox, self._owner) as client:
            for assignment in held:
                client.delete(assignment).raise_for_status()
        for role, guid in self._guids.items():
            self.define(role)
            subscription = f"/subscriptions/{self.sandbox.azure.subscription_id}"
            definition = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
            body = {"roleDefinitionId": definition, "principalId": self.object_id, "principalType": "ServicePrincipal"}
            if (condition := INFRA / f"{role}.condition").exists():
                body |= {"condition": condition.read_text(), "conditionVersion": "2.0"}
            self._put("roleAssignments", str(uuid.uuid4()), body)

    def define(self, role: str, *without: str) -> None:
        """Define a role, without some of its rights; what it loses is lost at once."""
        held = document(role)
        granted = {
            kind: [right for right in held[name] if right not in without]
            for kind, name in (("actions", "Actions"), ("dataActions", "DataActions"))
        }
        properties = {
            "roleName": held["Name"],
            "description": held["Description"],
            "assignableScopes": [group_id(self.sandbox.azure, CLUSTER_GROUP)],
            "permissions": [granted],
        }
        self._put("roleDefinitions", self._guids[role], properties)

    def granted(self) -> Counter[str]:
        """How often each right was asked for and granted."""
        checks = self.sandbox.control("GET", "/checks")["checks"]
        mine = [one for one in checks if one["granted"] and one["principal"] == self.object_id]
        found: Counter[str] = Counter()
        for one in mine:
            found[one["action"].lower()] += one["times"]
        return found

    def _put(self, kind: str, name: str, properties: dict[str, Any]) -> None:
        path = f"{group_id(self.sandbox.azure, CLUSTER_GROUP)}/providers/Microsoft.Authorization/{kind}/{name}"
        with arm(self.sandbox, self._owner) as client:
            client.put(path, json={"properties": properties}).raise_for_status()
