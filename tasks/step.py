"""Turns a coroutine function into a step of a flow: a Prefect task that ends in named states.

::

    @step(name="import certificate", run_name="import certificate {certificate.name}", outcome=unless_new, **UNCACHED)
    async def import_certificate(vault: Vault, certificate: Certificate) -> StoredCertificate: ...

    stored = await import_certificate(vault, certificate)  # the result, or the error

It does three things that ``@task`` alone does not do:

- A result can end in a named state ("Nothing to do"), and an error in the state that its class names. The caller still
  gets the result or the error, not the state.
- Each argument is one input of the step. Prefect would search the argument's parts, and record an edge for each part
  that an earlier task returned. If each image's promotion gets a report about all images, the number of edges grows
  with the square of the number of images.
- Prefect sees a single parameter, which contains all arguments. Prefect's server lists each edge once for every
  parameter of the task at which the edge starts, whether or not the edge belongs to that parameter.

``unlinked`` names parameters without an edge, for edges that another one already implies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, cast

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.tasks import TaskRunNameCallbackWithParameters
from prefect.utilities.annotations import opaque, quote

from pratique.errors import PratiqueError
from pratique.masking import masked
from tasks.policies import ARGUMENTS, TaskOptions

P = ParamSpec("P")
T = TypeVar("T")

#: Returns the name of the state for a result; ``None`` for Prefect's default.
Outcome = Callable[[Any], str | None]

NOTHING_TO_DO = "Nothing to do"
ACCESS_REVOKED = "Access revoked"
PLANNED = "Planned"
NOT_VERIFIED = "Live images not verified"
BREAK_GLASS_USED = "Break glass used"


class Decorator(Protocol):
    """Decorates a coroutine function and keeps its signature."""

    def __call__(self, work: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...


def step(
    *,
    name: str,
    run_name: str,
    outcome: Outcome | None = None,
    unlinked: Collection[str] = (),
    **options: Unpack[TaskOptions],
) -> Decorator:
    """Turn a coroutine function into a task that is called like the function.

    :param name: of the task
    :param run_name: of its runs; a format string over the parameters
    :param outcome: names the state of a result
    :param unlinked: parameters without an edge in the run's graph
    :param options: see :mod:`tasks.policies`
    """

    def decorate(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        parameters, named = signature(work), cast(Callable[..., Coroutine[Any, Any, T]], named_states(outcome)(work))

        async def run(arguments: dict[str, Any]) -> T:
            return await named(**arguments)

        def name_of_run(parameters: dict[str, Any]) -> str:
            return run_name.format(**parameters[ARGUMENTS])

        run.__name__, run.__qualname__, run.__doc__ = work.__name__, work.__qualname__, work.__doc__
        execute = task(name=name, task_run_name=cast(TaskRunNameCallbackWithParameters, name_of_run), **options)(run)

        @wraps(work)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = parameters.bind(*args, **kwargs)
            bound.apply_defaults()
            # Prefect removes its annotations before it passes the arguments on.
            result = await execute(_inputs(bound.arguments, unlinked))
            return cast(T, await result.aresult() if isinstance(result, State) else result)

        return call

    return decorate


def named_states(outcome: Outcome | None = None) -> Decorator:
    """Let a coroutine function return the named state of its result or error. For tasks and flows.

    Prefect raises the error of a failed state to the caller of a flow, and returns the result of a completed one.

    :param outcome: names the state of a result
    """

    def decorate(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(work)
        async def named(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                result = await work(*args, **kwargs)
            except PratiqueError as error:
                if error.state_name is None:
                    raise
                return cast(T, Failed(name=error.state_name, message=str(error), data=error))
            except Exception as error:
                # Its text becomes the message of a state and, pickled, a result.
                error.args = tuple(masked(part) if isinstance(part, str) else part for part in error.args)
                raise
            name = outcome(result) if outcome is not None else None
            return result if name is None else cast(T, Completed(name=name, data=result))

        # Otherwise Prefect would resolve the work's annotations in this module.
        setattr(named, "__signature__", signature(work, eval_str=True))  # noqa: B010  # functions do not declare it
        return named

    return decorate


def _inputs(arguments: Mapping[str, Any], unlinked: Collection[str]) -> dict[str, Any]:
    return {name: quote(value) if name in unlinked else _shallow(value) for name, value in arguments.items()}


def _shallow(value: Any) -> Any:
    """Make each item of a list an input, but not the parts of an item."""
    return [opaque(item) for item in value] if isinstance(value, list) else opaque(value)
