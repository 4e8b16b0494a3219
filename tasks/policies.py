"""How steps are retried and cached: a few policies for all of them."""

from __future__ import annotations

from typing import Any, TypedDict

from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.utilities.hashing import hash_objects

from pratique.errors import TransientError

#: The only parameter of a step that Prefect sees: the arguments by name.
ARGUMENTS = "arguments"


class TaskOptions(TypedDict, total=False):
    """Options of Prefect's ``@task`` that a policy sets."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Any
    persist_result: bool
    cache_policy: CachePolicy


async def is_transient(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """Whether to retry. The class of the error decides."""
    return isinstance(await state.aresult(raise_on_failure=False), TransientError)


_RETRIED = TaskOptions(
    retries=4, retry_delay_seconds=[2, 5, 15, 30], retry_jitter_factor=0.3, retry_condition_fn=is_transient
)

#: For a step that consists of steps with their own retries. Its result is cached like that of :data:`CACHED`.
CACHED_COMPOSITE = TaskOptions(persist_result=True, cache_policy=INPUTS + RUN_ID)

#: For work to do only once in a run: its small result without secrets is kept for a retry of the run.
#: The key leaves TASK_SOURCE out, so that a retry after a bug fix keeps the results of finished steps.
CACHED = TaskOptions(**_RETRIED, **CACHED_COMPOSITE)


def cached_without(argument: str) -> TaskOptions:
    """Like :data:`CACHED`, but the cache key ignores that argument."""

    def key(context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
        inputs = {name: value for name, value in parameters[ARGUMENTS].items() if name != argument}
        return hash_objects(inputs, raise_on_failure=True)

    return TaskOptions(**{**CACHED, "cache_policy": CachePolicy.from_cache_key_fn(key) + RUN_ID})


#: For work whose result is valid only at that moment: grants, revocations, polls, the gate.
UNCACHED = TaskOptions(**_RETRIED, persist_result=False, cache_policy=NO_CACHE)
