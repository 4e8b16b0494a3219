"""Deploys ARM templates into resource groups, each deployment once.

::

    template = await load_template(Path("infra/pre-cluster-stamp.json"))
    stamp = await ensure_deployment(session, group, "cluster-stamp", template, {"targetVnetResourceId": network})
    stamp.outcome, stamp.outputs["keyVaultName"]

A deployment that succeeded with the same template and parameters is not repeated: deploying the stamp again would reset
the vault's firewall rules. A running deployment is joined, not overwritten.

Facts: Microsoft.Resources/deployments REST API; Azure Resource Manager template syntax.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pratique.azure.faults import azure_faults
from pratique.azure.lists import every_page
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import (
    ConfigurationError,
    Conflict,
    NotFound,
    OperationFailed,
    PermanentError,
    PratiqueError,
    UnreadableAnswer,
)

if TYPE_CHECKING:
    from azure.mgmt.resource.deployments import models

DEADLINE_SECONDS = 45 * 60
_ENDED = frozenset({"Succeeded", "Failed", "Canceled"})
_SECURE = frozenset({"securestring", "secureobject"})
Review = Callable[[], Awaitable[Mapping[str, Any]]]
"""Called right before each attempt to deploy: returns the parameters to deploy with, or raises to prevent it."""

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A deployment in its resource group's history.

    :ivar state: ARM's provisioning state
    :ivar parameters: by name, each ``{"type", "value"}``; secure parameters have no value
    :ivar outputs: plain values by name
    :ivar seconds: duration of the deployment
    """

    name: str
    group: str
    state: str
    template_hash: str | None
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class DeploymentResult:
    """A successful deployment.

    :ivar outcome: ``unchanged`` when there was nothing to deploy, ``joined`` when a deployment that another process had
        started did it
    :ivar seconds: duration of the deployment
    """

    outputs: dict[str, Any]
    outcome: Literal["deployed", "unchanged", "joined"]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Request:
    group: str
    name: str
    template: dict[str, Any]
    parameters: dict[str, Any] = field(repr=False)
    volatile: Collection[str]
    review: Review | None = None

    @property
    def subject(self) -> str:
        return f"{self.group}/{self.name}"

    @property
    def body(self) -> models.Deployment:
        from azure.mgmt.resource.deployments import models

        values = {name: {"value": value} for name, value in self.parameters.items()}
        return models.Deployment(
            {"properties": {"mode": "Incremental", "template": self.template, "parameters": values}}
        )


async def find_deployment(session: AzureSession, group: str, name: str) -> Deployment | None:
    """Find the latest deployment of that name, or ``None``."""
    try:
        with azure_faults("read the deployment", f"{group}/{name}"):
            return _deployment(group, await session.deployments.deployments.get(group, name))
    except NotFound:
        return None


async def read_outputs(session: AzureSession, group: str, name: str) -> dict[str, Any]:
    """Read the outputs of an existing deployment.

    :raises NotFound: when there is no deployment of that name
    :raises Conflict: when it is still running
    :raises OperationFailed: when it did not succeed
    """
    attempted, subject = "read the outputs of the deployment", f"{group}/{name}"
    found = await find_deployment(session, group, name)
    command = f"az deployment group create -g {group} -n {name} -f <its template>"
    if found is None:
        raise NotFound(attempted, subject, "There is no such deployment.", f"Deploy it first: {command}")
    if found.state not in _ENDED:
        raise Conflict(attempted, subject, f"It is {found.state}.", "Run again when it has ended.")
    if found.state != "Succeeded":
        raise OperationFailed(attempted, subject, f"It ended as {found.state}.", f"Fix it and run: {command}")
    return dict(found.outputs)


async def ensure_deployment(
    session: AzureSession,
    group: str,
    name: str,
    template: dict[str, Any],
    parameters: dict[str, Any],
    *,
    volatile: frozenset[str] = frozenset(),
    force: bool = False,
    review: Review | None = None,
) -> DeploymentResult:
    """Make sure that the template is deployed with these parameters.

    :param parameters: plain values by name
    :param volatile: names of parameters whose change alone does not cause a deployment
    :param force: deploy even if nothing changed
    :param review: called when the template is valid and would be deployed now; not if the deployment is joined
    :raises ConfigurationError: when validation rejects the template or its parameters
    :raises PratiqueError: when the deployment fails, by its innermost cause, with the failed resources
    :raises Unavailable: when the deployment has not ended after 45 minutes; the next call joins it
    """
    request = _Request(
        group=group, name=name, template=template, parameters=parameters, volatile=volatile, review=review
    )
    with azure_faults("deploy the template", request.subject):
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await _ensure(session, request, force)


async def _ensure(session: AzureSession, request: _Request, force: bool) -> DeploymentResult:
    joined = False
    while True:
        current = await find_deployment(session, request.group, request.name)
        if current and current.state not in _ENDED:
            joined = True
            await asyncio.sleep(session.poll_seconds)
            continue
        if current and (joined or not force) and await _matches(session, current, request):
            return DeploymentResult(dict(current.outputs), "joined" if joined else "unchanged", current.seconds)
        started = time.monotonic()
        try:
            deployment = await _deploy(session, request)
        except Conflict as error:
            if "DeploymentActive" not in error.observed:
                raise
            joined = True
            await asyncio.sleep(session.poll_seconds)
            continue
        seconds = deployment.seconds or time.monotonic() - started
        return DeploymentResult(dict(deployment.outputs), "deployed", seconds)


