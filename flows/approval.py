"""Asks a person for approval in Prefect's UI.

Only a flow can ask, not a task, and only while no other step of the run is in progress, as the process of a deployed
run ends with the question. After the answer any free worker restarts the flow: cached tasks are not repeated, and the
same call returns the answer. Prefect lets other runs of the deployment start in between.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from prefect import get_run_logger
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
from tasks.runtime import server_ends_with_run

#: How many answers may be invalid before the release is blocked.
_ATTEMPTS = 3
#: Seconds between two polls of a waiting process.
_POLL = 5
#: Seconds by which the server's timeout exceeds this process's, as the server's error would not name the cause.
_GRACE = 600


class AnswerForm(RunInput):
    """The form in Prefect's UI. The server checks the fields' bounds: an invalid value does not resume the run."""

    decision: Choice = Field(
        description="Approve or reject the promotion of all these images to live/.", json_schema_extra={"position": 0}
    )
    reason: str = Field(
        min_length=REASON[0],
        max_length=REASON[1],
        description=f"What you have checked, and where: at least {REASON[0]} characters.",
        json_schema_extra={"position": 1},
    )
    name: str = Field(
        min_length=NAME[0],
        max_length=NAME[1],
        description="Your name. It is recorded, but not verified.",
        json_schema_extra={"position": 2},
    )
    expires: str


async def ask(question: Question, *, hours: float, cluster: str) -> Approval:
    """Show the question to a person, and wait for the answer.

    :param hours: time to answer, in hours
    :param cluster: its resource group, for the event
    :raises GateBlocked: when the run cannot ask anybody, nobody answers, or no answer is valid
    :raises prefect.exceptions.Pause: Prefect's signal that this process ends; not an error
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or server_ends_with_run(context.client):
        raise _blocked(
            question,
            "It needs a person's approval, and this run cannot ask anybody, as its Prefect server ends with the run.",
            "Run the deployment, or set PREFECT_API_URL to your server's"
            + (", or accept the images in the exceptions file." if not question.break_glass else "."),
        )
    run, problem = context.flow_run, ""
    until = f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%d %H:%M} UTC"
    for attempt in range(1, _ATTEMPTS + 1):
        key = f"{question.key}-{run.run_count}-{attempt}"
        if key not in (run.empirical_policy.pause_keys or ()):  # otherwise this run resumes with the answer
            page = url_for(run) or f"flow run {run.name} in Prefect's UI"
            get_run_logger().info(
                "Release %s needs a person's answer until %s: press Resume at %s", question.release, until, page
            )
            _emit_asked(question, cluster, until, page)
        try:
            form = await _wait_for_form(question, run, key, hours, _form(question, until, problem))
            answer = question.read_answer(form.decision, form.reason, form.name, form.expires, _today())
        except UnreadableAnswer as error:
            problem = error.observed
            get_run_logger().warning("Release %s: %s", question.release, problem)
        else:
            get_run_logger().info("Release %s: %s", question.release, answer.description)
            return replace(answer, read_at=datetime.now(UTC))
    raise _blocked(question, f"{_ATTEMPTS} answers were invalid; the last one: {problem}", "Run it again.")


async def _wait_for_form(
    question: Question, run: FlowRun, key: str, hours: float, form: type[AnswerForm]
) -> AnswerForm:
    """Wait for a person to fill in the form.

    :param key: Prefect's key of the question. It has to be the same when the run resumes, which is not a new attempt,
        and a new one when the run is retried: Prefect keeps the old answer, and refuses a second one with HTTP 409
    """
    seconds = max(1, round(hours * 3600))
    try:
        if run.deployment_id is not None and run.parent_task_run_id is None:
            return await asuspend_flow_run(wait_for_input=form, timeout=seconds, key=key)
        async with lock_released(), asyncio.timeout(seconds):
            return await apause_flow_run(wait_for_input=form, timeout=seconds + _GRACE, poll_interval=_POLL, key=key)
    except TimeoutError:
        raise _blocked(question, f"Nobody answered within {hours:.3g} hours.", "Run it again and answer.") from None
    except ValidationError:
        # Somebody set the run's state by hand.
        raise question.invalid("The run was resumed without a filled-in form.") from None


def _emit_asked(question: Question, cluster: str, until: str, page: str) -> None:
    """Emit that a person is asked; for break glass a second event, as somebody has to be found at once.

    :param page: where to answer
    """
    about, payload = f"release.{question.release}", {"release": question.release, "until": until}
    emit("gate.asked", about, cluster=cluster, **payload)
    if question.break_glass:
        entries = [f"{entry.image}: {entry.description}" for entry in question.break_glass]
        emit("gate.break-glass-asked", about, cluster=cluster, page=page, entries=entries, **payload)


def _form(question: Question, until: str, problem: str) -> type[AnswerForm]:
    fields: dict[str, Any] = {
        "expires": (
            Annotated[
                str,
                Field(
                    description=f"Last day on which the approval is valid, at most {question.policy_days} days from "
                    "now. Ignored for a rejection.",
                    pattern=r"^\d{4}-\d{2}-\d{2}$",
                    json_schema_extra={"position": 3, "format": "date"},
                ),
            ],
            question.default_expiry(_today()).isoformat(),
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
