"""Verdicts are used for a limited time, and approvals cover what was shown: then the sources are asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import GateBlocked, PermissionDenied, Throttled
from pratique.findings import Severity
from pratique.gate.approval import Approval
from pratique.gate.approval_request import Question
from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.polling import EvidencePoller
from pratique.gate.rules import Rules
from pratique.gate.standing import StandingVerdict
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport, WaitPolicy, assess
from tests.pratique.gate.kit import (
    CLEAN,
    HIGH,
    LOW,
    NO_ARTIFACT,
    FakeClock,
    Source,
    failed,
    flaw,
    many,
    nothing,
    rows,
    unreadable,
)
from tests.pratique.gate.test_wait import candidate, states

SOURCES = frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT})
ASKS = Policy(unverified="ask")
NOT_PUSHED = "No manifests were pushed."


class Gate:
    """The gate of some releases, whose verdicts stand."""

    def __init__(self, broad: Source, narrow: Source, policy: Policy | None = None) -> None:
        self.clock, self.broad, self.narrow = FakeClock(), broad, narrow
        self._rules = Rules(policy=policy or Policy(), platforms=("linux/amd64",), sources=SOURCES)

    @asynccontextmanager
    async def verdicts(self, *releases: str) -> AsyncIterator[list[StandingVerdict]]:
        async with EvidencePoller([self.broad], [self.narrow], self.clock) as poller:

            async def ask(name: str) -> GateReport:
                wait = WaitPolicy(interval=30, patience=30, deadline=240)
                images = [candidate(name, 240)]
                return await assess(name, images, self._rules, wait, poller=poller, progress=unheard)

            reports = [await ask(name) for name in releases]
            yield [
                StandingVerdict(report, lambda name=report.release: ask(name), self.clock)  # type: ignore[misc]
                for report in reports
            ]

    def pass_minutes(self, count: float) -> None:
        self.clock.time += timedelta(minutes=count)


async def unheard(_: GateReport) -> None:
    """Nobody watches."""


def rows_of(*rounds: Mapping[str, Observation] | Exception) -> Source:
    return Source(RECOMMENDATIONS, *rounds)


def artifacts(*rounds: Mapping[str, Observation] | Exception) -> Source:
    return Source(FINDINGS_ARTIFACT, *rounds)


def approval(verdict: StandingVerdict, **fields: Any) -> Approval:
    """A person approves what the report asks about."""
    word = Approval(
        approved=True,
        reason="clean in the portal",
        name="Ada",
        expires=date(2026, 12, 1),
        shown=Question.about(verdict.report).items,
    )
    return replace(word, **fields)


async def test_a_young_verdict_is_used_as_it_is() -> None:
    """Within its maximum age nothing is asked."""
    gate = Gate(rows_of(), artifacts({"a": CLEAN}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(Policy().maximum_verdict_age)
        assert not await verdict.renew()
        verdict.require(NOT_PUSHED)
    assert len(gate.broad.asked) == 1


async def test_bad_news_since_then_block() -> None:
    """What was healthy is not any more: the error names the finding, and says what was not done."""
    gate = Gate(rows_of({}, {"a": rows(HIGH)}), artifacts({"a": CLEAN}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(Policy().maximum_verdict_age + 1)
        assert await verdict.renew()
        with pytest.raises(GateBlocked, match=HIGH.vulnerability) as blocked:
            verdict.require(NOT_PUSHED)
    assert blocked.value.remedy.startswith(NOT_PUSHED)
    assert states(verdict.report) == [VerdictState.UNHEALTHY]


async def test_a_proof_that_is_gone_blocks() -> None:
    """Good news counts as of now as well: an attestation that was deleted proves nothing."""
    gate = Gate(rows_of(), artifacts({"a": CLEAN}, {"a": NO_ARTIFACT}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(Policy().maximum_verdict_age + 1)
        await verdict.renew()
        with pytest.raises(GateBlocked, match="no proof of a scan"):
            verdict.require(NOT_PUSHED)


async def test_a_source_that_fails_for_a_moment_is_waited_for() -> None:
    """The renewal is the gate: it neither passes nor blocks on an answer that it did not get."""
    throttled = Throttled("ask", "Resource Graph", "429", "Wait.")
    gate = Gate(rows_of({}, throttled, {}), artifacts({"a": CLEAN}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(Policy().maximum_verdict_age + 1)
        await verdict.renew()
        verdict.require(NOT_PUSHED)
    assert len(gate.broad.asked) == 3


async def test_one_query_for_everything_that_waits() -> None:
    """Promotions that find the verdict too old share its renewal, and releases share the queries."""
    gate = Gate(rows_of(), artifacts({"a": CLEAN, "b": CLEAN}))
    async with gate.verdicts("a", "b") as verdicts:
        gate.pass_minutes(Policy().maximum_verdict_age + 1)
        asked = len(gate.broad.asked)
        renewed = await asyncio.gather(*(verdict.renew() for verdict in verdicts for _ in range(20)))
        assert sum(renewed) == len(verdicts)
    assert gate.broad.asked[asked:] == [{"a", "b"}]


async def test_a_clock_that_was_set_back_makes_no_verdict_young() -> None:
    """A verdict from the future is renewed."""
    gate = Gate(rows_of(), artifacts({"a": CLEAN}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(-60)
        assert await verdict.renew()


async def test_an_approval_of_what_is_still_so() -> None:
    """The sources are asked again after the answer, however young the verdict is."""
    gate = Gate(rows_of(), artifacts(), ASKS)
    async with gate.verdicts("a") as (verdict,):
        await verdict.approve(approval(verdict))
        verdict.require(NOT_PUSHED)
    assert states(verdict.report) == [VerdictState.APPROVED]
    assert len(gate.broad.asked) == 2


@pytest.mark.parametrize(
    ("later", "named"),
    [
        (rows(HIGH), HIGH.vulnerability),
        (rows(LOW), "new findings: Low CVE-2026-1 openssl"),
        (nothing(RECOMMENDATIONS), ""),
        (failed(RECOMMENDATIONS), "recommendations: failed"),
        (unreadable(RECOMMENDATIONS), "recommendations: unreadable .a row cannot be read"),
    ],
    ids=["beyond the limits", "within the limits", "nothing new", "a source that fails", "one that is unreadable"],
)
async def test_an_approval_covers_what_was_shown(later: Observation, named: str) -> None:
    """New findings block, even within the limits, and so does another state of a source."""
    gate = Gate(rows_of({"a": nothing(RECOMMENDATIONS)}, {"a": later}), artifacts(), ASKS)
    async with gate.verdicts("a") as (verdict,):
        await verdict.approve(approval(verdict))
        if not named:
            verdict.require(NOT_PUSHED)
            return
        with pytest.raises(GateBlocked, match=named):
            verdict.require(NOT_PUSHED)


@pytest.mark.parametrize("reason", ["a row cannot be read: it is cut off", "a row names no digest"])
async def test_an_approval_of_an_answer_that_cannot_be_read(reason: str) -> None:
    """It covers the reason that was shown: behind another one, there may be other findings."""
    shown = unreadable(RECOMMENDATIONS)
    gate = Gate(rows_of(*[{"a": shown}] * 70, {"a": replace(shown, detail=reason)}), artifacts(), ASKS)
    async with gate.verdicts("a") as (verdict,):
        assert states(verdict.report) == [VerdictState.ASKING]
        gate.broad._rounds = gate.broad._rounds[-1:]
        await verdict.approve(approval(verdict))
        assert verdict.report.passed is (reason == shown.detail)


async def test_a_renewal_that_takes_longer_than_a_verdict_counts() -> None:
    """Promotions that ask while nobody renews the verdict share one renewal, however long it takes."""
    gate = Gate(rows_of(), artifacts({"a": CLEAN}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(Policy().maximum_verdict_age + 1)
        asked, ask = len(gate.broad.asked), verdict._ask_again

        async def slowly() -> GateReport:
            report = await ask()
            gate.pass_minutes(Policy().maximum_verdict_age + 1)
            return report

        verdict._ask_again = slowly
        renewed = await asyncio.gather(*(verdict.renew() for _ in range(20)))
        assert sum(renewed) <= 2
        assert len(gate.broad.asked) - asked == sum(renewed)
        assert await verdict.renew(), "who comes later needs another one"


async def test_a_renewal_that_fails_is_shared_with_nobody() -> None:
    """A verdict that could not be renewed is too old for everybody."""
    denied = PermissionDenied("query", "Resource Graph", "403.", "Grant the role.")
    gate = Gate(rows_of({}, denied), artifacts({"a": CLEAN}))
    async with gate.verdicts("a") as (verdict,):
        gate.pass_minutes(Policy().maximum_verdict_age + 1)
        renewed = await asyncio.gather(*(verdict.renew() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(error, PermissionDenied) for error in renewed)


async def test_an_approval_does_not_outlive_its_day() -> None:
    """A release that is approved until today is not published tomorrow."""
    gate = Gate(rows_of(), artifacts(), ASKS)
    async with gate.verdicts("a") as (verdict,):
        await verdict.approve(approval(verdict, expires=gate.clock.now().date()))
        verdict.require(NOT_PUSHED)
        gate.pass_minutes(24 * 60)
        await verdict.renew()
        with pytest.raises(GateBlocked, match="the approval expired"):
            verdict.require(NOT_PUSHED)


async def test_a_rejection_needs_no_further_question() -> None:
    """It blocks, whatever the sources say by now."""
    gate = Gate(rows_of(), artifacts({}, {"a": CLEAN}), ASKS)
    async with gate.verdicts("a") as (verdict,):
        await verdict.approve(approval(verdict, approved=False))
        with pytest.raises(GateBlocked, match="rejected by Ada"):
            verdict.require(NOT_PUSHED)
    assert len(gate.broad.asked) == 1


FLAWS = st.sets(st.sampled_from([*many(LOW, 4), *(flaw(Severity.LOW, "CVE-2026-1", f"package-{n}") for n in range(4))]))


@given(shown=FLAWS, now=FLAWS, status=st.sampled_from([SourceStatus.NOTHING, SourceStatus.ASSESSED]))
def test_more_bad_news_never_turns_a_refusal_into_an_approval(shown: Any, now: Any, status: SourceStatus) -> None:
    """An approval holds for exactly those that know no finding, package or state that was not shown."""

    async def after(findings: Any) -> bool:
        seen = [replace(rows(*some), status=one) for some, one in ((shown, SourceStatus.NOTHING), (findings, status))]
        gate = Gate(rows_of(*({"a": one} for one in seen)), artifacts(), ASKS)
        async with gate.verdicts("a") as (verdict,):
            await verdict.approve(approval(verdict))
            return verdict.report.passed

    assert asyncio.run(after(now)) is (now <= shown and status is SourceStatus.NOTHING)
