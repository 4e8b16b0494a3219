"""Deployments of ARM templates into resource groups, each done once.

::

    template = await load_template(Path("infra/pre-cluster-stamp.json"))
    stamp = await ensure_deployment(session, group, "cluster-stamp", template, {"targetVnetResourceId": network})
    stamp.outcome, stamp.outputs["keyVaultName"]

A deployment that succeeded with the same template and the same parameters is left alone: deploying the stamp again
would reset the vault's firewall rules. One that is running is joined, not overwritten.

Facts: Microsoft.Resources/deployments REST API; Azure Resource Manager template syntax.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from azure.mgmt.resource.deployments import models

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.azure.wire import word
from pratique.errors import ConfigurationError, Conflict, NotFound, OperationFailed, PratiqueError, UnreadableAnswer

DEADLINE_SECONDS = 45 * 60
_ENDED = frozenset({"Succeeded", "Failed", "Canceled"})
_SECURE = frozenset({"securestring", "secureobject"})
_JSONC = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


@dataclass(frozen=True)
class Deployment:
    """A deployment as its resource group's history shows it.

    :ivar state: ARM's provisioning state
    :ivar parameters: by name, each ``{"type", "value"}``; secure ones have no value
    :ivar outputs: by name, the plain values
    :ivar seconds: how long it ran
    """

    name: str
    group: str
    state: str
    template_hash: str | None
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Deployed:
    """A deployment that stands.

    :ivar outcome: ``unchanged`` when nothing had to be done, ``joined`` when somebody else's running one did it
    :ivar seconds: how long Azure worked on it
    """

    outputs: dict[str, Any]
    outcome: Literal["deployed", "unchanged", "joined"]
    seconds: float


@dataclass(frozen=True)
class _Wanted:
    group: str
    name: str
    template: dict[str, Any]
    parameters: dict[str, Any] = field(repr=False)
    volatile: Collection[str]

    @property
    def subject(self) -> str:
        return f"{self.group}/{self.name}"

    @property
    def body(self) -> models.Deployment:
        values = {name: {"value": value} for name, value in self.parameters.items()}
        return models.Deployment(
            {"properties": {"mode": "Incremental", "template": self.template, "parameters": values}}
        )


async def find_deployment(session: AzureSession, group: str, name: str) -> Deployment | None:
    """The latest deployment of that name, or ``None``."""
    try:
        with azure_faults("read the deployment", f"{group}/{name}"):
            return _deployment(group, await session.deployments.deployments.get(group, name))
    except NotFound:
        return None


async def read_outputs(session: AzureSession, group: str, name: str) -> dict[str, Any]:
    """Outputs of a deployment that somebody made before.

    :raises NotFound: when there is none of that name
    :raises Conflict: when it is still running
    :raises OperationFailed: when it did not succeed
    """
    attempted, subject = "read the outputs of the deployment", f"{group}/{name}"
    found = await find_deployment(session, group, name)
    again = f"az deployment group create -g {group} -n {name} -f <its template>"
    if found is None:
        raise NotFound(attempted, subject, "There is no such deployment.", f"Make it first: {again}")
    if found.state not in _ENDED:
        raise Conflict(attempted, subject, f"It is {found.state}.", "Run again when it has ended.")
    if found.state != "Succeeded":
        raise OperationFailed(attempted, subject, f"It ended as {found.state}.", f"Mend it and run: {again}")
    return dict(found.outputs)


async def ensure_deployment(
    session: AzureSession,
    group: str,
    name: str,
    template: dict[str, Any],
    parameters: dict[str, Any],
    *,
    volatile: frozenset[str] = frozenset(),
    again: bool = False,
) -> Deployed:
    """Have the template deployed with these parameters.

    :param parameters: plain values by name
    :param volatile: names of parameters whose change alone is no reason to deploy again
    :param again: deploy even if nothing changed
    :raises ConfigurationError: when validation refuses the template or its parameters
    :raises OperationFailed: when it failed, with the innermost causes and the resources that failed
    :raises Unavailable: when it has not ended after 45 minutes; a further call joins it
    """
    wanted = _Wanted(group, name, template, parameters, volatile)
    with azure_faults("deploy the template", wanted.subject):
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await _ensure(session, wanted, again)


async def _ensure(session: AzureSession, wanted: _Wanted, again: bool) -> Deployed:
    joined = False
    while True:
        current = await find_deployment(session, wanted.group, wanted.name)
        if current and current.state not in _ENDED:
            joined = True
            await asyncio.sleep(session.poll_seconds)
            continue
        if current and (joined or not again) and await _matches(session, current, wanted):
            return Deployed(dict(current.outputs), "joined" if joined else "unchanged", current.seconds)
        started = time.monotonic()
        try:
            done = await _deploy(session, wanted)
        except Conflict as error:
            if "DeploymentActive" not in error.observed:
                raise
            joined = True
            await asyncio.sleep(session.poll_seconds)
            continue
        return Deployed(dict(done.outputs), "deployed", done.seconds or time.monotonic() - started)


async def is_deployed(
    session: AzureSession,
    group: str,
    name: str,
    template: dict[str, Any],
    parameters: dict[str, Any],
    *,
    volatile: Collection[str] = (),
) -> bool:
    """Whether :func:`ensure_deployment` would leave the deployment alone."""
    current = await find_deployment(session, group, name)
    return current is not None and await _matches(
        session, current, _Wanted(group, name, template, parameters, volatile)
    )


async def _deploy(session: AzureSession, wanted: _Wanted) -> Deployment:
    deployments = session.deployments.deployments
    try:
        with azure_faults("validate the template", wanted.subject):
            check = await deployments.begin_validate(wanted.group, wanted.name, wanted.body)
            await check.result()
    except OperationFailed as error:
        raise ConfigurationError(error.attempted, error.subject, error.observed, error.remedy) from None
    try:
        with azure_faults("deploy the template", wanted.subject):
            poller = await deployments.begin_create_or_update(wanted.group, wanted.name, wanted.body)
            return _deployment(wanted.group, await poller.result())
    except OperationFailed as error:
        failed = await _failed_resources(session, wanted)
        observed = f"{error.observed} Failed resources: {failed}." if failed else error.observed
        raise OperationFailed(error.attempted, error.subject, observed, error.remedy) from None


async def _failed_resources(session: AzureSession, wanted: _Wanted) -> str:
    """Names and causes, or nothing when even that cannot be read: the failure itself must be told."""
    failed = []
    try:
        with azure_faults("list the deployment's operations", wanted.subject):
            async for operation in session.deployments.deployment_operations.list(wanted.group, wanted.name):
                properties = operation.properties
                if properties and properties.provisioning_state == "Failed" and properties.target_resource:
                    target, status = properties.target_resource, properties.status_message
                    code = status.error.code if status and status.error else properties.status_code
                    failed.append(f"{target.resource_type} {target.resource_name} ({code})")
    except PratiqueError:
        return ""
    return ", ".join(failed)


async def _matches(session: AzureSession, current: Deployment, wanted: _Wanted) -> bool:
    if current.state != "Succeeded" or not same_parameters(
        wanted.template, current.parameters, wanted.parameters, wanted.volatile
    ):
        return False
    with azure_faults("calculate the template's hash", wanted.subject):
        answer = await session.deployments.deployments.calculate_template_hash(wanted.template)
    return bool(current.template_hash) and answer.template_hash == current.template_hash


def same_parameters(
    template: Mapping[str, Any], recorded: Mapping[str, Any], given: Mapping[str, Any], volatile: Collection[str]
) -> bool:
    """Whether a deployment was made with the parameters given now.

    A secure parameter cannot be compared, so it counts as changed. One that is not given must have had the
    template's default; a default that is an expression is taken to give the same value again.
    """
    declared: Mapping[str, Any] = template.get("parameters", {})
    before = {name.lower(): entry for name, entry in recorded.items()}
    now = {name.lower(): value for name, value in given.items()}
    ignored = {name.lower() for name in volatile}
    defaults = {name.lower(): entry.get("defaultValue") for name, entry in declared.items()}
    for name in (before.keys() | now.keys()) - ignored:
        entry = before.get(name)
        if entry is None or str(entry.get("type", "")).lower() in _SECURE or "value" not in entry:
            return False
        wanted = now[name] if name in now else defaults.get(name)
        computed = name not in now and isinstance(wanted, str) and wanted.startswith("[")
        if not computed and entry["value"] != wanted:
            return False
    return True


async def load_template(path: Path) -> dict[str, Any]:
    """Read an ARM template: ``.json``, comments allowed, or ``.bicep``, compiled by the ``bicep`` on this machine.

    :raises ConfigurationError: when the file is missing, is no template, or cannot be compiled
    """
    attempted = "read the template"
    try:
        text = (
            await _compile(path)
            if path.suffix == ".bicep"
            else await asyncio.to_thread(path.read_text, encoding="utf-8")
        )
        template = json.loads(_JSONC.sub(lambda match: match[0] if match[0].startswith('"') else " ", text))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigurationError(attempted, str(path), f"{error}.", "Correct the file or its path.") from None
    if not isinstance(template, dict) or "resources" not in template:
        raise ConfigurationError(attempted, str(path), "It has no resources.", "Name an ARM template.")
    return template


async def _compile(path: Path) -> str:
    attempted = "compile the template"
    bicep = shutil.which("bicep") or shutil.which("bicep", path=str(Path.home() / ".azure" / "bin"))
    if bicep is None:
        raise ConfigurationError(attempted, str(path), "There is no bicep here.", "Install it: az bicep install")
    process = await asyncio.create_subprocess_exec(
        bicep, "build", "--stdout", str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await process.communicate()
    if process.returncode:
        observed = complaints.decode(errors="replace").strip()[-900:]
        raise ConfigurationError(attempted, str(path), observed, "Correct the file.")
    return out.decode()


def _deployment(group: str, found: models.DeploymentExtended) -> Deployment:
    if (properties := found.properties) is None or not properties.provisioning_state:
        raise UnreadableAnswer(
            "read the deployment", f"{group}/{found.name}", "It has no provisioning state.", "Run again."
        )
    return Deployment(
        name=str(found.name),
        group=group,
        state=word(properties.provisioning_state),
        template_hash=properties.template_hash,
        parameters=dict(properties.parameters or {}),
        outputs={name: entry.get("value") for name, entry in (properties.outputs or {}).items()},
        seconds=_seconds(properties.duration),
    )


def _seconds(duration: str | None) -> float:
    """ISO 8601 without years and months, as ARM writes it: ``PT8M3.5S``."""
    match = _DURATION.fullmatch(duration or "")
    if match is None:
        return 0.0
    parts = zip(match.groups(), (86400, 3600, 60, 1), strict=True)
    return sum(float(part) * unit for part, unit in parts if part)