async def is_deployed(
    session: AzureSession,
    group: str,
    name: str,
    template: dict[str, Any],
    parameters: dict[str, Any],
    *,
    volatile: Collection[str] = (),
) -> bool:
    """Whether :func:`ensure_deployment` would have nothing to deploy."""
    current = await find_deployment(session, group, name)
    request = _Request(group=group, name=name, template=template, parameters=parameters, volatile=volatile)
    return current is not None and await _matches(session, current, request)


async def _deploy(session: AzureSession, request: _Request) -> Deployment:
    deployments = session.deployments.deployments
    try:
        with azure_faults("validate the template", request.subject):
            check = await deployments.begin_validate(request.group, request.name, request.body)
            await check.result()
    except OperationFailed as error:
        raise ConfigurationError(error.attempted, error.subject, error.observed, error.remedy) from None
    if request.review is not None:
        request = replace(request, parameters=dict(await request.review()))
    with azure_faults("deploy the template", request.subject):
        poller = await deployments.begin_create_or_update(request.group, request.name, request.body)
    try:
        with azure_faults("deploy the template", request.subject):
            return _deployment(request.group, await poller.result())
    except PermanentError as error:
        failed = await _failed_resources(session, request)
        observed = f"{error.observed} Failed resources: {failed}." if failed else error.observed
        raise type(error)(error.attempted, error.subject, observed, error.remedy) from None


async def _failed_resources(session: AzureSession, request: _Request) -> str:
    """Names and causes; empty if they cannot be read, so that the failure itself is reported."""
    failed: list[str] = []
    attempted, operations = "list the deployment's operations", session.deployments.deployment_operations
    hook = every_page(attempted, request.subject)
    try:
        with azure_faults(attempted, request.subject):
            async for operation in operations.list(request.group, request.name, raw_response_hook=hook):
                properties = operation.properties
                if properties and properties.provisioning_state == "Failed" and properties.target_resource:
                    target, status = properties.target_resource, properties.status_message
                    code = status.error.code if status and status.error else properties.status_code
                    failed.append(f"{target.resource_type} {target.resource_name} ({code})")
    except PratiqueError:
        return ""
    return ", ".join(failed)


async def _matches(session: AzureSession, current: Deployment, request: _Request) -> bool:
    if current.state != "Succeeded" or not same_parameters(
        request.template, current.parameters, request.parameters, request.volatile
    ):
        return False
    with azure_faults("calculate the template's hash", request.subject):
        answer = await session.deployments.deployments.calculate_template_hash(request.template)
    return bool(current.template_hash) and answer.template_hash == current.template_hash


def same_parameters(
    template: Mapping[str, Any], recorded: Mapping[str, Any], given: Mapping[str, Any], volatile: Collection[str]
) -> bool:
    """Whether the given parameters equal those recorded with a deployment.

    A secure parameter cannot be compared, so it counts as changed. A parameter that is not given must have been
    recorded with the template's default; a default that is an expression counts as unchanged.
    """
    declared: Mapping[str, Any] = template.get("parameters", {})
    before = {name.lower(): entry for name, entry in recorded.items()}
    requested = {name.lower(): value for name, value in given.items()}
    ignored = {name.lower() for name in volatile}
    defaults = {name.lower(): entry.get("defaultValue") for name, entry in declared.items()}
    for name in (before.keys() | requested.keys()) - ignored:
        entry = before.get(name)
        if entry is None or str(entry.get("type", "")).lower() in _SECURE or "value" not in entry:
            return False
        value = requested[name] if name in requested else defaults.get(name)
        computed = name not in requested and isinstance(value, str) and value.startswith("[")
        if not computed and entry["value"] != value:
            return False
    return True


def _deployment(group: str, found: models.DeploymentExtended) -> Deployment:
    if (properties := found.properties) is None or not properties.provisioning_state:
        raise UnreadableAnswer(
            "read the deployment", f"{group}/{found.name}", "It has no provisioning state.", "Run again."
        )
    return Deployment(
        name=str(found.name),
        group=group,
        state=enum_value(properties.provisioning_state),
        template_hash=properties.template_hash,
        parameters=dict(properties.parameters or {}),
        outputs={name: entry.get("value") for name, entry in (properties.outputs or {}).items()},
        seconds=_seconds(properties.duration),
    )


def _seconds(duration: str | None) -> float:
    """Seconds of an ISO 8601 duration without years and months, as ARM writes it: ``PT8M3.5S``."""
    match = _DURATION.fullmatch(duration or "")
    if match is None:
        return 0.0
    parts = zip(match.groups(), (86400, 3600, 60, 1), strict=True)
    return sum(float(part) * unit for part, unit in parts if part)
