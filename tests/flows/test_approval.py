"""A person's answer reaches the run that asked, in whichever process the run continues."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client, task
from prefect.client.base import ServerType
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.flow_runs import aresume_flow_run
from prefect.input.actions import aread_flow_run_input
from prefect.states import AwaitingRetry, Scheduled

from flows.approval import ask
from pratique.errors import GateBlocked
from pratique.gate.approval import Approval, Item
from pratique.gate.approval_request import Question
from tasks.policies import CACHED
from tests.waiting import until_met

QUESTION = Question(
    "web", (Item(image="nginx:1.27", platform="linux/amd64", digest="sha256:aa", reason="no proof of a scan"),), 30
)
APPROVAL = {"decision": "approve", "reason": "Clean in the portal.", "name": "Ada"}

worked: list[str] = []
hooked: list[str] = []
broken: list[Exception] = []


@task(**CACHED)
async def work(what: str) -> str:
    worked.append(what)
    return what


async def note(flow: Any, flow_run: Any, state: Any) -> None:
    hooked.append(state.name)


@flow(on_failure=[note], on_cancellation=[note], on_crashed=[note])
async def asks(releases: list[str], hours: float = 1) -> list[Approval]:
    """A flow that works, asks about each release, and may then fail."""
    await work("before")
    answers = [
        await ask(Question(release, QUESTION.items, QUESTION.policy_days), hours=hours, cluster="rg")
        for release in releases
    ]
    if broken:
        raise broken.pop()
    return answers


@pytest.fixture(autouse=True)
def _nothing_so_far(prefect: Path) -> None:
    worked.clear()
    hooked.clear()
    broken.clear()


@dataclass(frozen=True)
class Run:
    """A run of the deployed flow, executed like in a worker's process."""

    id: UUID

    @classmethod
    async def of(cls, *releases: str) -> Run:
        async with get_client() as client:
            deployment = await client.create_deployment(await client.create_flow(asks), "test")
            parameters = {"releases": list(releases)}
            run = await client.create_flow_run_from_deployment(deployment, parameters=parameters, state=Scheduled())
        return cls(run.id)

    async def read(self) -> FlowRun:
        async with get_client() as client:
            return await client.read_flow_run(self.id)

    async def execute(self) -> list[Approval]:
        run = await self.read()
        answers: list[Approval] = await run_flow(asks, run, run.parameters)  # type: ignore[misc, arg-type]  # any flow's
        return answers

    async def until_it_asks(self) -> str:
        """Execute until the process would end, and return the form's description."""
        with pytest.raises(Pause):
            await self.execute()
        return await described(await self.read())

    async def answer(self, **fields: str) -> None:
        await aresume_flow_run(self.id, APPROVAL | fields)


async def described(run: FlowRun) -> str:
    assert run.state is not None
    keys = run.state.state_details.run_input_keyset
    assert keys is not None
    return str(await aread_flow_run_input(keys["description"], run.id))


async def test_a_suspended_run_continues_with_the_answer_in_another_process() -> None:
    """It asks one question after the other, does not repeat finished work, and calls no hook for failed runs."""
    run = await Run.of("web", "api")
    assert "May release web" in await run.until_it_asks()
    await run.answer()
    assert "May release api" in await run.until_it_asks()
    await run.answer(decision="reject", name="Grace")
    web, api = await run.execute()
    assert (web.approved, web.name, api.approved, api.name) == (True, "Ada", False, "Grace")
    assert (worked, hooked) == (["before"], [])


@pytest.mark.parametrize("field", ["decision", "reason", "name", "expires"])
async def test_the_server_refuses_an_invalid_form(field: str) -> None:
    """The run stays suspended, so that the form can be corrected."""
    run = await Run.of("web")
    await run.until_it_asks()
    with pytest.raises(RuntimeError, match=field):
        await run.answer(**{field: "?"})
    assert (await run.read()).state_name == "Suspended"


async def test_an_invalid_answer_is_asked_for_again_and_then_blocks() -> None:
    """The server does not check the date: the form is shown again with the problem, and the third time blocks."""
    run = await Run.of("web")
    assert "was not accepted" not in await run.until_it_asks()
    for _ in range(2):
        await run.answer(expires="2020-01-01")
        assert "The expiry 2020-01-01 has passed" in await run.until_it_asks()
    await run.answer(expires="2020-01-01")
    with pytest.raises(GateBlocked, match="3 answers were invalid"):
        await run.execute()


async def test_a_run_that_is_resumed_without_an_answer_asks_again() -> None:
    """Setting the run's state by hand does not approve anything."""
    run = await Run.of("web")
    await run.until_it_asks()
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Scheduled(name="Resuming"))
    assert "resumed without a filled-in form" in await run.until_it_asks()


async def test_a_retried_run_asks_again() -> None:
    """An answer is valid for one attempt of the run: the retry asks again."""
    run = await Run.of("web")
    await run.until_it_asks()
    await run.answer()
    broken.append(RuntimeError("after the answer"))
    with pytest.raises(RuntimeError, match="after the answer"):
        await run.execute()
    async with get_client() as client:
        await client.set_flow_run_state(run.id, AwaitingRetry())
    await run.until_it_asks()
    await run.answer(name="Grace")
    (answer,) = await run.execute()
    assert (answer.name, worked) == ("Grace", ["before"])


async def test_a_run_without_a_deployment_waits_in_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker could restart it, so its process waits for the answers."""
    monkeypatch.setattr("flows.approval._POLL", 0)
    started: asyncio.Queue[UUID] = asyncio.Queue()

    @flow
    async def announces() -> list[Approval]:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        started.put_nowait(context.flow_run.id)
        return await asks.fn(["web", "api"])

    running = asyncio.create_task(announces())
    run = Run(await started.get())
    for release in ("web", "api"):
        await _paused(run, release)
        await run.answer()
    assert [answer.approved for answer in await running] == [True, True]


async def test_nobody_answers_a_run_without_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails, and its message says that nobody answered."""
    monkeypatch.setattr("flows.approval._POLL", 0)
    state = await asks(["web"], hours=0.0001, return_state=True)
    assert state.is_failed()
    assert "Nobody answered" in str(state.message)
    assert hooked == ["Failed"]


async def test_a_run_on_a_temporary_server_cannot_ask() -> None:
    """The server ends with the run and has no page to open: the release is blocked at once, with the next step."""

    @flow
    async def on_a_temporary_server() -> None:
        context = FlowRunContext.get()
        assert context is not None
        context.client.server_type = ServerType.EPHEMERAL
        await ask(QUESTION, hours=1, cluster="rg")

    with pytest.raises(GateBlocked, match=r"its Prefect server ends with the run.*Run the deployment"):
        await on_a_temporary_server()


async def _paused(run: Run, release: str) -> None:
    async def paused() -> bool:
        current = await run.read()
        return current.state_name == "Paused" and release in await described(current)

    await until_met(paused)
