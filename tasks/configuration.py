"""The first step of each flow: read the configuration, if the parameter names its place in Git.

What a run has read is recorded in the run's labels on the Prefect server: the commit, so that a retry or a resumption
uses the same one; and the few values that hooks and sweeps need, so that they can revoke access while Git is down. A
Prefect variable holds the latest such values for each place. None of this contains a secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.variables import Variable
from pydantic import BaseModel, ConfigDict

from pratique.audit.drill.staging import check_names
from pratique.config import Bootstrap, Cluster, Registries
from pratique.config.source import ConfigSource, parse_parameter
from pratique.errors import ConfigurationError, PratiqueError
from pratique.named_files import files_below
from pratique.release.configuration import ReadConfig, read_config
from tasks.events import emit
from tasks.policies import UNCACHED
from tasks.runtime import config_origin, run_id
from tasks.secrets import read_secret
from tasks.step import step

#: Labels of a run: the commit of its configuration, and what :class:`RunTarget` holds, as JSON.
COMMIT = "pratique.configuration.commit"
TARGET = "pratique.configuration.target"


class RunTarget(BaseModel):
    """The Azure resources that a run works on: enough to revoke its access and to remove its drill.

    :ivar drill_identity: client id of the drill's managed identity; ``None`` for the worker's own
    :ivar drill_safe: whether no image of the catalogue has a repository that a drill removes
    """

    model_config = ConfigDict(frozen=True)

    subscription_id: str | None
    cloud: Literal["public", "usgov", "china"]
    cluster: Cluster
    registries: Registries
    drill_identity: str | None = None
    drill_safe: bool

    @classmethod
    def of(cls, config: Bootstrap) -> Self:
        """The target of a configuration, without the cluster's further settings."""
        chosen = config.cluster
        return cls(
            subscription_id=config.subscription_id,
            cloud=config.cloud,
            cluster=Cluster(resource_group=chosen.resource_group, deployment=chosen.deployment),
            registries=config.registries,
            drill_identity=config.drill.identity,
            drill_safe=_drill_safe(config),
        )


@asynccontextmanager
async def configuration(given: Bootstrap | ConfigSource) -> AsyncIterator[Bootstrap]:
    """The configuration of this run. While the block lasts, paths in it lead to the files of its commit.

    :raises ConfigurationError: when the configuration is invalid, or its commit is not the branch's
    :raises PratiqueError: when Git does not answer, or refuses
    """
    if isinstance(given, Bootstrap):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="pratique-configuration-", ignore_cleanup_errors=True) as folder:
        found = await read_configuration(given, Path(folder))
        token = config_origin.set(found.origin)
        try:
            with files_below(found.folder):
                yield found.config
        finally:
            config_origin.reset(token)


@step(name="read configuration", run_name="read configuration {source.path}", **UNCACHED)
async def read_configuration(source: ConfigSource, folder: Path) -> ReadConfig:
    """Read the configuration at the branch's last commit, or at the one with which this run began; record the commit.

    :param folder: for the files of the commit
    """
    labels = await _labels(UUID(run_id()))
    began_with = labels.get(COMMIT)
    found = await read_config(source, await asyncio.to_thread(_new_folder, folder), read_secret, commit=began_with)
    origin, target = found.origin, RunTarget.of(found.config)
    if began_with is None:
        await _record(source, origin.commit, target)
        emit(
            "configuration.read",
            cluster=target.cluster.resource_group,
            remote=origin.remote,
            branch=origin.branch,
            path=origin.path,
            commit=origin.commit,
        )
    get_run_logger().info("Configuration: %s", origin)
    return found


async def target_of_run(run: FlowRun) -> RunTarget | None:
    """The target of a run, as its parameters or its labels have it; needs no Git.

    :return: ``None`` when the run has not read its configuration, so that it has opened nothing
    """
    given = parse_parameter(run.parameters["config"])
    if isinstance(given, Bootstrap):
        return RunTarget.of(given)
    recorded = _recorded.get(run.id) or (await _labels(run.id)).get(TARGET)
    return None if recorded is None else RunTarget.model_validate_json(recorded)


async def target_to_sweep(given: Bootstrap | ConfigSource, run: UUID | None) -> RunTarget:
    """The target of a sweep: that of a run, if one is named that has read its configuration; else the configuration's.

    When the configuration cannot be read, the sweep works on the target that was last read there.

    :raises PratiqueError: when it cannot be read now, and never was
    """
    if run is not None:
        with suppress(ObjectNotFound):
            async with get_client() as client:
                ended = await client.read_flow_run(run)
            if target := await target_of_run(ended):
                return target
    try:
        async with configuration(given) as config:
            return RunTarget.of(config)
    except PratiqueError as error:
        known = isinstance(given, ConfigSource) and await Variable.aget(_variable(given))
        if not known:
            raise
        get_run_logger().warning("Sweeping where the configuration last said, as it cannot be read now. %s", error)
        return RunTarget.model_validate(known)


#: By run: what this process has recorded, for hooks in it while the server does not answer.
_recorded: dict[UUID, str] = {}


async def _record(source: ConfigSource, commit: str, target: RunTarget) -> None:
    run, text = UUID(run_id()), target.model_dump_json(exclude_defaults=True)
    async with get_client() as client:
        await client.update_flow_run_labels(run, {COMMIT: commit, TARGET: text})
    _recorded[run] = text
    value = json.loads(text)
    if await Variable.aget(_variable(source)) != value:
        await Variable.aset(_variable(source), value, overwrite=True)


async def _labels(run: UUID) -> dict[str, Any]:
    async with get_client() as client:
        return dict((await client.read_flow_run(run)).labels)


def _variable(source: ConfigSource) -> str:
    name = json.dumps([source.remote, source.branch, source.path])
    return f"pratique_configuration_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _new_folder(folder: Path) -> Path:
    """A folder for this attempt: an earlier one may have left files."""
    return Path(tempfile.mkdtemp(dir=folder))


def _drill_safe(config: Bootstrap) -> bool:
    try:
        check_names([image.location.repository for image in config.catalogue.images])
    except ConfigurationError:
        return False
    return True
