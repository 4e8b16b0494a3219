"""The deployments of every resource group, and how they start."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox import tenant
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.operations import Operation
from sandbox.core.rbac import Principal
from sandbox.services.deployments import resources
from sandbox.services.deployments.engine import Engine
from sandbox.services.deployments.errors import TemplateError, unsupported
from sandbox.services.deployments.expressions import Place
from sandbox.services.deployments.history import Deployment
from sandbox.services.deployments.template import Plan, make_plan

if TYPE_CHECKING:
    from sandbox.azure import Azure

HISTORY = 800  # entries that a resource group keeps; the oldest are deleted first
SPOKE_DEPLOYMENT = "spoke-BU0001A0005-01"

_NAME = re.compile(r"[-\w.()]{1,64}")


class Deployments:
    """The history of all resource groups, oldest entry first."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._entries: dict[str, Deployment] = {}
        self._remember(_spoke(azure))

    def place(self, group: str) -> Place:
        """A resource group as the target of a deployment.

        :param group: ARM id of the group
        :raises HttpFault: 404 when there is no such resource group
        """
        azure = self._azure
        found = azure.resources.get(group)
        if found is None:
            name = group.rpartition("/")[2]
            raise arm_fault(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return Place(
            subscription_id=str(found["id"]).split("/")[2],
            tenant_id=azure.tenant_id,
            resource_group=found["name"],
            location=found["location"],
            subscription_name="Local Azure",
        )

    def find(self, group: str, name: str) -> Deployment | None:
        """:raises HttpFault: 404 when there is no such resource group"""
        return self._entries.get(_key(self.place(group), name))

    def get(self, group: str, name: str) -> Deployment:
        """:raises HttpFault: 404 when there is no such deployment"""
        found = self.find(group, name)
        if found is None:
            raise arm_fault(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        return found

    def of_group(self, group: str) -> list[Deployment]:
        """The group's deployments, newest first."""
        place = self.place(group)
        return [entry for entry in reversed(self._entries.values()) if entry.place.id == place.id]

    def forget(self, deployment: Deployment) -> None:
        """Delete a history entry and keep what was deployed."""
        self._entries.pop(_key(deployment.place, deployment.name), None)

    def plan(self, group: str, body: Mapping[str, Any]) -> tuple[Place, Mapping[str, Any], Plan]:
        """Parse the request body into target, template and plan.

        :raises TemplateError: when Azure would refuse it, or the sandbox does not support it
        """
        place = self.place(group)
        properties = body.get("properties")
        if not isinstance(properties, Mapping):
            raise TemplateError("The request content lacks 'properties'.", "InvalidRequestContent")
        if str(properties.get("mode", "")).lower() != "incremental":
            raise unsupported(f"the mode '{properties.get('mode')}' (only Incremental)")
        if linked := {"templateLink", "parametersLink"} & properties.keys():
            raise unsupported(f"'{min(linked)}'")
        template = properties.get("template")
        if not isinstance(template, Mapping):
            raise TemplateError("The request content lacks a 'template'.", "InvalidRequestContent")
        plan = make_plan(template, properties.get("parameters") or {}, place)
        for planned in plan.resources:
            resources.kind_of(planned.type)
        return place, template, plan

    def denied(self, plan: Plan, deployer: Principal) -> list[dict[str, Any]]:
        """Errors for the planned resources that a principal may not write; conditions count as met here."""
        errors = []
        for planned in plan.resources:
            try:
                write = resources.kind_of(planned.type).write
                self._azure.access.require(deployer, write, planned.id, None)
            except HttpFault as fault:
                errors.append({**fault.body["error"], "target": planned.id})
        return errors

    def start(self, group: str, name: str, body: Mapping[str, Any], deployer: Principal) -> Deployment:
        """Start a deployment.

        :raises HttpFault: when the template is invalid, or a deployment with the same name is still running
        """
        azure = self._azure
        if not _NAME.fullmatch(name):
            raise TemplateError(f"The deployment name '{name}' is not valid.", "InvalidDeploymentName")
        former = self.find(group, name)
        if former is not None and former.active:
            raise arm_fault(
                409,
                "DeploymentActive",
                f"Unable to edit or replace deployment '{name}': previous deployment from '{former.started}' is still "
                "active. Please see https://aka.ms/arm-deploy for usage details.",
            )
        place, template, plan = self.plan(group, body)
        deployment = Deployment(
            name=name,
            place=place,
            template=template,
            plan=plan,
            deployer=deployer,
            started=azure.clock.now(),
            began=azure.clock.elapsed(),
        )

        async def work(operation: Operation) -> None:
            try:
                await Engine(azure, deployment).run()
            finally:
                deployment.ended = azure.clock.elapsed()

        deployment.operation = azure.operations.start("deployment", deployment.id, work)
        self._remember(deployment)
        return deployment

    async def cancel(self, deployment: Deployment) -> None:
        """:raises HttpFault: 409 when it is no longer running"""
        operation = deployment.operation
        if operation is None or operation.task is None or not deployment.active:
            raise arm_fault(
                409,
                "DeploymentCannotBeCancelled",
                f"The deployment '{deployment.name}' cannot be cancelled: its state is '{deployment.state}'.",
            )
        self._azure.operations.cancel(operation)
        await asyncio.wait([operation.task])

    def _remember(self, deployment: Deployment) -> None:
        key = _key(deployment.place, deployment.name)
        self._entries.pop(key, None)
        self._entries[key] = deployment
        for oldest in self.of_group(deployment.place.id)[HISTORY:]:
            self.forget(oldest)


def _key(place: Place, name: str) -> str:
    return f"{place.id}/{name}".lower()


def _spoke(azure: Azure) -> Deployment:
    """The network team's deployment; the walkthrough starts by reading its output."""
    network = tenant.spoke_network_id(azure)
    outputs = {
        "clusterVnetResourceId": {"type": "String", "value": network},
        "nodepoolSubnetResourceIds": {"type": "Array", "value": [f"{network}/subnets/snet-clusternodes"]},
    }
    place = Place(
        subscription_id=azure.subscription_id,
        tenant_id=azure.tenant_id,
        resource_group=tenant.SPOKE_GROUP,
        location=tenant.LOCATION,
    )
    return Deployment(
        name=SPOKE_DEPLOYMENT,
        place=place,
        template={},
        plan=Plan({}, (), lambda lookup: outputs),
        deployer=Principal(azure.scenario.identity.object_id, "ServicePrincipal", "network-team"),
        started=azure.clock.now(),
        began=0.0,
        ended=0.0,
        outputs=outputs,
    )
