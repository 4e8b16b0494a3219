"""Rounds of questions, shared by all who wait; time passes only when nobody has anything left to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta

import pytest

from pratique.clock import SystemClock
from pratique.errors import PermissionDenied, Throttled
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS
from pratique.gate.polling import Evidence, EvidencePoller
from tests.pratique.gate.kit import NOW, FakeClock, Source, artifact, rows, subject_of

A, B, C = map(subject_of, "abc")
DENIED = PermissionDenied("query", "Resource Graph", "403.", "Grant Reader.")
THROTTLED = Throttled("query", "Resource Graph", "429, slow down.", "Wait.")


def everything(found: Evidence) -> Collection[Subject]:
    return list(found)


def none(found: Evidence) -> Collection[Subject]:
    return []


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


class Held(Source):
    """Answers only when it is let go."""

    def __init__(self, names: str) -> None:
        super().__init__(names)
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        self.reached.set()
        await self.go.wait()
        return await super().__call__(subjects)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """After each test no task is left but its own."""
    before = asyncio.all_tasks() - {asyncio.current_task()}
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before


async def test_all_who_wait_share_one_round(clock: FakeClock) -> None:
    """Three releases cost one question about all their images; each is told of its own."""
    broad, narrow = Source(RECOMMENDATIONS), Source(FINDINGS_ARTIFACT)
    async with EvidencePoller([broad], [narrow], clock) as poller:
        found = await asyncio.gather(*(poller.poll([one], everything, NOW) for one in (A, B, C)))
    assert broad.asked == narrow.asked == [{"a", "b", "c"}]
    assert [set(one) for one in found] == [{A}, {B}, {C}]


async def test_whoever_is_due_later_is_told_sooner(clock: FakeClock) -> None:
    """The round is made when the first of them is due."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        await asyncio.gather(poller.poll([A], none, NOW + seconds(60)), poller.poll([B], none, NOW + seconds(10)))
    assert broad.asked == [{"a", "b"}]
    assert clock.slept == [10]


