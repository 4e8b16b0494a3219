"""Carries out a plan: deploys each resource, at its own pace, as soon as its dependencies exist.

As in Azure, a failed resource stops only its dependents; when nothing is left to do, the deployment fails with all
failures in its details. The deployer needs the right to write each resource, and rights on linked resources, at the
moment of its creation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.core.conditions import NO_ATTRIBUTES
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.rbac import Principal
from sandbox.services.authorization.grants import RequestedAssignment, grant
from sandbox.services.deployments import resources
from sandbox.services.deployments.errors import TemplateError
from sandbox.services.deployments.history import Deployment, Step
from sandbox.services.deployments.provider import Document, Kind, Order, make, targets, with_connection
from sandbox.services.deployments.template import PlannedResource
from sandbox.services.keyvault.state import Vaults

if TYPE_CHECKING:
    from sandbox.azure import Azure


class Engine:
    """Deploys the resources of one deployment."""

    def __init__(self, azure: Azure, deployment: Deployment) -> None:
        self._azure = azure
        self._deployment = deployment
        self._pace = azure.scenario.timings.deployment / resources.CRITICAL_PATH
        self._made = {resource.id.lower(): asyncio.Event() for resource in deployment.plan.resources}
        self._failed: set[str] = set()

    async def run(self) -> None:
        """:raises HttpFault: ``DeploymentFailed`` with the failures in its details"""
        async with asyncio.TaskGroup() as group:
            for planned in self._deployment.plan.resources:
                group.create_task(self._deploy(planned))
        details = [step.error for step in self._deployment.steps if step.error is not None]
        if not details:
            try:
                self._deployment.outputs = self._deployment.plan.outputs(self._lookup)
            except TemplateError as error:
                details = [error.body["error"]]
        if details:
            raise arm_fault(
                409,
                "DeploymentFailed",
                "At least one resource deployment operation failed. Please list deployment operations for details. "
                "Please see https://aka.ms/arm-deployment-operations for usage details.",
                details=details,
                target=self._deployment.id,
            )

    async def _deploy(self, planned: PlannedResource) -> None:
        for need in planned.depends_on:
            await self._made[need.lower()].wait()
        key = planned.id.lower()
        if any(need.lower() in self._failed for need in planned.depends_on):
            self._failed.add(key)
        else:
            await self._attempt(planned)
        self._made[key].set()

    async def _attempt(self, planned: PlannedResource) -> None:
        clock = self._azure.clock
        step = Step(
            resource_id=planned.id,
            resource_type=planned.type,
            resource_name=planned.name,
            started=clock.now(),
            began=clock.elapsed(),
        )
        self._deployment.steps.append(step)
        try:
            kind = resources.kind_of(planned.type)
            body = planned.body(self._lookup)
            self._authorise(planned, kind, body)
            await clock.sleep(kind.seconds * self._pace)
            self._make(planned, kind, body)
            step.state, step.status = "Succeeded", "Created"
        except HttpFault as fault:
            self._fail(step, fault)
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"The body of '{planned.name}' is not what its provider expects: {error!r}."
            self._fail(step, TemplateError(reason, "InvalidRequestFormat"))
        except asyncio.CancelledError:
            step.state, step.status = "Canceled", "Canceled"
            raise
        finally:
            step.ended = clock.elapsed()

    def _fail(self, step: Step, fault: HttpFault) -> None:
        self._failed.add(step.resource_id.lower())
        step.state, step.status = "Failed", str(fault.status)
        step.error = {**fault.body["error"], "target": step.resource_id}

    def _authorise(self, planned: PlannedResource, kind: Kind, body: Document) -> None:
        attributes = NO_ATTRIBUTES
        if kind.type == resources.ROLE_ASSIGNMENT:
            wanted = requested_assignment(self._azure, body.get("properties") or {})
            attributes = wanted.attributes(self._azure.access)
        self._azure.access.require(self._deployment.deployer, kind.write, planned.id, attributes)
        self._azure.locks.require("write", planned.id)
        if kind.type.count("/") > 1 and self._azure.resources.get(planned.id.rsplit("/", 2)[0]) is None:
            raise TemplateError(
                f"Failed to perform 'write' on resource(s) of type '{planned.type}', because the parent resource of "
                f"'{planned.name}' could not be found.",
                "ParentResourceNotFound",
                404,
            )
        for linked, action in kind.links(body.get("properties") or {}):
            if self._azure.resources.get(linked) is None:
                raise TemplateError(
                    f"Resource {linked} referenced by resource {planned.id} was not found. Please make sure that the "
                    "referenced resource exists, and that both resources are in the same region.",
                    "InvalidResourceReference",
                )
            require_linked(self._azure, self._deployment.deployer, action, linked, planned.id)

    def _make(self, planned: PlannedResource, kind: Kind, body: Document) -> None:
        """Put the resource, and update the resources that it affects."""
        azure = self._azure
        if kind.type == resources.ROLE_ASSIGNMENT:
            assign_role(azure, planned, body.get("properties") or {}, self._deployment.deployer)
            return
        before = azure.resources.get(planned.id)
        order = Order(
            id=planned.id,
            name=planned.name,
            api_version=planned.api_version,
            body=body,
            before=before,
            place=self._deployment.place,
            at=azure.clock.now(),
        )
        document = make(kind, order)
        if kind.type == resources.SECRET:
            version = keep_secret(azure, planned.name, order.properties)
            document["properties"]["secretUriWithVersion"] = f"{document['properties']['secretUri']}/{version}"
        azure.resources.put(document)
        if kind.type == resources.IDENTITY:
            found = document["properties"]
            azure.access.add_principal(
                Principal(found["principalId"], "ServicePrincipal", document["name"], found["clientId"])
            )
        if kind.type == resources.PRIVATE_ENDPOINT:
            for target in targets(document):
                if (existing := azure.resources.get(target)) is not None:
                    azure.resources.put(with_connection(existing, document))

    def _lookup(self, resource_id: str) -> Mapping[str, Any] | None:
        return self._azure.resources.get(resource_id)


def require_linked(azure: Azure, deployer: Principal, action: str, linked: str, resource_id: str) -> None:
    """:raises HttpFault: 403 when the deployer may not do ``action`` on a linked resource"""
    if not azure.access.allowed(deployer.object_id, action, linked):
        raise arm_fault(
            403,
            "LinkedAuthorizationFailed",
            f"The client '{deployer.client_id or deployer.name}' with object id '{deployer.object_id}' has permission "
            f"to write '{resource_id}'; however, it does not have permission to perform action '{action}' on the "
            f"linked scope(s) '{linked}' or the linked scope(s) are invalid.",
        )


def keep_secret(azure: Azure, name: str, properties: Mapping[str, Any]) -> str:
    """Store a secret (``vault/name``) in the vault's data plane. Returns its version."""
    vault, secret = name.split("/")
    contents = azure.state(Vaults).contents(vault)
    return contents.set_secret(secret, properties["value"], properties.get("contentType"), azure.clock.now()).version


def requested_assignment(azure: Azure, properties: Mapping[str, Any]) -> RequestedAssignment:
    """The role assignment that a template's resource requests."""
    reference = str(properties.get("roleDefinitionId"))
    role = azure.access.role(reference)
    return RequestedAssignment(
        role_guid=role.guid if role else reference,
        principal_id=str(properties.get("principalId")),
        principal_type=properties.get("principalType"),
        description=properties.get("description"),
        condition=properties.get("condition"),
        condition_version=properties.get("conditionVersion"),
    )


def assign_role(azure: Azure, planned: PlannedResource, properties: Mapping[str, Any], deployer: Principal) -> None:
    """Create a role assignment unless it exists.

    :raises HttpFault: when its name or an equal assignment exists, or its principal is unknown
    """
    grant(azure, planned.scope, planned.name, requested_assignment(azure, properties), deployer)
