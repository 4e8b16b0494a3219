"""One run at a time works on a cluster, whatever flow, deployment, worker or person started it.

A Prefect variable, of which there can be one by a name, says whose turn it is. It belongs to a flow run, so that
nothing has to be given back by one that died: a run that has ended, or waits for a person, has lost its turn, and so
has one whose process moves no hand. Prefect's concurrency limits would count slots for processes that are gone, and end
healthy runs when the server is restarted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

import httpx
from prefect import get_client, get_run_logger, task
from prefect import runtime as prefect_runtime
from prefect.client.base import ServerType
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import VariableCreate
from prefect.client.schemas.objects import FlowRun, Variable
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.urls import url_for

from tasks.policies import ALWAYS
from tasks.runtime import current, run_id

#: Seconds between two signs of life of the run whose turn it is.
BEAT = 20.0
#: Seconds without any, after which a waiting run takes over. Measured by the one that waits: clocks need not agree.
DEAD = 120.0
#: Seconds between two looks of a waiting run.
LOOK = 5.0


@dataclass
class _Turn:
    """This run's turn, and the task that shows that it is alive."""

    variable: UUID
    beating: asyncio.Task[None]

    async def end(self) -> None:
        self.beating.cancel()
        with suppress(httpx.HTTPError):  # then its next owner finds that we have ended
            async with get_client() as client:
                await _remove(client, self.variable)


@dataclass
class _Holder:
    """Whoever's turn it is, as a waiting run sees it.

    :ivar since: when it was first seen like this, on this process's own clock
    """

    seen: Variable
    since: float = field(default_factory=monotonic)

    @property
    def run(self) -> UUID | None:
        value = self.seen.value
        try:
            return UUID(str(value["run"])) if isinstance(value, dict) else None
        except (KeyError, ValueError):
            return None


_held: ContextVar[_Turn | None] = ContextVar("pratique_turn", default=None)


@asynccontextmanager
async def turn() -> AsyncIterator[None]:
    """Wait until no other run works on this cluster, and keep others waiting meanwhile.

    A run without a lasting Prefect server knows of no other, and waits for none.
    """
    await _begin()
    try:
        yield
    finally:
        await _end()


@asynccontextmanager
async def turn_given_up() -> AsyncIterator[None]:
    """Let others work on the cluster while this run waits for a person; then wait for them."""
    had = _held.get()
    await _end()
    yield
    if had is not None:
        await _begin()


async def _begin() -> None:
    async with get_client() as client:
        if client.server_type is ServerType.EPHEMERAL:
            return
    now = current()
    name = f"{now.session.subscription_id}/{now.cluster}".lower()
    variable = await wait_for_turn(now.cluster, f"pratique_turn_{hashlib.sha256(name.encode()).hexdigest()[:16]}")
    _held.set(_Turn(variable, asyncio.create_task(_beat(variable, now.cluster))))


async def _end() -> None:
    held = _held.get()
    if held is not None:
        _held.set(None)
        await held.end()


@task(name="wait for turn", task_run_name="wait for the turn on {cluster}", **ALWAYS)
async def wait_for_turn(cluster: str, name: str) -> UUID:
    """Take the turn on the cluster, as soon as nobody has it.

    :param name: of the variable
    :return: the variable's id, which no other owner's has
    """
    holder: _Holder | None = None
    async with get_client() as client:
        while True:
            with suppress(ObjectAlreadyExists):
                return (await client.create_variable(VariableCreate(name=name, value=_value(cluster, 0)))).id
            seen = await client.read_variable_by_name(name)
            if seen is None:
                continue
            if holder is None or holder.seen.id != seen.id:
                holder = _Holder(seen)
                await _tell(client, cluster, holder)
            elif holder.seen.value != seen.value:
                holder = _Holder(seen)
            if monotonic() - holder.since > DEAD or not await _working(client, holder.run):
                # By its id: a variable that another waiting run has made meanwhile is another one.
                await _remove(client, seen.id)
            else:
                await asyncio.sleep(LOOK)


async def _working(client: PrefectClient, run: UUID | None) -> bool:
    """Whether that run can be at work: neither ended nor waiting for a person, nor an earlier process of this run."""
    if run is None:
        return True  # not of our making: only its silence tells
    if str(run) == run_id():
        return False
    try:
        state = (await client.read_flow_run(run)).state
    except ObjectNotFound:
        return False
    return state is not None and not (state.is_final() or state.is_paused())


async def _tell(client: PrefectClient, cluster: str, holder: _Holder) -> None:
    run: FlowRun | None = None
    if holder.run is not None:
        with suppress(ObjectNotFound):
            run = await client.read_flow_run(holder.run)
    who = f"run {run.name}, {url_for(run) or run.id}" if run else f"variable {holder.seen.name}"
    get_run_logger().info("Another run works on %s (%s): waiting until it has ended", cluster, who)


async def _beat(variable: UUID, cluster: str) -> None:
    """Show again and again that this run is alive."""
    log, number = get_run_logger(), 0
    async with get_client() as client:
        while True:
            await asyncio.sleep(BEAT)
            number += 1
            try:
                await client.request(
                    "PATCH", "/variables/{id}", path_params={"id": variable}, json={"value": _value(cluster, number)}
                )
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.NOT_FOUND:
                    log.warning("This run was silent for so long that another has taken its turn on %s", cluster)
                    return
            except httpx.HTTPError:
                continue  # the server is away, for those who wait as well


async def _remove(client: PrefectClient, variable: UUID) -> None:
    """Delete it, if it is still there."""
    try:
        await client.request("DELETE", "/variables/{id}", path_params={"id": variable})
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise


def _value(cluster: str, beat: int) -> dict[str, str | int]:
    return {"cluster": cluster, "run": run_id(), "name": prefect_runtime.flow_run.name or "", "beat": beat}
