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


async def test_waiting_releases_share_one_round(clock: FakeClock) -> None:
    """Three releases cost one query about all their images, and each gets the answer about its own."""
    broad, narrow = Source(RECOMMENDATIONS), Source(FINDINGS_ARTIFACT)
    async with EvidencePoller([broad], [narrow], clock) as poller:
        found = await asyncio.gather(*(poller.poll([one], everything, NOW) for one in (A, B, C)))
    assert broad.asked == narrow.asked == [{"a", "b", "c"}]
    assert [set(one) for one in found] == [{A}, {B}, {C}]


async def test_the_earliest_due_time_starts_the_round(clock: FakeClock) -> None:
    """The round starts when the first request is due, and answers all of them."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        await asyncio.gather(poller.poll([A], none, NOW + seconds(60)), poller.poll([B], none, NOW + seconds(10)))
    assert broad.asked == [{"a", "b"}]
    assert clock.slept == [10]


async def test_a_new_request_can_be_due_sooner(clock: FakeClock) -> None:
    """A request that arrives before a later round starts brings that round forward for all."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        first = asyncio.create_task(poller.poll([A], none, NOW + seconds(60)))
        await asyncio.sleep(0)
        await asyncio.gather(first, poller.poll([B], none, NOW))
    assert broad.asked == [{"a", "b"}]
    assert clock.slept == []


async def test_a_request_during_a_round_gets_the_next_one(clock: FakeClock) -> None:
    """An answer to an earlier query says nothing about the new request's images."""
    broad = Held(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        first = asyncio.create_task(poller.poll([A], none, NOW))
        await broad.reached.wait()
        second = asyncio.create_task(poller.poll([B], none, NOW))
        await asyncio.sleep(0)
        broad.go.set()
        await asyncio.gather(first, second)
    assert broad.asked == [{"a"}, {"b"}]


async def test_narrow_sources_are_asked_about_undecided_subjects(clock: FakeClock) -> None:
    """Each release says what is undecided, from what the broad sources report."""
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


async def test_sources_are_not_asked_about_nothing(clock: FakeClock) -> None:
    """Broad sources are not asked about no images, nor narrow ones when no subject is undecided."""
    broad, narrow = Source(RECOMMENDATIONS), Source(FINDINGS_ARTIFACT)
    async with EvidencePoller([broad], [narrow], clock) as poller:
        assert await poller.poll([], everything, NOW) == {}
        await poller.poll([A], none, NOW)
    assert broad.asked == [{"a"}]
    assert narrow.asked == []


async def test_every_name_of_every_source_gives_an_observation(clock: FakeClock) -> None:
    """A source's name without an answer counts as "nothing"."""
    several = Source("artifact acme", {"a": Observation(source="acme", status=SourceStatus.ASSESSED)})
    async with EvidencePoller([Source(RECOMMENDATIONS)], [several], clock) as poller:
        found = await poller.poll([A, B], everything, NOW)
    said = {one: {name: observation.status.value for name, observation in found[one].items()} for one in (A, B)}
    assert said[A] == {RECOMMENDATIONS: "nothing", "artifact": "nothing", "acme": "assessed"}
    assert said[B] == {RECOMMENDATIONS: "nothing", "artifact": "nothing", "acme": "nothing"}


async def test_a_transient_failure_is_an_observation(clock: FakeClock) -> None:
    """The other sources' answers count, and the next round asks again."""
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
async def test_a_permanent_error_reaches_every_waiting_release(clock: FakeClock, narrow: bool) -> None:
    """Later requests do not get it: the next round asks again."""
    failing, other = Source(RECOMMENDATIONS, DENIED, {}), Source(FINDINGS_ARTIFACT)
    poller = EvidencePoller([other], [failing], clock) if narrow else EvidencePoller([failing], [other], clock)
    async with poller:
        answers = await asyncio.gather(
            poller.poll([A], everything, NOW), poller.poll([B], everything, NOW), return_exceptions=True
        )
        assert [*answers] == [DENIED, DENIED]
        assert await poller.poll([A], everything, NOW)


async def test_an_unexpected_error_reaches_every_waiting_release(clock: FakeClock) -> None:
    """Also a programming error ends the wait of all."""

    def broken(found: Evidence) -> Collection[Subject]:
        raise ZeroDivisionError

    async with EvidencePoller([Source(RECOMMENDATIONS)], [], clock) as poller:
        answers = await asyncio.gather(
            poller.poll([A], broken, NOW), poller.poll([B], none, NOW), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [ZeroDivisionError, ZeroDivisionError]


async def test_a_cancelled_request_leaves_the_others(clock: FakeClock) -> None:
    """Sources are not asked about a cancelled request, and it does not bring the round forward."""
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


async def test_a_request_cancelled_during_a_round_leaves_the_others(clock: FakeClock) -> None:
    """The round continues for the other requests."""
    broad = Held(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        gone, stays = (asyncio.create_task(poller.poll([one], none, NOW)) for one in (A, B))
        await broad.reached.wait()
        gone.cancel()
        await asyncio.sleep(0)
        broad.go.set()
        assert set(await stays) == {B}
    assert gone.cancelled()


async def test_a_request_after_all_others_were_cancelled(clock: FakeClock) -> None:
    """The sources are not asked in between."""
    broad = Source(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        gone = asyncio.create_task(poller.poll([A], none, NOW + seconds(10)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert set(await poller.poll([B], none, NOW)) == {B}
    assert broad.asked == [{"b"}]


@pytest.mark.parametrize("asking", [False, True])
async def test_closing_the_poller_cancels_requests(clock: FakeClock, asking: bool) -> None:
    """Requests are cancelled before a round and in the middle of one."""
    broad = Held(RECOMMENDATIONS)
    async with EvidencePoller([broad], [], clock) as poller:
        left = asyncio.create_task(poller.poll([A], none, NOW if asking else NOW + seconds(1)))
        await (broad.reached.wait() if asking else asyncio.sleep(0))
    await asyncio.sleep(0)
    assert left.cancelled()
    assert broad.asked == []


async def test_the_system_clock() -> None:
    """Its time has an offset, and does not go backwards."""
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0)
    assert before.utcoffset() == timedelta(0)
    assert clock.now() >= before
