"""What a whole run works in: whose the registries are, and where the configuration is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from flows.seal_live import seal_live
from pratique.config import Bootstrap, ConfigSource
from sandbox.subscriptions import Subscription
from tests.flows.configuration_repository import ConfigRepository, in_git
from tests.flows.replicas import REGIONS, add_replicas
from tests.flows.two_clusters import configured, make_green
from tests.flows.two_registries import INFRA, LIVE_ID, QUARANTINE_ID, SUBSCRIPTIONS, without_registry
from tests.flows.world import KURED, World

#: Built-in roles with which the pipeline may do everything in the subscriptions of the registries.
_ROLES = ("Contributor", "Role Based Access Control Administrator", "Container Registry Data Importer and Data Reader")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that can be repeated.

    :ivar flow: takes ``parameter``
    :ivar parameter: the configuration, or its place in Git
    :ivar commits: to the manifests, from a run that succeeds
    :ivar imports_certificate: whether the flow does
    :ivar seals: whether the flow locks what is in live/
    :ivar neighbours: other clusters that use the registry
    """

    world: World
    flow: Callable[..., Awaitable[Any]]
    parameter: Bootstrap | ConfigSource
    commits: int = 2
    imports_certificate: bool = True
    seals: bool = False
    neighbours: tuple[World, ...] = ()


@dataclass(frozen=True)
class Surrounding:
    """One of them.

    :ivar arrange: makes the run from an ordinary world, before any fault
    :ivar gates: whether the gate decides in the run about all images, so that it can block one
    """

    name: str
    arrange: Callable[[World], Awaitable[Run]]
    subscriptions: tuple[Subscription, ...] = ()
    gates: bool = True


async def _own_registry(world: World) -> Run:
    return Run(world=world, flow=prepare_cluster, parameter=world.config)


async def _separate_registries(world: World) -> Run:
    document = world.config.model_dump(mode="json")
    template = world.folder / "stamp.json"
    template.write_text(json.dumps(without_registry(INFRA / "pre-cluster-stamp.json")))
    document["cluster"]["template"] = str(template)
    document["registries"] |= {"live": LIVE_ID, "quarantine": QUARANTINE_ID}
    config = Bootstrap.model_validate(document)
    return Run(world=replace(world, config=config), flow=prepare_cluster, parameter=config)


async def _in_git(world: World) -> Run:
    repository = ConfigRepository(world.folder)
    document, files = in_git(world)
    repository.push(document, **files)
    return Run(world=world, flow=prepare_cluster, parameter=repository.source)


async def _sealed(world: World) -> Run:
    """Everything has been promoted, and nothing is locked."""
    sealed = configured(world, registries={"seal": {"enabled": True}})
    await sealed.prepare()
    return Run(world=sealed, flow=seal_live, parameter=sealed.config, seals=True)


async def _replicas(world: World) -> Run:
    """One image has been promoted before the registry has replicas; the other one is released into all of them."""
    await _with_kured(world).prepare()
    await asyncio.to_thread(add_replicas, world)
    made = configured(world, registries={"regions": REGIONS, "replication_interval_seconds": 1})
    return Run(world=made, flow=release_images, parameter=made.config, commits=3)


def _with_kured(world: World) -> World:
    """The cluster with one of its two images."""
    document = world.config.model_dump(mode="json")
    releases = document["catalogue"]["releases"]
    document["catalogue"]["releases"] = [one for one in releases if one["images"][0]["source"] == KURED]
    return replace(world, config=Bootstrap.model_validate(document))


async def _shared_registry(world: World) -> Run:
    """Blue has been prepared with one of green's images."""
    blue = configured(_with_kured(world), registries={"readers": [{"remote": str(world.folder)}]})
    await blue.prepare()
    green = await make_green(replace(world, config=_readable(world, blue)), world.folder / "green")
    return Run(
        world=green,
        flow=release_images,
        parameter=green.config,
        commits=1,
        imports_certificate=False,
        neighbours=(blue,),
    )


def _readable(world: World, blue: World) -> Bootstrap:
    """Green's rescans read blue's manifests, too."""
    return world.config.model_copy(update={"registries": blue.config.registries})


SURROUNDINGS = (
    Surrounding("a registry of its own", _own_registry),
    Surrounding(
        "separate registries",
        _separate_registries,
        tuple(one.model_copy(update={"roles": _ROLES}) for one in SUBSCRIPTIONS),
    ),
    Surrounding("a configuration in Git", _in_git),
    Surrounding("another cluster's registry", _shared_registry),
    Surrounding("a seal", _sealed, gates=False),
    Surrounding("replicas", _replicas, gates=False),
)
