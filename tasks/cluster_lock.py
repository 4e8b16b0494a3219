"""Lets one run at a time work on a cluster, whatever flow, deployment, worker or person started it.

It spares work that would be done twice. Nothing relies on it for correctness: clusters of several Prefect servers,
which know nothing of each other's locks, may share a registry and its records.

The lock is a Prefect variable, as variable names are unique. It belongs to a flow run, so a crashed run need not
release it: a run that has ended, that waits for a person, or whose process has stopped responding has lost the lock.
Prefect's concurrency limits would count slots for processes that are gone, and would end healthy runs when the server
restarts.
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
from prefect import get_client, get_run_logger
from prefect import runtime as prefect_runtime
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import VariableCreate
from prefect.client.schemas.objects import FlowRun, Variable
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.urls import url_for

from tasks.policies import UNCACHED
from tasks.runtime import current, run_id, server_ends_with_run
from tasks.step import step

#: Seconds between two heartbeats of the run that holds the lock.
HEARTBEAT = 20.0
#: Seconds without a heartbeat after which a waiting run takes over. The waiting run measures, so clocks may differ.
EXPIRY = 120.0
#: Seconds between two attempts of a waiting run.
POLL = 5.0


@dataclass
class _Lock:
    """The lock that this run holds, and the task that sends its heartbeats."""

    variable: UUID
    heartbeat: asyncio.Task[None]

    async def release(self) -> None:
        self.heartbeat.cancel()
        with suppress(httpx.HTTPError):  # the next run will find that this one has ended
            async with get_client() as client:
                await _remove(client, self.variable)


@dataclass
class _Holder:
    """The run that holds the lock, as a waiting run sees it.

    :ivar since: when the variable was first seen in this state, on this process's own clock
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


_held_lock: ContextVar[_Lock | None] = ContextVar("pratique_lock", default=None)


@asynccontextmanager
async def cluster_lock() -> AsyncIterator[None]:
    """Wait until no other run works on this cluster, and make others wait meanwhile.

    A run whose Prefect server ends with it does not know of other runs, and does not wait.
    """
    await _acquire()
    try:
        yield
    finally:
        await _release()


@asynccontextmanager
async def lock_released() -> AsyncIterator[None]:
    """Let other runs work on the cluster while this run waits for a person; then acquire the lock again."""
    held = _held_lock.get()
    await _release()
    yield
    if held is not None:
        await _acquire()


async def _acquire() -> None:
    async with get_client() as client:
        if server_ends_with_run(client):
            return
    runtime = current()
    name = runtime.cluster_key
    variable = await acquire_lock(runtime.cluster, f"pratique_lock_{hashlib.sha256(name.encode()).hexdigest()[:16]}")
    _held_lock.set(_Lock(variable, asyncio.create_task(_send_heartbeats(variable, runtime.cluster))))


async def _release() -> None:
    held = _held_lock.get()
    if held is not None:
        _held_lock.set(None)
        await held.release()


@step(name="acquire lock", run_name="acquire the lock on {cluster}", **UNCACHED)
async def acquire_lock(cluster: str, name: str) -> UUID:
    """Acquire the lock on the cluster as soon as no active run holds it.

    :param name: of the variable
    :return: the variable's id: unique to this acquisition
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
                await _log_holder(client, cluster, holder)
            elif holder.seen.value != seen.value:
                holder = _Holder(seen)
            if monotonic() - holder.since > EXPIRY or not await _is_active(client, holder.run):
                # By id, so that a variable that another waiting run has just created stays.
                await _remove(client, seen.id)
            else:
                await asyncio.sleep(POLL)


async def _is_active(client: PrefectClient, run: UUID | None) -> bool:
    """Whether that run can be working: not ended, not waiting for a person, and not an earlier process of this run."""
    if run is None:
        return True  # something else created the variable: wait for the heartbeat to expire
    if str(run) == run_id():
        return False
    try:
        state = (await client.read_flow_run(run)).state
    except ObjectNotFound:
        return False
    return state is not None and not (state.is_final() or state.is_paused())


async def _log_holder(client: PrefectClient, cluster: str, holder: _Holder) -> None:
    run: FlowRun | None = None
    if holder.run is not None:
        with suppress(ObjectNotFound):
            run = await client.read_flow_run(holder.run)
    who = f"run {run.name}, {url_for(run) or run.id}" if run else f"variable {holder.seen.name}"
    get_run_logger().info("Another run works on %s (%s): waiting until it has ended", cluster, who)


async def _send_heartbeats(variable: UUID, cluster: str) -> None:
    """Show that this run is alive, until the task is cancelled or the lock is lost."""
    log, number = get_run_logger(), 0
    async with get_client() as client:
        while True:
            await asyncio.sleep(HEARTBEAT)
            number += 1
            try:
                await client.request(
                    "PATCH", "/variables/{id}", path_params={"id": variable}, json={"value": _value(cluster, number)}
                )
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.NOT_FOUND:
                    log.warning(
                        "This run sent no heartbeat for too long: another run has taken its lock on %s", cluster
                    )
                    return
            except httpx.HTTPError:
                continue  # the server is down, also for waiting runs


async def _remove(client: PrefectClient, variable: UUID) -> None:
    """Delete the variable, unless it is gone already."""
    try:
        await client.request("DELETE", "/variables/{id}", path_params={"id": variable})
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise


def _value(cluster: str, number: int) -> dict[str, str | int]:
    return {"cluster": cluster, "run": run_id(), "name": prefect_runtime.flow_run.name or "", "heartbeat": number}
