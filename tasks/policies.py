"""How steps are retried and cached: the same few rules for all of them."""

from __future__ import annotations

from typing import Any, TypedDict

from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.utilities.hashing import hash_objects

from pratique.errors import TransientError

#: Prefect's only parameter of a step: the arguments by name.
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
    """Whether another attempt can help: the class of the error decides."""
    return isinstance(await state.aresult(raise_on_failure=False), TransientError)


_RETRIED = TaskOptions(
    retries=4, retry_delay_seconds=[2, 5, 15, 30], retry_jitter_factor=0.3, retry_condition_fn=is_transient
)

#: A step that is made of steps, each with its own retries: its result is kept as below.
CACHED_COMPOSITE = TaskOptions(persist_result=True, cache_policy=INPUTS + RUN_ID)

#: Work that need not be done twice in one run: its small, secret-free result is kept for a retry of the run.
#: The key leaves TASK_SOURCE out, so that a run that is retried after a bug fix keeps what was finished before.
CACHED = TaskOptions(**_RETRIED, **CACHED_COMPOSITE)


def cached_without(argument: str) -> TaskOptions:
    """Like :data:`CACHED`, whatever the value of that argument."""

    def key(context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
        kept = {name: value for name, value in parameters[ARGUMENTS].items() if name != argument}
        return hash_objects(kept, raise_on_failure=True)

    return TaskOptions(**{**CACHED, "cache_policy": CachePolicy.from_cache_key_fn(key) + RUN_ID})


#: Work whose answer is true only now: grants, revocations, polls, the gate.
UNCACHED = TaskOptions(**_RETRIED, persist_result=False, cache_policy=NO_CACHE)