async def test_a_newcomer_in_a_hurry_does_not_wait_for_the_others(clock: FakeClock) -> None:
    """It has come while a round that is due later is waited for: all are told now."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        first = asyncio.create_task(poller.poll([A], none, NOW + seconds(60)))
        await asyncio.sleep(0)
        await asyncio.gather(first, poller.poll([B], none, NOW))
    assert broad.asked == [{"a", "b"}]
    assert clock.slept == []


async def test_who_comes_during_a_round_gets_the_next_one(clock: FakeClock) -> None:
    """An answer that was asked for before says nothing about the newcomer's images."""
    broad = Held(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        first = asyncio.create_task(poller.poll([A], none, NOW))
        await broad.reached.wait()
        second = asyncio.create_task(poller.poll([B], none, NOW))
        await asyncio.sleep(0)
        broad.go.set()
        await asyncio.gather(first, second)
    assert broad.asked == [{"a"}, {"b"}]


async def test_narrow_sources_are_asked_about_what_is_left(clock: FakeClock) -> None:
    """Each release says what is undecided, knowing what the broad sources said."""
    broad = Source(RECOMMENDATIONS, {"a": rows()})
    narrow = Source(FINDINGS_ARTIFACT, {name: artifact() for name in "abc"})

    def silent(found: Evidence) -> Collection[Subject]:
        return [one for one, said in found.items() if said[RECOMMENDATIONS].status is SourceStatus.NOTHING]

    async with EvidencePoller([broad], [narrow], clock) as poller:
        one, other = await asyncio.gather(poller.poll([A, B], silent, NOW), poller.poll([C], none, NOW))
    assert broad.asked == [{"a", "b", "c"}]
    assert narrow.asked == [{"b"}]
    assert [set(said) for said in (one[A], one[B], other[C])] == [
        {RECOMMENDATIONS},
        {RECOMMENDATIONS, FINDINGS_ARTIFACT},
        {RECOMMENDATIONS},
    ]


async def test_nobody_is_asked_about_nothing(clock: FakeClock) -> None:
    """Neither broad sources about no images, nor narrow ones when all is decided."""
    broad, narrow = Source(RECOMMENDATIONS), Source(FINDINGS_ARTIFACT)
    async with EvidencePoller([broad], [narrow], clock) as poller:
        assert await poller.poll([], everything, NOW) == {}
        await poller.poll([A], none, NOW)
    assert broad.asked == [{"a"}]
    assert narrow.asked == []


async def test_every_name_of_every_source_gives_an_observation(clock: FakeClock) -> None:
    """What a source does not mention it knows nothing of."""
    several = Source("artifact acme", {"a": Observation(source="acme", status=SourceStatus.ASSESSED)})
    async with EvidencePoller([Source(RECOMMENDATIONS)], [several], clock) as poller:
        found = await poller.poll([A, B], everything, NOW)
    said = {one: {name: observation.status.value for name, observation in found[one].items()} for one in (A, B)}
    assert said[A] == {RECOMMENDATIONS: "nothing", "artifact": "nothing", "acme": "assessed"}
    assert said[B] == {RECOMMENDATIONS: "nothing", "artifact": "nothing", "acme": "nothing"}


async def test_a_failure_that_may_pass_is_an_observation(clock: FakeClock) -> None:
    """The other sources are heard all the same, and the next round asks again."""
    failing, other = Source(f"{RECOMMENDATIONS} old", THROTTLED, {}), Source(FINDINGS_ARTIFACT, {"a": artifact()})
    async with EvidencePoller([failing], [other], clock) as poller:
        found = await poller.poll([A], everything, NOW)
        again = await poller.poll([A], everything, NOW)
    assert {name: one.status for name, one in found[A].items()} == {
        RECOMMENDATIONS: SourceStatus.FAILED,
        "old": SourceStatus.FAILED,
        FINDINGS_ARTIFACT: SourceStatus.ASSESSED,
    }
    assert "429, slow down." in found[A][RECOMMENDATIONS].detail
    assert again[A][RECOMMENDATIONS].status is SourceStatus.NOTHING


@pytest.mark.parametrize("narrow", [False, True])
async def test_a_lasting_error_reaches_everybody_who_waits(clock: FakeClock, narrow: bool) -> None:
    """And nobody after them: the next round asks again."""
    failing, other = Source(RECOMMENDATIONS, DENIED, {}), Source(FINDINGS_ARTIFACT)
    poller = EvidencePoller([other], [failing], clock) if narrow else EvidencePoller([failing], [other], clock)
    async with poller:
        answers = await asyncio.gather(
            poller.poll([A], everything, NOW), poller.poll([B], everything, NOW), return_exceptions=True
        )
        assert [*answers] == [DENIED, DENIED]
        assert await poller.poll([A], everything, NOW)


async def test_whatever_else_goes_wrong_leaves_nobody_waiting(clock: FakeClock) -> None:
    """An error of ours is one for all who wait, too."""

    def broken(found: Evidence) -> Collection[Subject]:
        raise ZeroDivisionError

    async with EvidencePoller([Source(RECOMMENDATIONS)], [], clock) as poller:
        answers = await asyncio.gather(
            poller.poll([A], broken, NOW), poller.poll([B], none, NOW), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [ZeroDivisionError, ZeroDivisionError]


async def test_who_gives_up_leaves_the_others(clock: FakeClock) -> None:
    """A cancelled release is not asked about any more, and no reason to hurry."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        gone = asyncio.create_task(poller.poll([A], none, NOW + seconds(10)))
        stays = asyncio.create_task(poller.poll([B], none, NOW + seconds(60)))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
    assert broad.asked == [{"b"}]
    assert sum(clock.slept) == 60
    assert gone.cancelled()


async def test_who_gives_up_during_a_round_leaves_the_others(clock: FakeClock) -> None:
    """The round goes on for those who are left."""
    broad = Held(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        gone, stays = (asyncio.create_task(poller.poll([one], none, NOW)) for one in (A, B))
        await broad.reached.wait()
        gone.cancel()
        await asyncio.sleep(0)
        broad.go.set()
        assert set(await stays) == {B}
    assert gone.cancelled()


async def test_when_all_have_given_up_somebody_else_may_come(clock: FakeClock) -> None:
    """Nobody is asked in between."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        gone = asyncio.create_task(poller.poll([A], none, NOW + seconds(10)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert set(await poller.poll([B], none, NOW)) == {B}
    assert broad.asked == [{"b"}]


@pytest.mark.parametrize("asking", [False, True])
async def test_closing_leaves_nobody_waiting(clock: FakeClock, asking: bool) -> None:
    """Neither before a round nor in the middle of one."""
    broad = Held(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        left = asyncio.create_task(poller.poll([A], none, NOW if asking else NOW + seconds(1)))
        await (broad.reached.wait() if asking else asyncio.sleep(0))
    await asyncio.sleep(0)
    assert left.cancelled()
    assert broad.asked == []


async def test_the_clock_of_this_machine() -> None:
    """It has an offset and moves on."""
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0)
    assert before.utcoffset() == timedelta(0)
    assert clock.now() >= before
