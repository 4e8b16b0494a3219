"""Deployments with a configuration: which files describe them, and what is set on the server besides.

``prefect deploy`` sets each deployment back to what its file says: no parameters, and schedules off. What was set on
the server stays here, and stored configurations of older versions are migrated. Deployments that are named after a
configuration ask in their form only for the kind of configuration that they have.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from ruamel.yaml import YAML

from pratique.cli.deployment_files import PREFECT_FILE
from pratique.config import Bootstrap, ConfigSource, load
from pratique.config.migration import VersionProblem, migrate
from pratique.deployment import CHECKOUT
from pratique.errors import ConfigurationError

#: The flows' parameter.
PARAMETER = "config"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_SECTIONS: Mapping[type, str] = {Bootstrap: "Bootstrap", ConfigSource: "ConfigSource"}


@dataclass(frozen=True)
class Configured:
    """What is deployed besides the files of ``deployments/``.

    :ivar config: for the parameter of the deployments; ``None`` to leave it as it is
    :ivar name: of deployments of its own; without it, the ones of ``deployments/prefect.yaml`` get the configuration
    """

    config: Bootstrap | ConfigSource | None = None
    name: str | None = None

    @property
    def value(self) -> dict[str, Any]:
        """The parameter's value."""
        if self.config is None:
            return {}
        return {PARAMETER: self.config.model_dump(mode="json", exclude_unset=True)}


def configured(file: Path | None, source: Mapping[str, str | None], name: str | None) -> Configured:
    """What the options of ``pratique deploy`` ask for.

    :param source: the fields of a :class:`ConfigSource` by option; those of options that were not given are ``None``
    :raises ConfigurationError: when they contradict each other, or a value is invalid
    """
    if file is not None and source["remote"] is not None:
        raise _refused("--config-from", "--config is given as well.", "Give one of them.")
    if source["remote"] is None and (given := [key for key, value in source.items() if value is not None]):
        raise _refused(f"--{given[0]}", "It belongs to --config-from.", "Add --config-from with the repository.")
    config: Bootstrap | ConfigSource | None = None if file is None else load(file)
    if source["remote"] is not None:
        try:
            config = ConfigSource.model_validate({key: value for key, value in source.items() if value is not None})
        except ValueError as error:
            problems = error.errors() if hasattr(error, "errors") else []
            said = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
            raise _refused("--config-from", f"{said or 'It is invalid'}.", "Correct the option.") from None
    if name is not None and config is None:
        raise _refused("--name", "There is no configuration to name.", "Add --config or --config-from.")
    if name is not None and (not _NAME.fullmatch(name) or name in _names()):
        taken = "It is one of deployments/prefect.yaml." if name in _names() else "It is not a valid name."
        remedy = "Choose another name: up to 40 lower-case letters, digits and -, for example green."
        raise _refused(f"--name {name}", taken, remedy)
    return Configured(config, name)


def prefect_files(wanted: Configured, folder: Path) -> list[Path]:
    """The files for ``prefect deploy``.

    :param folder: for those that are written; private to this user
    """
    if wanted.name is None:
        return [PREFECT_FILE]
    document = _document()
    for deployment in document["deployments"]:
        deployment["name"] = wanted.name
        deployment["tags"] = [*deployment["tags"], f"configuration:{wanted.name}"]
    path = folder / "prefect.yaml"
    YAML().dump(document, path)
    return [PREFECT_FILE, path]


def deployment_names(wanted: Configured) -> list[str]:
    """All deployments, as FLOW/DEPLOYMENT."""
    listed = [(entry["entrypoint"].rpartition(":")[2], entry["name"]) for entry in _document()["deployments"]]
    named = [(flow, wanted.name) for flow, _ in listed] if wanted.name else []
    return [f"{flow}/{name}" for flow, name in [*listed, *named]]


async def read_deployments(client: PrefectClient, wanted: Configured) -> dict[str, DeploymentResponse]:
    """Those of the deployments that exist, by FLOW/DEPLOYMENT."""
    found = {}
    for name in deployment_names(wanted):
        try:
            found[name] = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            continue
    return found


async def set_parameters(
    client: PrefectClient, wanted: Configured, before: Mapping[str, DeploymentResponse]
) -> list[str]:
    """Set parameters, schemas and schedules after ``prefect deploy``; returns a line for each configuration set.

    :param before: the deployments as they were
    :raises ConfigurationError: when a stored configuration cannot be migrated
    """
    lines = []
    for name, deployment in (await read_deployments(client, wanted)).items():
        old = before.get(name)
        parameters = _migrated(name, dict(old.parameters) if old else {})
        if name.rpartition("/")[2] == (wanted.name or name.rpartition("/")[2]) and wanted.config is not None:
            parameters |= wanted.value
            lines.append(f"{name}: {PARAMETER} set")
        elif old and parameters != old.parameters:
            lines.append(f"{name}: {PARAMETER} migrated")
        update = DeploymentUpdate(parameters=parameters)
        if wanted.config is not None and name.endswith(f"/{wanted.name}"):
            schema = narrowed(deployment.parameter_openapi_schema or {}, type(wanted.config))
            update = DeploymentUpdate.model_validate({"parameters": parameters, "parameter_openapi_schema": schema})
        await client.update_deployment(deployment.id, update)
        await _restore_schedules(client, deployment, old)
    return lines


def narrowed(schema: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """A flow's schema whose parameter ``config`` is of one kind, so that the form shows its fields at once."""
    found = copy.deepcopy(dict(schema))
    field = found["properties"][PARAMETER]
    (chosen,) = [part for part in field.pop("anyOf") if part["$ref"].endswith(f"/{_SECTIONS[kind]}")]
    field["$ref"] = chosen["$ref"]
    return found


def _migrated(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    value = parameters.get(PARAMETER)
    if not isinstance(value, dict) or "remote" in value:
        return parameters
    try:
        return parameters | {PARAMETER: migrate(value)}
    except VersionProblem as error:
        raise ConfigurationError(
            "migrate the configuration of a deployment", name, f"{error}.", "Correct its parameter in Prefect's UI."
        ) from None


async def _restore_schedules(
    client: PrefectClient, deployment: DeploymentResponse, old: DeploymentResponse | None
) -> None:
    """Schedules that somebody switched on or off stay so."""
    active = {_key(schedule): schedule.active for schedule in old.schedules} if old else {}
    for schedule in deployment.schedules:
        was = active.get(_key(schedule), schedule.active)
        if was != schedule.active and schedule.id is not None:
            await client.update_deployment_schedule(deployment.id, schedule.id, active=was)


def _key(schedule: DeploymentSchedule) -> str:
    return schedule.schedule.model_dump_json()


def _names() -> set[str]:
    return {entry["name"] for entry in _document()["deployments"]}


def _document() -> Any:
    return YAML(typ="safe").load(CHECKOUT / PREFECT_FILE)


def _refused(option: str, observed: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("deploy", option, observed, remedy)
