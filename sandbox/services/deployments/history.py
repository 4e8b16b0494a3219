"""Deployments and their operations, as ARM shows them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.core.operations import Operation
from sandbox.core.rbac import Principal
from sandbox.services.deployments.expressions import Place
from sandbox.services.deployments.template import Plan, template_hash

Document = dict[str, Any]
TERMINAL = ("Succeeded", "Failed", "Canceled")


@dataclass(kw_only=True)
class Step:
    """The deployment of one resource.

    :ivar state: a provisioning state
    :ivar status: ``statusCode`` as ARM shows it
    :ivar began: Azure seconds; ``ended`` likewise, ``None`` while it runs
    """

    resource_id: str
    resource_type: str
    resource_name: str
    started: datetime
    began: float
    state: str = "Running"
    status: str = "Accepted"
    ended: float | None = None
    error: Document | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:16].upper())


@dataclass(kw_only=True)
class Deployment:
    """One entry in a resource group's history.

    :ivar began: Azure seconds (:meth:`.Clock.elapsed`)
    :ivar operation: the work; ``None`` for an entry that exists from the start
    """

    name: str
    place: Place
    template: Mapping[str, Any]
    plan: Plan
    deployer: Principal
    started: datetime
    began: float
    operation: Operation | None = None
    ended: float | None = None
    outputs: Document = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    correlation_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def id(self) -> str:
        return f"{self.place.id}/providers/Microsoft.Resources/deployments/{self.name}"

    @property
    def state(self) -> str:
        return "Succeeded" if self.operation is None else self.operation.status

    @property
    def active(self) -> bool:
        return self.state not in TERMINAL

    def document(self, at: float, state: str | None = None) -> Document:
        """The deployment as ARM shows it.

        :param at: Azure seconds
        :param state: shown instead of the actual state
        """
        properties: Document = {
            "templateHash": template_hash(self.template),
            "parameters": self.plan.parameters,
            "mode": "Incremental",
            "provisioningState": state or self.state,
            "timestamp": _stamp(self.started),
            "duration": duration((self.ended if self.ended is not None else at) - self.began),
            "correlationId": self.correlation_id,
            "providers": self._providers(),
            "dependencies": self._dependencies(),
        }
        if self.state == "Succeeded":
            properties["outputs"] = self.outputs
            properties["outputResources"] = [{"id": resource.id} for resource in self.plan.resources]
        if self.operation is not None and self.operation.error is not None:
            properties["error"] = self.operation.error
        return {
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.Resources/deployments",
            "properties": properties,
        }

    def step_document(self, step: Step, at: float) -> Document:
        """One entry in the list of the deployment's operations."""
        properties: Document = {
            "provisioningOperation": "Create",
            "provisioningState": step.state,
            "timestamp": _stamp(step.started),
            "duration": duration((step.ended if step.ended is not None else at) - step.began),
            "statusCode": step.status,
            "targetResource": {
                "id": step.resource_id,
                "resourceType": step.resource_type,
                "resourceName": step.resource_name,
            },
        }
        if step.error is not None:
            properties["statusMessage"] = {"status": "Failed", "error": step.error}
        return {"id": f"{self.id}/operations/{step.id}", "operationId": step.id, "properties": properties}

    def _providers(self) -> list[Document]:
        providers: dict[str, dict[str, Document]] = {}
        for resource in self.plan.resources:
            namespace, _, kind = resource.type.partition("/")
            entry = {"resourceType": kind, "locations": [self.place.location]}
            providers.setdefault(namespace, {})[kind] = entry
        return [{"namespace": name, "resourceTypes": list(kinds.values())} for name, kinds in providers.items()]

    def _dependencies(self) -> list[Document]:
        by_id = {resource.id: resource for resource in self.plan.resources}
        return [
            {
                "id": resource.id,
                "resourceType": resource.type,
                "resourceName": resource.name,
                "dependsOn": [
                    {"id": need, "resourceType": by_id[need].type, "resourceName": by_id[need].name}
                    for need in resource.depends_on
                ],
            }
            for resource in self.plan.resources
            if resource.depends_on
        ]


def duration(seconds: float) -> str:
    """Seconds in ISO 8601: ``PT7M42.5S``."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"PT{int(minutes)}M{rest:.7g}S" if minutes else f"PT{rest:.7g}S"


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
