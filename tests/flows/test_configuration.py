"""Runs whose configuration is in Git: what they use, what they record, and what needs no Git."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Scheduled
from ruamel.yaml import YAML

from flows.release_images import release_images
from pratique.config import ConfigParameter
from pratique.errors import ConfigurationError, PratiqueError
from pratique.release.delivery import CONFIGURATION
from sandbox.services.oci.catalogue import image_spec
from tasks import configuration as step
from tasks.configuration import COMMIT, configuration, target_of_run, target_to_sweep
from tests.flows.configuration_repository import ConfigRepository, in_git
from tests.flows.conftest import MakeWorld
from tests.flows.world import KURED, PROJECT, git
from tests.sandbox.registries import publish

NEWER = KURED.replace("1.14.0", "1.14.1")


@pytest.fixture
def repository(tmp_path: Path) -> ConfigRepository:
    return ConfigRepository(tmp_path)


def example(group: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(PROJECT / "examples" / "bootstrap.yaml")
    document["cluster"] = {"resource_group": group}
    document["gate"]["exceptions"] = []
    return document


@flow(name="reads")
async def reads(config: ConfigParameter) -> str:
    """The smallest flow that reads its configuration."""
    async with configuration(config) as found:
        return found.cluster.resource_group


async def started(repository: ConfigRepository) -> UUID:
    """A run of a deployment whose parameter is the place of the configuration."""
    async with get_client() as client:
        deployment = await client.create_deployment(await client.create_flow(reads), "green")
        parameters = {"config": repository.source.model_dump(mode="json", exclude_unset=True)}
        run = await client.create_flow_run_from_deployment(deployment, parameters=parameters, state=Scheduled())
    return run.id


async def read(run: UUID) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(run)


async def execute(run: UUID) -> Any:
    """Execute a run, as a worker's process does; again, as after Retry or an answer."""
    step._recorded.clear()  # another process knows nothing
    async with get_client() as client:
        await client.set_flow_run_state(run, Scheduled(), force=True)
        found = await client.read_flow_run(run)
    return await run_flow(reads, found, found.parameters)  # type: ignore[misc, arg-type]  # any flow's


async def test_a_run_that_starts_again_uses_its_own_commit(prefect: Path, repository: ConfigRepository) -> None:
    """A retry, or a resumption after an approval, does not silently run another configuration; a new run does."""
    commit = repository.push(example("rg-approved"))
    run = await started(repository)
    assert await execute(run) == "rg-approved"
    assert (await read(run)).labels[COMMIT] == commit
    repository.push(example("rg-changed"))
    assert await execute(run) == "rg-approved"
    assert await execute(await started(repository)) == "rg-changed"


async def test_a_commit_that_the_branch_has_lost_ends_the_run(prefect: Path, repository: ConfigRepository) -> None:
    """The run neither goes on with a commit that somebody took back, nor with what replaced it."""
    repository.push(example("rg-first"))
    repository.push(example("rg-lost"))
    run = await started(repository)
    assert await execute(run) == "rg-lost"
    repository.push(example("rg-forced"), "--amend")
    with pytest.raises(ConfigurationError, match="does not have this commit"):
        await execute(run)


async def test_a_refused_configuration_is_not_kept(prefect: Path, repository: ConfigRepository) -> None:
    """A run whose configuration was invalid has begun with none: its retry reads the corrected one."""
    repository.push(example("rg-first") | {"version": 3})
    run = await started(repository)
    with pytest.raises(ConfigurationError, match="upgrade Pratique"):
        await execute(run)
    assert COMMIT not in (await read(run)).labels
    repository.push(example("rg-corrected"))
    assert await execute(run) == "rg-corrected"


async def test_hooks_and_sweeps_need_no_git(prefect: Path, repository: ConfigRepository) -> None:
    """While Git is down, a run's cluster is known from its labels, and a sweep works where it last did."""
    repository.push(example("rg-green"))
    run = await started(repository)
    await execute(run)
    repository.push(example("rg-other"))
    shutil.move(repository.bare, repository.bare.with_suffix(".away"))
    step._recorded.clear()
    target = await target_of_run(await read(run))
    assert target is not None
    assert (target.cluster.resource_group, target.cloud, target.drill_safe) == ("rg-green", "public", True)

    @flow(name="sweeps")
    async def sweeps(config: ConfigParameter, run: UUID | None) -> str:
        return (await target_to_sweep(config, run)).cluster.resource_group

    assert await sweeps(repository.source, run) == "rg-green"
    assert await sweeps(repository.source, None) == "rg-green"
    with pytest.raises(PratiqueError):
        await sweeps(repository.source.model_copy(update={"path": "never/read.yaml"}), None)


async def test_a_run_that_read_nothing_has_opened_nothing(prefect: Path, repository: ConfigRepository) -> None:
    """Its hooks have nothing to do."""
    run = await started(repository)
    assert await target_of_run(await read(run)) is None


async def test_a_changed_catalogue_is_released_by_the_next_run(world: MakeWorld, repository: ConfigRepository) -> None:
    """Nobody deploys again: the same parameters release what the branch's new commit says, and all records name it."""
    cluster = world(((KURED,),))
    await cluster.prepare()
    document, files = in_git(cluster)
    first = await asyncio.to_thread(lambda: repository.push(document, **files))
    await release_images(repository.source)
    publish(cluster.sandbox, image_spec(NEWER, "alpine:3.20", {"curl": "8.9.1-r2"}))
    document["catalogue"]["releases"][0]["images"] = [{"source": NEWER}]
    changed = await asyncio.to_thread(lambda: repository.push(document))
    delivery = await release_images(repository.source)
    assert [image.source for image in delivery.images] == [NEWER]
    assert cluster.upstream(NEWER).items() <= cluster.live.items()
    assert changed != first
    trailer = f"--format=%(trailers:key={CONFIGURATION},valueonly)"
    assert git("log", "-1", trailer, "main", folder=cluster.gitops).strip() == changed
    assert git("log", "-1", trailer, "pratique-records", folder=cluster.gitops).strip() == changed
