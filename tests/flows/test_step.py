"""Steps: named states, and one input for each argument."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.schemas.objects import TaskRunResult
from prefect.context import TaskRunContext

from pratique.errors import Conflict, GateBlocked, PratiqueError
from tasks.policies import CACHED, UNCACHED
from tasks.step import NOTHING_TO_DO, named_states, step

BLOCKED = GateBlocked("promote", "release web", "A finding.", "Upgrade.")
TAKEN = Conflict("promote", "nginx:1.27", "It is another one.", "Use a new tag.")

Origins = frozenset[str]


@dataclass(frozen=True)
class Part:
    name: str


@dataclass(frozen=True)
class Report:
    parts: tuple[Part, ...]


def origins() -> Origins:
    """The task runs from which Prefect takes the arguments of this step."""
    context = TaskRunContext.get()
    assert context is not None
    (inputs,) = context.task_run.task_inputs.values()
    return frozenset(str(origin.id) for origin in inputs if isinstance(origin, TaskRunResult))


def this_run() -> str:
    context = TaskRunContext.get()
    assert context is not None
    return str(context.task_run.id)


begun: list[str] = []


@step(name="work", run_name="work on {subject}", outcome=lambda result: f"It is {result}", **UNCACHED)
async def work(subject: str, error: PratiqueError | None = None) -> str:
    """Returns, or raises."""
    if error is not None:
        raise error
    return "done"


@step(name="find", run_name="find {subject}", outcome=lambda _: NOTHING_TO_DO, **CACHED)
async def find(subject: str) -> Part:
    """A result for the next step."""
    begun.append(this_run())
    return Part(subject)


@step(name="report", run_name="report", unlinked=("quietly",), **UNCACHED)
async def report(parts: list[Part], quietly: Part) -> tuple[Origins, Report]:
    """A result that contains the results of other steps."""
    assert quietly.name
    return origins(), Report(tuple(parts))


@step(name="read", run_name="read", **UNCACHED)
async def read(whole: Report, part: Part) -> Origins:
    assert whole.parts
    assert part.name
    return origins()


@pytest.mark.parametrize("error", [None, BLOCKED, TAKEN])
async def test_the_caller_has_the_result_or_the_error(error: PratiqueError | None, prefect: Path) -> None:
    """The caller gets the result or the error, whatever the name of the state."""

    @flow
    async def calls() -> str:
        return await work("it", error=error)

    if error is None:
        assert await calls() == "done"
    else:
        with pytest.raises(type(error)) as raised:
            await calls()
        assert raised.value.args == error.args


@pytest.mark.parametrize(("error", "name"), [(None, "It is done"), (BLOCKED, "Blocked by gate"), (TAKEN, "Failed")])
async def test_states_are_named(error: PratiqueError | None, name: str, prefect: Path) -> None:
    """The result or the class of the error names the state; otherwise it has Prefect's name."""

    @flow
    @named_states(lambda result: f"It is {result}")
    async def ends() -> str:
        return await work("it", error=error)

    state = await ends(return_state=True)
    assert (state.name, state.is_final()) == (name, True)


async def test_named_results_are_cached(prefect: Path) -> None:
    """A result in a named state is cached like any other: a second call does not repeat the work."""
    begun.clear()

    @flow
    async def twice() -> None:
        assert await find("it") == await find("it") == Part("it")

    await twice()
    assert len(begun) == 1


async def test_an_argument_is_one_input(prefect: Path) -> None:
    """An edge starts at the step that returned an argument or an item of a list, not at those of its parts."""
    begun.clear()

    @flow
    async def runs() -> tuple[Origins, Origins]:
        parts = [await find(name) for name in ("a", "b", "c")]
        inputs, whole = await report(parts, quietly=await find("d"))
        return inputs, await read(whole, parts[2])

    of_report, of_read = await runs()
    assert of_report == frozenset(begun[:3])
    assert of_read & set(begun) == {begun[2]}
    assert len(of_read) == 2
