"""Asking a person in Prefect's UI.

Only a flow can do this, never a task, and only while nothing else of the run is under way: a deployed run's process
ends with the question. Whatever worker is free begins the flow again when somebody has answered, remembered tasks are
not repeated, and the same call returns the answer. Prefect lets other runs of the deployment start in between.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.client.base import ServerType
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.input import RunInput
from prefect.utilities.urls import url_for
from pydantic import Field, ValidationError, create_model

from pratique.errors import GateBlocked, UnreadableAnswer
from pratique.gate.approval import Approval
from pratique.gate.approval_request import NAME, REASON, Choice, Question
from tasks.cluster_lock import lock_released
from tasks.events import emit

#: How often somebody may fill the form in a way that decides nothing.
_MOST_TRIES = 3
#: Seconds between two looks of a waiting process.
_POLL = 5
#: Seconds that the server leaves us to end a pause with words of our own; its own would not say what happened.
_GRACE = 600


class AnswerForm(RunInput):
    """What Prefect's UI asks for. The server checks the fields' bounds: a value beyond them does not resume the run."""

    decision: Choice = Field(description="Whether all these images may go to live/.", json_schema_extra={"position": 0})
    reason: str = Field(
        min_length=REASON[0],
        max_length=REASON[1],
        description=f"What you have seen, and where: at least {REASON[0]} characters.",
        json_schema_extra={"position": 1},
    )
    name: str = Field(
        min_length=NAME[0],
        max_length=NAME[1],
        description="Who you are. Nobody checks it.",
        json_schema_extra={"position": 2},
    )
    expires: str


async def ask(question: Question, *, hours: float, cluster: str) -> Approval:
    """Show a person the question, and wait for the answer.

    :param hours: time to answer
    :param cluster: its resource group, for the event
    :raises GateBlocked: when nobody can be asked, nobody answers, or no answer decides anything
    :raises prefect.exceptions.Pause: Prefect's signal that this process is over; it is no error
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.client.server_type is ServerType.EPHEMERAL:
        raise _blocked(
            question,
            "Only a person can let it in, and nobody can be asked: this run has no lasting Prefect server.",
            "Run the deployment, or set PREFECT_API_URL to your server's, or accept the images in the exceptions file.",
        )
    run, problem = context.flow_run, ""
    until = f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%d %H:%M} UTC"
    for attempt in range(1, _MOST_TRIES + 1):
        key = f"{question.key}-{run.run_count}-{attempt}"
        if key not in (run.empirical_policy.pause_keys or ()):  # else this run resumes, with the answer
            where = url_for(run) or f"flow run {run.name} in Prefect's UI"
            get_run_logger().info(
                "Release %s needs a person's answer until %s: press Resume at %s", question.release, until, where
            )
            emit("gate.asked", f"release.{question.release}", cluster=cluster, release=question.release, until=until)
        try:
            form = await _filled(question, run, key, hours, _form(question, until, problem))
            answer = question.answered(form.decision, form.reason, form.name, form.expires, _today())
        except UnreadableAnswer as error:
            problem = error.observed
            get_run_logger().warning("Release %s: %s", question.release, problem)
        else:
            get_run_logger().info("Release %s: %s", question.release, answer.words)
            return replace(answer, read_at=datetime.now(UTC))
    raise _blocked(question, f"{_MOST_TRIES} answers decided nothing; the last one: {problem}", "Run it again.")


async def _filled(question: Question, run: FlowRun, key: str, hours: float, form: type[AnswerForm]) -> AnswerForm:
    """The form as somebody filled it.

    :param key: Prefect's for a question has to be the same when the run resumes, which is no new attempt of the run,
        and a new one when the run is retried: it keeps the old answer, and refuses a second one with HTTP 409
    """
    seconds = max(1, round(hours * 3600))
    try:
        if run.deployment_id is not None and run.parent_task_run_id is None:
            return await asuspend_flow_run(wait_for_input=form, timeout=seconds, key=key)
        async with lock_released(), asyncio.timeout(seconds):
            return await apause_flow_run(wait_for_input=form, timeout=seconds + _GRACE, poll_interval=_POLL, key=key)
    except TimeoutError:
        raise _blocked(question, f"Nobody answered within {hours:g} hours.", "Run it again and answer.") from None
    except ValidationError:
        # Somebody set the run's state by hand instead of answering.
        raise question.unreadable("The run was resumed without a filled form.") from None


def _form(question: Question, until: str, problem: str) -> type[AnswerForm]:
    fields: dict[str, Any] = {
        "expires": (
            Annotated[
                str,
                Field(
                    description=f"Last day of an approval, at most {question.policy_days} days from now; "
                    "of no account for a rejection.",
                    pattern=r"^\d{4}-\d{2}-\d{2}$",
                    json_schema_extra={"position": 3, "format": "date"},
                ),
            ],
            question.usual_expiry(_today()).isoformat(),
        )
    }
    described = create_model("Answer", __base__=AnswerForm, **fields)
    return described.with_initial_data(description=question.markdown(until, problem))


def _today() -> date:
    return datetime.now(UTC).date()


def _blocked(question: Question, observed: str, remedy: str) -> GateBlocked:
    return GateBlocked(
        "let the release through the scan gate",
        f"release {question.release}",
        observed,
        f"{remedy} Nothing of this release was promoted.",
    )
