"""Break glass at the gate: two people, one digest, some hours; and no bad news passes by it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import GateBlocked, Throttled, UnreadableAnswer
from pratique.findings import Finding
from pratique.gate.approval import Approval
from pratique.gate.approval_request import Question
from pratique.gate.break_glass import companions, uses
from pratique.gate.clearance import clear
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation
from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.exceptions.people import same_person
from pratique.gate.holds import NO_HOLDS, Hold, Holds
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.polling import EvidencePoller
from pratique.gate.record import record
from pratique.gate.report import markdown, require_passed
from pratique.gate.rules import Rules, Wait
from pratique.gate.standing import StandingVerdict
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.images import ImageReference
from tests.pratique.gate.kit import (
    AMD64,
    CLEAN,
    HIGH,
    INDEX,
    LOW,
    NO_ARTIFACT,
    NO_ROWS,
    NOW,
    REFERENCE,
    FakeClock,
    Source,
    break_glass,
    exempt,
    failed,
    nothing,
    on_file,
    rows,
    unreadable,
)
from tests.pratique.gate.test_properties import (
    DEADLINE,
    PATIENCE,
    SOURCES,
    Situation,
    digests,
    findings,
    places,
    situations,
)
from tests.pratique.gate.test_wait import candidate, image, states

ADA, GRACE = "ada@contoso.com", "Grace Hopper"
HOUR = timedelta(hours=1)
HOURS = 4.0
COMMITTED = "commit 0123abc"
BOTH = frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT})
STATES = (VerdictState.PENDING, VerdictState.UNVERIFIED, VerdictState.APPROVED)

with tempfile.TemporaryDirectory() as folder:
    (ENTRY,) = on_file(
        Path(folder), break_glass=[break_glass(HOURS)], policy=Policy(break_glass_hours=HOURS)
    ).break_glass
FILE = ENTRY.origin


def entry_for(name: str, **changes: Any) -> BreakGlass:
    """An entry for one of the images that the tests of the wait know."""
    found = image(name)
    return replace(ENTRY, image=found.reference.at(found.digest), **changes)


# Decisions


def judged(
    situation: Situation,
    entry: BreakGlass | None = ENTRY,
    name: str = GRACE,
    *,
    at: datetime = NOW,
    holds: Holds = NO_HOLDS,
    hours: float = HOURS,
    status: str = COMMITTED,
    approved: bool = True,
) -> GateReport:
    """The report on a situation under an entry, with the answer of a person who was shown what is known."""
    rules = Rules(
        policy=situation.policy.model_copy(update={"break_glass_hours": hours}),
        platforms=situation.platforms,
        sources=frozenset(SOURCES),
        exceptions=replace(situation.exceptions, break_glass=(entry,) if entry else ()),
        provenance=((FILE, status),),
        holds=holds,
    )
    since, started = (at - timedelta(minutes=minutes) for minutes in (situation.waited, situation.running))
    wait = Wait(at=at, since=since, started=started, patience=PATIENCE, deadline=DEADLINE)
    verdict = evaluate_image(situation.image, situation.said, rules, wait)
    report = GateReport(release="web", verdicts=(verdict,), rules=rules, at=at)
    return report.with_approval(answered(report, name, approved=approved), at)


def answered(report: GateReport, name: str = GRACE, *, approved: bool = True) -> Approval:
    """An answer that no form has checked, so that only the gate can refuse it."""
    return Approval(
        approved=approved,
        reason="The shop is down.",
        name=name,
        expires=date(2027, 1, 1),
        shown=Question.about(report).items,
    )


def let_in(report: GateReport) -> bool:
    """Whether the release passes because of break glass."""
    return report.passed and bool(uses(report))


@settings(max_examples=500)
@given(situations, st.sampled_from([NO_HOLDS, {AMD64: (Hold("web", NOW, ()),)}, {INDEX: (Hold("web", NOW, ()),)}]))
def test_bad_news_never_passes_by_break_glass(situation: Situation, holds: Holds) -> None:
    """What passes by it would otherwise wait for a proof, and nothing else: no finding is beyond the limits, no source
    is in doubt, none is told not to assess it, nothing holds it, and no required platform is missing."""
    before, after = judged(situation, None, holds=holds), judged(situation, holds=holds)
    if not let_in(after):
        assert after.passed == before.passed
        return
    (was,), (now,) = before.verdicts, after.verdicts
    for without, platform in zip(was.platforms, now.platforms, strict=True):
        if platform.state is VerdictState.BREAK_GLASS:
            assert without.state in STATES
            assert not any(seen.status.in_doubt for seen in platform.observations)
            assert {seen.source for seen in platform.observations} >= {*SOURCES}
            assert platform.digest
        else:
            assert without.state is platform.state
    assert not holds


@settings(max_examples=300)
@given(situations, digests, places, findings)
def test_a_finding_never_helps(situation: Situation, digest: str, place: int, finding: Finding) -> None:
    """Whoever reports it: what did not pass, though two people wanted it, still does not."""
    said = list(situation.said[digest])
    said[place] = replace(said[place], findings=said[place].findings | {finding})
    assert judged(situation).passed or not judged(situation.saying(digest, said)).passed


@settings(max_examples=300)
@given(situations, digests, places)
def test_a_signature_that_does_not_count_is_bad_news(situation: Situation, digest: str, place: int) -> None:
    """Somebody may have tampered with the image: no platform with such an attestation passes by break glass."""
    said = list(situation.said[digest])
    said[place] = replace(said[place], rejected=(f"sha256:{'f' * 64}",))
    (verdict,) = judged(situation.saying(digest, said)).verdicts
    assert all(one.state is not VerdictState.BREAK_GLASS for one in verdict.platforms if one.digest == digest)


@given(situations)
def test_what_passes_anyway_passes_in_the_same_way(situation: Situation) -> None:
    """An entry takes no proof away, and a proof is not reported as break glass."""
    before, after = judged(situation, None), judged(situation)
    if before.passed:
        assert after.passed
    for without, platform in zip(before.verdicts[0].platforms, after.verdicts[0].platforms, strict=True):
        if without.state.passes and without.state is not VerdictState.APPROVED:
            assert platform.state is without.state


spellings = st.sampled_from(
    [
        ADA,
        "Ada",
        " ADA ",
        "a.d.a",
        "ada@CONTOSO.com",
        "A\u200bda",
        "\uff21da",
        "\uff41\uff44\uff41@contoso.com",
        "ada @ contoso . com",
    ]
)


@given(situations, spellings | st.text(max_size=4))
def test_nothing_passes_without_two_people(situation: Situation, name: str) -> None:
    """Neither on the word of the person who asked, however the name is written, nor without a word."""
    report = judged(situation, name=name)
    if same_person(name, ADA):
        assert not let_in(report)
    assert not let_in(judged(situation, approved=False))
    assert all(use.approved_by == name for use in uses(report))


@given(situations, st.timedeltas(timedelta(-1), timedelta(1)))
def test_nothing_passes_outside_of_the_hours(situation: Situation, after: timedelta) -> None:
    """Neither before the entry is open nor from its end on."""
    for at in (ENTRY.until + abs(after), ENTRY.opened - abs(after) - timedelta(seconds=1)):
        assert not let_in(judged(situation, at=at))


@given(situations, st.floats(0, HOURS, exclude_max=True), st.sampled_from(["", "not under Git", "not as committed"]))
def test_nothing_passes_that_the_policy_or_git_does_not_know(situation: Situation, hours: float, status: str) -> None:
    """An entry that lasts longer than the policy allows, or that nobody has committed."""
    assert not let_in(judged(situation, hours=hours))
    assert not let_in(judged(situation, status=status))


@given(situations)
def test_only_the_digest_of_the_entry_passes(situation: Situation) -> None:
    """An entry for other bytes, or for one platform of these, lets nothing in."""
    for digest in (AMD64, f"sha256:{'e' * 64}"):
        other = replace(ENTRY, image=ImageReference.parse(REFERENCE).at(digest))
        assert not let_in(judged(situation, other))


# The wait, the answer, and what follows


class Gate:
    """The gate of one release, whose images have just arrived."""

    def __init__(
        self, broad: Source, narrow: Source, *entries: BreakGlass, images: Iterable[str] = ("a",), **policy: Any
    ) -> None:
        self.clock, self.broad, self.narrow = FakeClock(), broad, narrow
        self._images = list(images)
        self._rules = Rules(
            policy=Policy.model_validate({"break_glass_hours": HOURS} | policy),
            platforms=("linux/amd64",),
            sources=BOTH,
            exceptions=Exceptions(break_glass=entries or (entry_for("a"),)),
            provenance=((FILE, COMMITTED),),
        )
        self.shown: list[GateReport] = []

    @asynccontextmanager
    async def verdict(self) -> AsyncIterator[StandingVerdict]:
        async with EvidencePoller([self.broad], [self.narrow], self.clock) as poller:

            async def show(report: GateReport) -> None:
                self.shown.append(report)

            async def ask() -> GateReport:
                wait = WaitPolicy(interval=30, patience=30, deadline=240)
                images = [candidate(name) for name in self._images]
                return await assess("web", images, self._rules, wait, poller=poller, progress=show)

            yield StandingVerdict(await ask(), ask, self.clock)

    def pass_hours(self, count: float) -> None:
        self.clock.time += count * HOUR


def telling(*rounds: Mapping[str, Observation] | Exception) -> Source:
    return Source(RECOMMENDATIONS, *rounds)


def proving(*rounds: Mapping[str, Observation] | Exception) -> Source:
    return Source(FINDINGS_ARTIFACT, *rounds)


async def test_it_asks_after_the_first_look() -> None:
    """It waits for no deadline, and asks although the policy asks nobody; then the sources are asked once more."""
    gate = Gate(telling(), proving())
    async with gate.verdict() as verdict:
        assert gate.clock.minutes == 0
        assert states(verdict.report) == [VerdictState.ASKING_SECOND]
        with pytest.raises(GateBlocked):
            verdict.require("Nothing was promoted.")
        (clearance,) = clear(await verdict.approve(answered(verdict.report)))
    assert len(gate.broad.asked) == 2
    use = clearance.break_glass
    assert use is not None
    assert (use.glass, use.approved_by, use.approval) == (entry_for("a"), GRACE, "The shop is down.")
    assert clearance.state == "Unassessed, break glass"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (rows(HIGH), VerdictState.UNHEALTHY),
        (exempt(), VerdictState.NOT_APPLICABLE),
        (unreadable(RECOMMENDATIONS), VerdictState.UNVERIFIED),
        (failed(RECOMMENDATIONS), VerdictState.UNVERIFIED),
    ],
)
@pytest.mark.parametrize("when", ["before the question", "after the answer"])
async def test_bad_news_blocks_whenever_it_is_told(said: Observation, state: VerdictState, when: str) -> None:
    """Before the question nobody is asked; after the answer it blocks all the same."""
    early = when == "before the question"
    gate = Gate(telling({"a": said}) if early else telling({}, {"a": said}), proving())
    async with gate.verdict() as verdict:
        if not early:
            await verdict.approve(answered(verdict.report))
        assert states(verdict.report) == [state]
        with pytest.raises(GateBlocked):
            verdict.require("Nothing was promoted.")


async def test_a_source_that_cannot_be_asked_is_waited_for() -> None:
    """There was no look yet: the question comes after the first one that every source has answered."""
    gate = Gate(telling(Throttled("ask", "Resource Graph", "429", "Wait."), {}), proving())
    async with gate.verdict() as verdict:
        assert states(verdict.report) == [VerdictState.ASKING_SECOND]
    assert [states(report) for report in gate.shown] == [[VerdictState.PENDING], [VerdictState.ASKING_SECOND]]


async def test_a_proof_makes_break_glass_unnecessary() -> None:
    """What Defender says before the answer counts: nothing is on record as break glass."""
    gate = Gate(telling(), proving({}, {"a": CLEAN}))
    async with gate.verdict() as verdict:
        (clearance,) = clear(await verdict.approve(answered(verdict.report)))
    assert (clearance.state, clearance.break_glass) == ("Healthy", None)


async def test_a_finding_within_the_limits_has_to_be_shown() -> None:
    """The form shows it, and another one after the answer blocks."""
    gate = Gate(telling({"a": rows(LOW)}), proving())
    async with gate.verdict() as verdict:
        question = Question.about(verdict.report)
        assert "1 Low" in question.markdown("2026-11-23 16:00 UTC")
        assert clear(await verdict.approve(answered(verdict.report)))
    gate = Gate(telling({}, {"a": rows(LOW)}), proving())
    async with gate.verdict() as verdict:
        with pytest.raises(GateBlocked, match="new findings"):
            clear(await verdict.approve(answered(verdict.report)))


async def test_a_verdict_ends_with_its_entry() -> None:
    """Within the hours it counts like any other; from their end on the sources are asked again, and without a proof by
    the deadline it blocks."""
    gate = Gate(telling(), proving(), maximum_verdict_age=600)
    async with gate.verdict() as verdict:
        await verdict.approve(answered(verdict.report))
        gate.pass_hours(HOURS - 0.01)
        assert not await verdict.renew()
        verdict.require("Nothing was promoted.")
        gate.pass_hours(0.01)
        assert await verdict.renew()
        with pytest.raises(GateBlocked, match="break-glass entry ended at 2026-11-23 16:00 UTC"):
            verdict.require("Nothing was promoted.")


@pytest.mark.parametrize("policy", [{}, {"unverified": "ask"}], ids=["block", "ask"])
async def test_an_answer_that_comes_too_late(policy: dict[str, str]) -> None:
    """The entry has ended: the answer is none to the question that the policy may ask by then."""
    gate = Gate(telling(), proving(), **policy)
    async with gate.verdict() as verdict:
        answer = answered(verdict.report)
        gate.pass_hours(HOURS + 1)
        with pytest.raises(GateBlocked, match="ended at"):
            clear(await verdict.approve(answer))


async def test_other_images_of_the_release_follow_the_ordinary_rules() -> None:
    """They are waited for, and the gate says so from the first look on, and how to let the image in alone."""
    gate = Gate(telling(), proving(*[{}] * 3, {"b": CLEAN}), images=("a", "b"))
    async with gate.verdict() as verdict:
        assert states(verdict.report) == [VerdictState.ASKING_SECOND, VerdictState.HEALTHY]
        assert gate.clock.minutes > 0
        waits = companions(gate.shown[0])
        for part in ("docker.io/library/a:1", "docker.io/library/b:1", "release of its own", "--only"):
            assert part in waits
        assert companions(verdict.report) == ""
        clearances = clear(await verdict.approve(answered(verdict.report)))
    assert [bool(clearance.break_glass) for clearance in clearances] == [True, False]


async def test_a_release_that_another_image_blocks() -> None:
    """Nobody is asked, and the error says why the image with the entry does not come in."""
    gate = Gate(telling({"b": rows(HIGH)}), proving(), images=("a", "b"))
    async with gate.verdict() as verdict:
        assert verdict.report.blocked
        with pytest.raises(GateBlocked, match="release of its own") as blocked:
            require_passed(verdict.report)
    assert HIGH.vulnerability in blocked.value.observed


# What a person is asked


async def question(**changes: Any) -> Question:
    gate = Gate(telling(), proving(), entry_for("a", **changes))
    async with gate.verdict() as verdict:
        return Question.about(verdict.report)


async def test_the_question_says_what_is_asked_of_whom() -> None:
    """Image, incident, reason and end, and that somebody else has to answer; not to look for a scan in the portal."""
    text = (await question()).markdown("2026-11-23 16:00 UTC")
    for part in (entry_for("a").digest, ADA, "INC-4711", "certificate is expired", "16:00 UTC", "second person"):
        assert part in text
    assert "assessed and healthy" not in text
    for paragraph in text.split("\n\n"):
        assert all(line.startswith("- ") for line in paragraph.strip().splitlines()[1:])


async def test_the_first_person_cannot_approve() -> None:
    """However the name is written; the first person may reject it, and another one approve it."""
    asked, today = await question(), NOW.date()
    expires = asked.default_expiry(today).isoformat()
    for name in (ADA, "Ada", " A D A "):
        with pytest.raises(UnreadableAnswer, match="another person"):
            asked.read_answer("approve", "The shop is down.", name, expires, today)
        assert not asked.read_answer("reject", "The shop is up.", name, expires, today).approved
    assert asked.read_answer("approve", "The shop is down.", GRACE, expires, today).approved


async def test_there_are_as_many_hours_to_answer_as_the_entry_has() -> None:
    """And no more than for any question."""
    asked = await question()
    assert asked.hours(24, NOW) == HOURS
    assert asked.hours(1, NOW) == 1
    assert asked.hours(24, NOW + (HOURS + 1) * HOUR) == 0
    assert replace(asked, break_glass=()).hours(24, NOW) == 24


async def test_another_entry_is_another_question() -> None:
    """An answer is about the entry that was shown."""
    assert (await question()).key == (await question()).key != (await question(requested_by="Alan")).key
    gate = Gate(telling(), proving(), entry_for("a"))
    async with gate.verdict() as verdict:
        other = replace(answered(verdict.report), shown=(await question(requested_by="Alan")).items)
        with pytest.raises(GateBlocked, match="entry has changed"):
            clear(await verdict.approve(other))


async def test_reports_name_both_people() -> None:
    """The summary on top, and the record with basis, people, incident and end."""
    gate = Gate(telling({"a": NO_ROWS}), proving({"a": NO_ARTIFACT}))
    async with gate.verdict() as verdict:
        report = await verdict.approve(answered(verdict.report))
    top, _, _ = markdown(report).partition("| image |")
    for part in ("Passed by break glass", "ada@contoso.com", GRACE, "INC-4711", "2026-11-23 16:00 UTC"):
        assert part in top
    recorded = record(report)
    assert recorded["outcome"] == "Passed by break glass"
    (use,) = recorded["breakGlass"]
    assert (use["basis"], use["requestedBy"], use["approvedBy"]) == ("break glass", ADA, GRACE)
    assert (use["incident"], use["until"], use["verdict"]) == ("INC-4711", "2026-11-23T16:00:00+00:00", "")
    assert recorded["images"][0]["platforms"][0]["breakGlass"]["incident"] == "INC-4711"


async def test_an_ordinary_report_says_nothing_of_it() -> None:
    """Where an entry was not needed, the record and the top of the summary have nothing of it."""
    gate = Gate(telling({"a": nothing(RECOMMENDATIONS)}), proving({"a": CLEAN}))
    async with gate.verdict() as verdict:
        assert record(verdict.report)["breakGlass"] == []
        assert "break glass" not in markdown(verdict.report).partition("| image |")[0].lower()
