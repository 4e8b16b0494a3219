"""Runs on one cluster take turns, and a turn never outlives its run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.actions import VariableCreate
from prefect.client.schemas.objects import State, Variable
from prefect.states import Crashed, Paused, Running

from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from pratique.config import Bootstrap
from pratique.release.summary import Preparation
from tasks.cluster_lock import cluster_lock, lock_released
from tasks.runtime import azure_runtime
from tests.flows.conftest import MakeWorld
from tests.waiting import until_met

happened: list[str] = []
doors: list[asyncio.Event] = []


@flow
async def works(config: Bootstrap, name: str, behind_door: bool = False) -> None:
    """Something that must be alone with its cluster."""
    async with azure_runtime(config), cluster_lock():
        happened.append(f"{name} begins")
        if behind_door:
            await doors[0].wait()
        for _ in range(20):
            await asyncio.sleep(0)
        happened.append(f"{name} ends")


@flow
async def asks(config: Bootstrap) -> None:
    """Waits for a person in the middle of its work."""
    async with azure_runtime(config), cluster_lock():
        happened.append("asks begins")
        await doors[0].wait()
        async with lock_released():
            await doors[1].wait()
        happened.append("asks ends")


@flow
async def stands_still() -> str:
    """Only here to have run."""
    return "done"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    happened.clear()
    doors[:] = [asyncio.Event(), asyncio.Event()]
    monkeypatch.setattr("tasks.cluster_lock.POLL", 0.02)


async def locks() -> list[Variable]:
    async with get_client() as client:
        return [one for one in await client.read_variables() if one.name.startswith("pratique_lock_")]


def heartbeat(held: Variable) -> int:
    assert isinstance(held.value, dict)
    return int(str(held.value["heartbeat"]))


async def until_somebody_has_it() -> Variable:
    found: list[Variable] = []

    async def somebody_has_it() -> bool:
        found[:] = await locks()
        return bool(found)

    await until_met(somebody_has_it)
    return found[0]


@asynccontextmanager
async def somebody_else(config: Bootstrap, state: State | None) -> AsyncIterator[None]:
    """Makes the lock on this cluster look as one that another run holds; ``None``: of a run that was deleted."""
    first = asyncio.create_task(works(config, "first", behind_door=True))
    mine = await until_somebody_has_it()
    doors[0].set()
    await first
    happened.clear()
    async with get_client() as client:
        run = uuid4()
        if state is not None:
            created = await client.create_flow_run(stands_still)
            await client.set_flow_run_state(created.id, state, force=True)
            run = created.id
        await client.create_variable(VariableCreate(name=mine.name, value={"run": str(run), "heartbeat": 1}))
    yield


async def test_no_interleaving(world: MakeWorld) -> None:
    """Of five runs at once each is alone with the cluster, and nothing is left of their locks."""
    config = world().config
    await asyncio.gather(*[works(config, str(number)) for number in range(5)])
    begun = [line.removesuffix(" begins") for line in happened[::2]]
    assert happened == [line for name in begun for line in (f"{name} begins", f"{name} ends")]
    assert sorted(begun) == list("01234")
    assert await locks() == []


async def test_other_cluster(world: MakeWorld) -> None:
    """Runs on different clusters do not wait for one another."""
    config = world().config
    document = config.model_dump(mode="json")
    document["cluster"]["resource_group"] = "rg-another"
    first = asyncio.create_task(works(config, "first", behind_door=True))
    await until_somebody_has_it()
    await works(Bootstrap.model_validate(document), "second")
    doors[0].set()
    await first
    assert happened == ["first begins", "second begins", "second ends", "first ends"]


async def test_two_flows(world: MakeWorld) -> None:
    """release_images waits until prepare_cluster has ended: before that it would find nothing to release to."""
    cluster = world()
    preparing = asyncio.create_task(prepare_cluster(cluster.config))
    await until_somebody_has_it()
    delivered = await release_images(cluster.config)
    assert isinstance(prepared := await preparing, Preparation)
    assert prepared.changed
    assert not delivered.changed
    assert await locks() == []


async def test_asking(world: MakeWorld) -> None:
    """While a person is asked others may work; afterwards the run waits until they have ended."""
    config = world().config
    asking = asyncio.create_task(asks(config))
    mine = await until_somebody_has_it()
    doors[0].set()

    async def given_up() -> bool:
        return mine.id not in [one.id for one in await locks()]

    await until_met(given_up)
    await works(config, "other")
    doors[1].set()
    await asking
    assert happened == ["asks begins", "other begins", "other ends", "asks ends"]


@pytest.mark.parametrize("state", [Crashed(), Paused(), None], ids=["crashed", "paused", "deleted"])
async def test_holder_gone(world: MakeWorld, state: State | None) -> None:
    """A run that has ended or asks a person keeps nobody waiting, whatever it has left behind."""
    config = world().config
    async with somebody_else(config, state):
        await asyncio.gather(*[works(config, str(number)) for number in range(3)])
    assert len(happened) == 6
    assert all(line.endswith("begins") for line in happened[::2])
    assert await locks() == []


async def test_holder_silent(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of whose death nobody has told the server loses the lock when it was silent for long enough."""
    monkeypatch.setattr("tasks.cluster_lock.EXPIRY", 0.2)
    config = world().config
    async with somebody_else(config, Running()):
        await works(config, "next")
    assert happened == ["next begins", "next ends"]


async def test_holder_alive(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run at work shows again and again that it is, so that it keeps the lock however long it takes."""
    monkeypatch.setattr("tasks.cluster_lock.HEARTBEAT", 0.02)
    config = world().config
    first = asyncio.create_task(works(config, "first", behind_door=True))
    await until_somebody_has_it()
    second = asyncio.create_task(works(config, "second"))

    async def has_beaten() -> bool:
        return heartbeat((await locks())[0]) >= 5

    await until_met(has_beaten)
    assert happened == ["first begins"]
    doors[0].set()
    await asyncio.gather(first, second)
    assert happened == ["first begins", "first ends", "second begins", "second ends"]
