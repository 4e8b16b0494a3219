"""How tasks are repeated and remembered: the same few rules for all of them."""

from __future__ import annotations

from typing import Any, TypedDict

from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID, CachePolicy
from prefect.client.schemas.objects import State, TaskRun

from pratique.errors import TransientError


class TaskOptions(TypedDict, total=False):
    """Options of ``@task`` as keyword arguments."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Any
    persist_result: bool
    cache_policy: CachePolicy


async def is_transient(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """Whether another attempt is worth it: the error's type says so, and nothing else."""
    return isinstance(await state.aresult(raise_on_failure=False), TransientError)


_REPEATED = TaskOptions(
    retries=4, retry_delay_seconds=[2, 5, 15, 30], retry_jitter_factor=0.3, retry_condition_fn=is_transient
)

#: A task that is made of tasks, which are repeated for themselves: what it has finished is kept as below.
FINISHED = TaskOptions(persist_result=True, cache_policy=INPUTS + RUN_ID)

#: Work that need not be done twice in one run: its small, secret-free result is kept for a retry of the run.
#: Without TASK_SOURCE in the key, a mended bug keeps the work that was finished before.
REMEMBERED = TaskOptions(**_REPEATED, **FINISHED)


def remembered_without(argument: str) -> TaskOptions:
    """Like :data:`REMEMBERED`, whatever that argument is."""
    return TaskOptions(**{**REMEMBERED, "cache_policy": (INPUTS - argument) + RUN_ID})


#: Work whose answer is true only now: grants, revocations, polls, the gate.
ALWAYS = TaskOptions(**_REPEATED, persist_result=False, cache_policy=NO_CACHE)
