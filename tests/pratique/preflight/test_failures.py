"""A source that ``pratique probe`` cannot read costs its own answers, and no others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from pratique.errors import NetworkDenied, PermissionDenied, PratiqueError, Throttled, UnreadableAnswer
from pratique.preflight.probe import artifacts, defender_rows, registry_log
from pratique.preflight.probe import run as running
from pratique.preflight.probe.answers import Answer, Question
from pratique.preflight.probe.place import Place
from pratique.preflight.probe.run import Probe, ask, run_probe
from tests.conftest import RunningSandbox
from tests.flows.world import KURED, make_config
from tests.pratique.preflight.probed import Prepare, leaked, scenario, text_of

QUESTION = Question("a.question", "Topic", "Which?")
FAILURES: list[Exception] = [
    PermissionDenied("read", "acraksabc", "403 AuthorizationFailed: 'b@contoso.example' at /subscriptions/x", "Ask b."),
    NetworkDenied("reach", "acraksabc", "403 DENIED: client with IP '203.0.113.10' is not allowed", "Open acraksabc."),
    Throttled("read", "acraksabc", "429: slow down, acraksabc", "Wait."),
    UnreadableAnswer("read", "acraksabc", "acraksabc is no list", "Report."),
    KeyError("acraksabc"),
    RecursionError("acraksabc"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_a_failing_source_tells_what_it_needs(failure: Exception) -> None:
    """Whatever a source fails with, its answers say what reading needs, and none of the error's own words."""

    async def fail(_: Place) -> list[Answer]:
        raise failure

    (answer,) = await ask(Probe([QUESTION], fail, "a right"), None)  # type: ignore[arg-type]  # never looked at
    assert (answer.state, bool(answer.needs)) == ("not read", True)
    told = json.dumps(answer.document())
    assert not any(word in told for word in ("acraksabc", "contoso", "203.0.113.10", "/subscriptions/"))
    if isinstance(failure, PermissionDenied):
        assert answer.observed == ("could not be read: permission denied (403 AuthorizationFailed)",)
        assert answer.needs == "a right"


async def test_a_source_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One source that hangs costs its own answers only."""
    monkeypatch.setattr(running, "SECONDS", 0.01)

    async def hang(_: Place) -> list[Answer]:
        await asyncio.Event().wait()
        return []

    (answer,) = await ask(Probe([QUESTION], hang, "a right"), None)  # type: ignore[arg-type]  # never looked at
    assert answer.observed == ("could not be read: no answer within 0 seconds",)


#: What refuses, by pattern, and the questions that then have no answer.
REFUSED: list[tuple[str, str, set[str]]] = [
    ("*", "*/pricings/*", {"defender.plan"}),
    ("*", "*/replications", {"registry.replicas"}),
    ("*.azurecr.io", "*", {question.id for question in artifacts.QUESTIONS}),
    ("api.loganalytics.io", "*", {*(question.id for question in registry_log.LOG_QUESTIONS), "log.logins"}),
    (
        "*",
        "*ResourceGraph*",
        {question.id for question in defender_rows.QUESTIONS} | {"api.paging", "defender.cvedetails"},
    ),
]


async def test_a_refused_source_leaves_the_others(prepare: Prepare) -> None:
    """Whichever service refuses, that is reported, and everything else is read as before."""
    world = await prepare(scenario())
    before = await world.answers()
    for host, path, silent in REFUSED:
        world.sandbox.azure.faults.add(kind="status", status=403, host=host, path=path, times=None)
        after = await world.answers()
        world.sandbox.azure.faults.clear()
        assert silent <= {name for name, answer in after.items() if answer.state == "not read"}, path
        others = before.keys() - silent
        assert {name: after[name].state for name in others} == {name: before[name].state for name in others}, path


async def test_nothing_deployed(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Before the first deployment, the questions about the registry say so, and the others are answered."""
    report = await run_probe(make_config(tmp_path, sandbox.azure.home.directory, ((KURED,),)))
    found = {answer.question.id: answer for answer in report.answers}
    assert found["registry.mode"].observed == ("could not be read: not found",)
    assert found["defender.plan"].state == "seen"
    assert leaked(text_of(report), sandbox) == []


async def test_without_credentials_there_is_no_report(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An identity that cannot sign in is an error of its own, not a report of failures."""
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with pytest.raises(PratiqueError):
        await run_probe(make_config(tmp_path, sandbox.azure.home.directory, ((KURED,),)))
