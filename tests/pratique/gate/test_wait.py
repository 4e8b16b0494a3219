"""The wait for a release: when it ends, how often it looks, and what it makes of what changes meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import accumulate, pairwise
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import GateBlocked, PermissionDenied, PratiqueError, Throttled, UnreadableAnswer
from pratique.gate import assessment
from pratique.gate.approval import Approval as Word
from pratique.gate.approval_request import Question
from pratique.gate.candidate import Candidate
from pratique.gate.clearance import clear
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, Subject
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.polling import EvidencePoller
from pratique.gate.record import record
from pratique.gate.rules import Rules
from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from tests.pratique.gate.kit import (
    AMD64,
    ARM64,
    CLEAN,
    CRITICAL,
    HIGH,
    INDEX,
    LOW,
    NGINX,
    NO_ARTIFACT,
    NOW,
    OTHER,
    FakeClock,
    Source,
    acceptance,
    artifact,
    exception,
    exempt,
    failed,
    nothing,
    of_manifests,
    on_file,
    rows,
    unreadable,
)

BAD, BAD_ARTIFACT = rows(HIGH), artifact(HIGH)
NESTED = "sha256:" + "e" * 64
ASKED = frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT})
PLATFORMS = ("linux/amd64",)
FULL: Mapping[str, Any] = {"fail_fast": False}


def image(name: str) -> ResolvedImage:
    digest = f"sha256:{sum(name.encode()):064x}"
    reference = ImageReference.parse(f"docker.io/library/{name}:1")
    return ResolvedImage(reference, digest, (PlatformManifest("linux/amd64", digest),))


def candidate(name: str, minutes_ago: float | None = 0) -> Candidate:
    since = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    return Candidate(
        image=image(name), registry="registry.azurecr.io", repository=f"quarantine/library/{name}", since=since
    )


def told_by(*rounds: Mapping[str, Observation] | Exception) -> Source:
    return Source(RECOMMENDATIONS, *rounds)


def proven_by(*rounds: Mapping[str, Observation] | Exception) -> Source:
    return Source(FINDINGS_ARTIFACT, *rounds)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


class Timed(Source):
    """Learns something at certain minutes."""

    def __init__(self, names: str, clock: FakeClock, learns: Mapping[str, tuple[float, Observation]]) -> None:
        super().__init__(names)
        self._clock, self._learns = clock, learns

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        known = {name: one for name, (minute, one) in self._learns.items() if self._clock.minutes >= minute}
        self._rounds = [known]
        return await super().__call__(subjects)


class Learning(Source):
    """Learns several things about each image, one after the other.

    :ivar last_asked: when it was last asked about an image
    """

    def __init__(self, names: str, clock: FakeClock, learns: Mapping[str, Sequence[tuple[float, Observation]]]) -> None:
        super().__init__(names)
        self._clock, self._learns = clock, learns
        self.last_asked: dict[str, datetime] = {}

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        at = self._clock.now()
        heard = {
            name: [one for minute, one in news if self._clock.minutes >= minute] for name, news in self._learns.items()
        }
        self._rounds = [{name: _fresh(news[-1], at) for name, news in heard.items() if news}]
        answer = await super().__call__(subjects)
        self.last_asked |= dict.fromkeys(self.asked[-1], at)
        return answer


class ByDigest(Source):
    """Says something about digests.

    :ivar digests: all that it was asked about
    """

    def __init__(self, names: str, said: Mapping[str, Observation]) -> None:
        super().__init__(names)
        self._said = said
        self.digests: set[str] = set()

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        self.digests |= {subject.digest for subject in subjects}
        return {subject: [self._said[subject.digest]] for subject in subjects if subject.digest in self._said}


class Cursory(Source):
    """Sees some of the news only when it looks everywhere, as it does at first and when the gate demands it.

    :ivar hidden: what only such a look shows, and from which minute on
    :ivar full: how often it looked everywhere for each image
    """

    def __init__(
        self,
        clock: FakeClock,
        hidden: Mapping[str, tuple[float, Observation]],
        plain: Mapping[str, tuple[float, Observation]],
    ) -> None:
        super().__init__(FINDINGS_ARTIFACT)
        self._clock, self._plain, self.hidden = clock, plain, hidden
        self._demanded: set[Subject] = set()
        self.full: Counter[str] = Counter()

    def forget(self, subjects: Collection[Subject]) -> None:
        self._demanded |= {*subjects}

    look_everywhere = forget

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        found: dict[Subject, Sequence[Observation]] = {}
        for subject in subjects:
            name, full = subject.repository.rpartition("/")[2], subject in self._demanded
            self._demanded.discard(subject)
            self.full[name] += full
            known = [self._plain, *([self.hidden] if full else [])]
            news = [said[name] for said in known if name in said and self._clock.minutes >= said[name][0]]
            seen = news[-1][1] if news else NO_ARTIFACT
            found[subject] = [replace(_fresh(seen, self._clock.now()), partial=not full)]
        return found


def _fresh(observation: Observation, at: datetime) -> Observation:
    return replace(observation, at=at - minutes(5)) if observation.at else observation


class Run:
    """One run of the gate, with what it told while it waited."""

    def __init__(
        self,
        broad: Source | None = None,
        narrow: Source | None = None,
        *,
        clock: FakeClock | None = None,
        policy: Policy | None = None,
        exceptions: Exceptions | None = None,
        asked: frozenset[str] = ASKED,
        **wait_policy: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.broad, self.narrow = broad or told_by(), narrow or proven_by()
        self.rules = Rules(
            policy=policy or Policy(), platforms=PLATFORMS, sources=asked, exceptions=exceptions or Exceptions()
        )
        self.wait_policy = WaitPolicy(**{"interval": 30, "patience": 30, "deadline": 240} | wait_policy)
        self.told: list[GateReport] = []

    async def of(self, *names: str | Candidate) -> GateReport:
        return (await self.together(names))[0]

    async def together(self, *releases: Iterable[str | Candidate]) -> list[GateReport]:
        async def progress(report: GateReport) -> None:
            self.told.append(report)

        async with EvidencePoller([self.broad], [self.narrow], self.clock) as poller:
            return await asyncio.gather(
                *(
                    assess(
                        f"release-{number}",
                        [candidate(one) if isinstance(one, str) else one for one in some],
                        self.rules,
                        self.wait_policy,
                        poller=poller,
                        progress=progress,
                    )
                    for number, some in enumerate(releases)
                )
            )


def states(report: GateReport) -> list[VerdictState]:
    return [verdict.state for verdict in report.verdicts]


# When it ends


async def test_a_clean_release_passes_and_each_change_is_reported_once() -> None:
    """The report has the images in the catalogue's order, and a poll without changes reports nothing."""
    run = Run(narrow=proven_by({}, {"a": CLEAN}, {}, {"b": CLEAN}))
    report = await run.of("a", "b")
    assert report.passed
    assert report.release == "release-0"
    assert [verdict.image for verdict in report.verdicts] == [image("a"), image("b")]
    assert [states(one) for one in run.told] == [
        [VerdictState.PENDING, VerdictState.PENDING],
        [VerdictState.HEALTHY, VerdictState.PENDING],
        [VerdictState.HEALTHY, VerdictState.HEALTHY],
    ]
    assert len(run.narrow.asked) == 4


async def test_one_blocked_image_ends_the_wait() -> None:
    """With fail-fast, the wait ends as soon as the release cannot pass."""
    run = Run(told_by({"b": BAD}))
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.PENDING, VerdictState.UNHEALTHY]
    assert not report.passed
    assert [verdict.image for verdict in report.blocked] == [image("b")]
    assert run.clock.slept == []


async def test_a_full_report_waits_for_all_images() -> None:
    """One blocked image does not end the wait for the others."""
    run = Run(told_by({"b": BAD}), proven_by({}, {}, {"a": CLEAN}), **FULL)
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.HEALTHY, VerdictState.UNHEALTHY]
    assert len(run.clock.slept) == 2


async def test_an_image_without_a_required_platform_ends_the_wait() -> None:
    """A missing platform will never be scanned, so the wait ends."""
    lacking = Candidate(
        image=of_manifests(("linux/arm64", ARM64)),
        registry="registry.azurecr.io",
        repository="quarantine/library/a",
        since=NOW,
    )
    run = Run()
    report = await run.of(lacking, "b")
    assert states(report) == [VerdictState.UNVERIFIED, VerdictState.PENDING]
    assert run.clock.slept == []


async def test_the_deadline_counts_from_each_images_arrival() -> None:
    """An image that arrived earlier has its verdict earlier; one of unknown arrival counts from the gate's start."""
    run = Run(**FULL)
    report = await run.of(candidate("a", 200), candidate("b", 0), candidate("c", None))
    changes = [(round((one.at - NOW).total_seconds() / 60), states(one)) for one in run.told]
    assert changes == [
        (0, [VerdictState.PENDING] * 3),
        (40, [VerdictState.UNVERIFIED, VerdictState.PENDING, VerdictState.PENDING]),
        (240, [VerdictState.UNVERIFIED] * 3),
    ]
    assert report.at == NOW + minutes(240)


async def test_the_last_poll_is_at_the_deadline() -> None:
    """The last poll is not later than the deadline, however long the interval has become."""
    run = Run(interval=1700)
    await run.of("a")
    assert run.clock.minutes == 240


async def test_an_accepted_image_passes_after_the_patience(tmp_path: Path) -> None:
    """It passes as soon as the patience is over, counted from its arrival."""
    accepted = on_file(tmp_path, acceptances=[acceptance(image=str(image("a").pinned))])
    run = Run(exceptions=accepted)
    report = await run.of(candidate("a", 10))
    assert states(report) == [VerdictState.ACCEPTED]
    assert report.passed
    assert run.clock.minutes == 20


async def test_a_person_is_asked_after_all_other_verdicts() -> None:
    """A person is asked once, about all images that are left."""
    clock = FakeClock()
    broad = told_by({"a": exempt()})
    narrow = Timed(FINDINGS_ARTIFACT, clock, {"b": (100, CLEAN)})
    run = Run(broad, narrow, clock=clock, policy=Policy(not_applicable="ask"))
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.ASKING, VerdictState.HEALTHY]
    assert [verdict.image for verdict in report.asking] == [image("a")]
    assert not report.passed
    assert not report.blocked
    assert clock.minutes >= 100


async def test_without_sources_none_is_asked() -> None:
    """Defender is off, the policy skips the scan, and there is no other source."""
    run = Run(asked=frozenset())
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.SKIPPED, VerdictState.SKIPPED]
    assert report.passed
    assert run.broad.asked == run.narrow.asked == []


# Where it looks


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 230), st.sampled_from([CLEAN, BAD_ARTIFACT]))),
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 230), st.just(CLEAN))),
    st.sampled_from([(), ("a",), ("a", "b", "c")]),
    st.booleans(),
)
def test_no_verdict_rests_on_a_partial_look(
    hidden: dict[str, tuple[int, Observation]],
    plain: dict[str, tuple[int, Observation]],
    accepted: tuple[str, ...],
    fail_fast: bool,
) -> None:
    """What a source only sees when it looks everywhere decides like anything else, whatever the verdict rests on."""

    async def judge() -> tuple[GateReport, Run, FakeClock]:
        clock = FakeClock()
        entries = [acceptance(image=str(image(name).pinned)) for name in accepted]
        with TemporaryDirectory() as folder:
            exceptions = on_file(Path(folder), acceptances=entries)
        run = Run(narrow=Cursory(clock, hidden, plain), clock=clock, exceptions=exceptions, fail_fast=fail_fast)
        return await run.of("a", "b", "c"), run, clock

    report, run, clock = asyncio.run(judge())
    assert isinstance(run.narrow, Cursory)
    for name, verdict in zip("abc", report.verdicts, strict=True):
        minute, news = hidden.get(name, (clock.minutes + 1, CLEAN))
        if report.passed or (verdict.state is VerdictState.UNVERIFIED and not fail_fast):
            assert not any(seen.partial for seen in verdict.platforms[0].observations)
        if minute <= (report.at - NOW).total_seconds() / 60:
            assert not (report.passed and news == BAD_ARTIFACT)
            assert not (verdict.state is VerdictState.UNVERIFIED and news == CLEAN)
        assert run.narrow.full[name] <= 3


# Whom it asks


async def test_proof_is_fetched_only_for_undecided_images() -> None:
    """One query per round covers all images; artifacts cost one request each."""
    run = Run(told_by({"c": BAD}), proven_by({"a": CLEAN, "d": artifact(LOW)}, {"b": CLEAN}), **FULL)
    await run.of("a", "b", "c", "d")
    assert run.broad.asked == [{"a", "b", "c", "d"}] * 2
    assert run.narrow.asked == [{"a", "b", "d"}, {"b"}]


async def test_answers_that_are_too_old_are_renewed_at_the_end() -> None:
    """An image that was proven hours ago is not let in with what its source has learned since."""
    clock = FakeClock()
    learns = {"a": [(0, CLEAN), (10, artifact(CRITICAL))], "b": [(230, CLEAN)]}
    run = Run(narrow=Learning(FINDINGS_ARTIFACT, clock, learns), clock=clock)
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.UNHEALTHY, VerdictState.HEALTHY]
    assert [number for number, names in enumerate(run.narrow.asked) if "a" in names] == [0, len(run.narrow.asked) - 1]


@pytest.mark.parametrize(
    ("recovers", "state", "ends"), [(250, VerdictState.HEALTHY, 250), (1000, VerdictState.UNVERIFIED, 270)]
)
async def test_a_source_that_fails_in_the_last_round(recovers: float, state: VerdictState, ends: float) -> None:
    """It has time to recover although the deadline is over, and the wait ends all the same."""
    clock = FakeClock()
    down = failed(FINDINGS_ARTIFACT)
    narrow = Learning(FINDINGS_ARTIFACT, clock, {"a": [(0, CLEAN), (100, down), (recovers, CLEAN)]})
    report = await Run(narrow=narrow, clock=clock, **FULL).of("a", "b")
    assert states(report) == [state, VerdictState.UNVERIFIED]
    assert ends <= clock.minutes < ends + 5


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.lists(
            st.tuples(st.integers(0, 240), st.sampled_from([CLEAN, artifact(LOW), artifact(CRITICAL)])), max_size=3
        ),
        min_size=1,
    ),
    st.sampled_from([5.0, 30.0, 200.0]),
    st.booleans(),
)
def test_a_report_rests_on_nothing_older_than_it_says(
    learns: dict[str, list[tuple[int, Observation]]], age: float, fail_fast: bool
) -> None:
    """What a report says as of a time was asked at or after that time, and a release that passes was asked lately."""

    async def judge() -> tuple[GateReport, Run]:
        clock = FakeClock()
        narrow = Learning(
            FINDINGS_ARTIFACT, clock, {name: sorted(news, key=itemgetter(0)) for name, news in learns.items()}
        )
        run = Run(narrow=narrow, clock=clock, policy=Policy(maximum_verdict_age=age), fail_fast=fail_fast)
        return await run.of(*learns), run

    report, run = asyncio.run(judge())
    assert isinstance(run.narrow, Learning)
    for name, verdict in zip(learns, report.verdicts, strict=True):
        assert run.narrow.last_asked[name] >= report.at
        told = [one for minute, one in sorted(learns[name], key=itemgetter(0)) if NOW + minutes(minute) <= report.at]
        if told and CRITICAL.vulnerability in {finding.vulnerability for finding in told[-1].findings}:
            assert verdict.state is VerdictState.UNHEALTHY
    assert not report.passed or run.clock.now() - report.at <= minutes(age)


async def test_releases_share_polls() -> None:
    """Two releases cost no more queries than one, and each ends on its own."""
    run = Run(narrow=proven_by({"a": CLEAN}, {}, {"b": CLEAN}))
    reports = await run.together(["a"], ["b"])
    assert [states(one) for one in reports] == [[VerdictState.HEALTHY], [VerdictState.HEALTHY]]
    assert run.broad.asked == [{"a", "b"}, {"b"}, {"b"}]


async def test_a_blocked_release_leaves_the_others_waiting() -> None:
    """Releases do not wait for each other, and do not fail together."""
    run = Run(told_by({"a": BAD}), proven_by({}, {"b": CLEAN}))
    reports = await run.together(["a"], ["b"])
    assert [states(one) for one in reports] == [[VerdictState.UNHEALTHY], [VerdictState.HEALTHY]]


INDEXED = replace(
    of_manifests(("linux/amd64", AMD64), ("linux/arm64", ARM64)), attestations=1, contents=(AMD64, ARM64, NESTED, OTHER)
)


@pytest.mark.parametrize("named", [INDEX, NESTED, AMD64])
@pytest.mark.parametrize(
    ("said", "state"),
    [
        (BAD, VerdictState.UNHEALTHY),
        (unreadable(RECOMMENDATIONS), VerdictState.UNVERIFIED),
        (rows(LOW), VerdictState.TOLERATED),
        (exempt(), VerdictState.HEALTHY),
        (nothing(RECOMMENDATIONS), VerdictState.HEALTHY),
    ],
    ids=["findings", "a doubt", "tolerable findings", "exempt", "nothing"],
)
async def test_what_is_said_about_an_index_counts_for_its_manifests(
    named: str, said: Observation, state: VerdictState
) -> None:
    """Whichever digest Defender names. The narrow sources are not asked about indexes, which need no proof."""
    place: dict[str, Any] = {"registry": "registry.azurecr.io", "repository": "quarantine/library/nginx"}
    run = Run(
        ByDigest(RECOMMENDATIONS, {named: said}), ByDigest(FINDINGS_ARTIFACT, dict.fromkeys([AMD64, INDEX], CLEAN))
    )
    report = await run.of(Candidate(image=INDEXED, since=NOW, **place))
    assert states(report) == [state]
    assert isinstance(run.narrow, ByDigest)
    assert isinstance(run.broad, ByDigest)
    assert run.broad.digests == {AMD64, INDEX, NESTED, OTHER}
    assert run.narrow.digests <= {AMD64}


def test_indexes() -> None:
    """Digests that name several manifests; attestations are among them only where they look like nested indexes."""
    assert INDEXED.indexes == (INDEX, NESTED, OTHER)
    assert replace(INDEXED, attestations=2).indexes == (INDEX,)
    assert image("a").indexes == ()


def test_sources_are_asked_only_about_required_manifests() -> None:
    """For proof, each digest is asked about once, with its arrival; neither the index nor other platforms are."""
    index = of_manifests(("linux/amd64", AMD64), ("linux/amd64", OTHER), ("linux/arm64", ARM64))
    asked = Candidate(
        image=index, registry="r.azurecr.io", repository="quarantine/nginx", arrivals=((AMD64, NOW),)
    ).subjects(PLATFORMS)
    assert [(one.digest, one.arrived) for one in asked] == [(AMD64, NOW), (OTHER, None)]
    twice = of_manifests(("linux/amd64", AMD64), ("linux/arm64", AMD64))
    assert (
        len(
            Candidate(image=twice, registry="r.azurecr.io", repository="quarantine/nginx").subjects(
                ("linux/amd64", "linux/arm64")
            )
        )
        == 1
    )
    assert [
        one.digest
        for one in Candidate(image=NGINX, registry="r.azurecr.io", repository="quarantine/nginx").subjects(PLATFORMS)
    ] == [AMD64]


# How often it looks


async def test_the_interval_adapts() -> None:
    """It stays for half an hour, grows with the time without changes, up to ten times, and shrinks after a change."""
    clock = FakeClock()
    run = Run(narrow=Timed(FINDINGS_ARTIFACT, clock, {"a": (90, CLEAN)}), clock=clock, patience=0)
    await run.of("a", "b")
    times = [0.0]
    for pause in clock.slept:
        times.append(times[-1] + pause)
    news = next(number for number, seconds in enumerate(times) if seconds >= 90 * 60)
    before, after = clock.slept[:news], clock.slept[news:]
    for pauses in (before, after[:-1]):
        assert pauses[:60] == [30] * 60
        assert all(shorter <= longer for shorter, longer in pairwise(pauses))
        assert max(pauses) == 300
    assert clock.minutes == 240
    assert len(clock.slept) < 240 * 60 / 30 / 2


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=4), st.sampled_from([5.0, 30.0, 60.0]))
def test_news_of_the_first_half_hour_is_seen_within_an_interval(after: list[float], interval: float) -> None:
    """So is what happens within half an hour after each change of a verdict."""

    async def delays() -> list[float]:
        clock, times = FakeClock(), list(accumulate(after))
        names = [chr(ord("a") + number) for number in range(len(times))]
        narrow = Timed(FINDINGS_ARTIFACT, clock, {name: (at, CLEAN) for name, at in zip(names, times, strict=True)})
        seen: dict[str, float] = {}

        async def progress(report: GateReport) -> None:
            passed = [name for name, state in zip(names, states(report), strict=True) if state.passes]
            seen.update({name: clock.minutes for name in passed if name not in seen})

        run = Run(narrow=narrow, clock=clock, interval=interval)
        async with EvidencePoller([run.broad], [narrow], clock) as poller:
            waiting = [candidate(name) for name in names]
            await assess("release", waiting, run.rules, run.wait_policy, poller=poller, progress=progress)
        return [60 * (seen[name] - at) for name, at in zip(names, times, strict=True)]

    assert max(asyncio.run(delays())) <= interval + 0.001


# What it evaluates


class Counted:
    """Counts the evaluations of images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0

        def evaluate(*args: Any) -> ImageVerdict:
            self.count += 1
            return evaluate_image(*args)

        monkeypatch.setattr(assessment, "evaluate_image", evaluate)


@pytest.mark.parametrize("size", [10, 40])
async def test_images_are_evaluated_when_something_changes(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The number of evaluations grows with images and changes, and not with looks at images of which nothing is new."""
    names = [f"image-{number}" for number in range(size)]
    clock, counted = FakeClock(), Counted(monkeypatch)
    learns = {name: (3.0 * number / size * 60, CLEAN) for number, name in enumerate(names)}
    run = Run(narrow=Timed(FINDINGS_ARTIFACT, clock, learns), clock=clock)
    assert (await run.of(*names)).passed
    assert len(run.narrow.asked) > 100
    # At the first look and at the last; when its patience ends, its proof arrives, its answer is renewed.
    assert counted.count <= 8 * size


async def test_a_changed_reason_is_reported() -> None:
    """A verdict whose reason changes is reported, even if its state does not change."""
    run = Run(narrow=proven_by({"a": NO_ARTIFACT}, {"a": nothing(FINDINGS_ARTIFACT, "not signed")}, {"a": CLEAN}))
    await run.of("a")
    reasons = [one.verdicts[0].reason for one in run.told]
    assert len(set(reasons)) == 3
    assert "not signed" in reasons[1]


# What changes meanwhile


async def test_findings_that_arrive_after_the_proof_still_block() -> None:
    """A clean artifact does not end the assessment while the release waits."""
    run = Run(told_by({}, {}, {"a": BAD}), proven_by({"a": CLEAN}))
    assert states(await run.of("a", "b")) == [VerdictState.UNHEALTHY, VerdictState.PENDING]


async def test_an_acceptance_does_not_cover_later_findings(tmp_path: Path) -> None:
    """Sources are asked about an accepted image for as long as its release waits."""
    accepted = on_file(tmp_path, acceptances=[acceptance(image=str(image("a").pinned))])
    run = Run(told_by({}, {}, {"a": BAD}), exceptions=accepted, patience=0)
    report = await run.of("a", "b")
    assert states(run.told[0])[0] is VerdictState.ACCEPTED
    assert states(report)[0] is VerdictState.UNHEALTHY


async def test_an_exception_that_expires_while_waiting_no_longer_counts(tmp_path: Path) -> None:
    """An image that was within the policy when the wait began blocks the release once its exception expires."""
    ending = on_file(tmp_path, [exception(HIGH.vulnerability, "2026-11-23T13:00:00Z", image="docker.io/library/*")])
    clock = FakeClock()
    narrow = Timed(FINDINGS_ARTIFACT, clock, {"a": (0, artifact(HIGH)), "b": (120, CLEAN)})
    run = Run(narrow=narrow, clock=clock, exceptions=ending)
    report = await run.of("a", "b")
    assert states(run.told[0])[0] is VerdictState.TOLERATED
    assert states(report) == [VerdictState.UNHEALTHY, VerdictState.PENDING]
    assert "expired" in report.verdicts[0].reason
    assert 60 <= clock.minutes <= 65


async def test_an_acceptance_that_expires_while_waiting_no_longer_counts(tmp_path: Path) -> None:
    """The image waits again, and is blocked in the end."""
    accepted = on_file(tmp_path, acceptances=[acceptance(image=str(image("a").pinned), expires="2026-11-23T13:00:00Z")])
    run = Run(exceptions=accepted, **FULL)
    report = await run.of("a", "b")
    assert VerdictState.ACCEPTED in {states(one)[0] for one in run.told}
    assert states(report) == [VerdictState.UNVERIFIED, VerdictState.UNVERIFIED]


async def test_a_proof_that_becomes_too_old_is_fetched_again() -> None:
    """A clean scan from before the wait does not count forever."""
    clock = FakeClock()
    run = Run(narrow=proven_by({"a": artifact(age=59)}), clock=clock, policy=Policy(maximum_age=2), **FULL)
    report = await run.of("a", "b")
    assert states(report)[0] is VerdictState.UNVERIFIED
    assert run.narrow.asked[1] == {"b"}
    assert run.narrow.asked[-1] == {"a", "b"}


async def test_a_source_that_fails_sometimes_does_not_fail_the_run() -> None:
    """Earlier evidence is kept."""
    throttled = Throttled("query", "Resource Graph", "429.", "Wait.")
    run = Run(told_by(throttled, throttled, {}), proven_by({"a": CLEAN}, throttled, {"a": CLEAN}))
    assert (await run.of("a")).passed
    assert len(run.broad.asked) == 3


async def test_findings_survive_the_failure_of_their_source() -> None:
    """The earlier findings of a source that cannot be asked now still count."""
    throttled = Throttled("query", "Resource Graph", "429.", "Wait.")
    run = Run(told_by({"a": BAD}, throttled), proven_by({"a": CLEAN}, {}, {"b": CLEAN}), deadline=60, **FULL)
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.UNHEALTHY, VerdictState.UNVERIFIED]


@pytest.mark.parametrize("later", [None, rows(LOW), rows()], ids=["no row", "another row", "clean"])
async def test_findings_that_are_no_longer_reported_still_count(later: Observation | None) -> None:
    """A row that is gone in the next round cures nothing: the release stays blocked until the gate asks anew."""
    run = Run(told_by({"a": BAD}, {"a": later} if later else {}), proven_by({"a": CLEAN}, {}, {"b": CLEAN}), **FULL)
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.UNHEALTHY, VerdictState.HEALTHY]
    assert any(f"no longer reports {HIGH.vulnerability}" in note for note in report.verdicts[0].platforms[0].notes)
    assert (await Run(told_by({"a": later} if later else {}), proven_by({"a": CLEAN})).of("a")).passed


@pytest.mark.parametrize("broad", [False, True])
async def test_an_unreadable_answer_does_not_end_the_wait(broad: bool) -> None:
    """An unreadable answer neither ends the wait nor passes the image; the next answer may be better."""
    broken = UnreadableAnswer("read a row", "row", "It is truncated.", "Report it.")
    proven = {"a": CLEAN}
    lasting = Run(told_by(broken), proven_by(proven)) if broad else Run(narrow=proven_by(broken))
    (verdict,) = (await lasting.of("a")).verdicts
    assert verdict.state is VerdictState.UNVERIFIED
    assert "truncated" in verdict.reason
    passing = Run(told_by(broken, {}), proven_by(proven)) if broad else Run(narrow=proven_by(broken, proven))
    assert states(await passing.of("a")) == [VerdictState.HEALTHY]


@pytest.mark.parametrize("broad", [False, True])
async def test_a_permanent_refusal_ends_the_wait(broad: bool) -> None:
    """A source that refuses permanently raises a PratiqueError at once."""
    denied = PermissionDenied("query", "Resource Graph", "403.", "Grant the role.")
    with pytest.raises(PratiqueError, match="403"):
        await (Run(told_by(denied)) if broad else Run(narrow=proven_by(denied))).of("a")


# Again


async def test_a_second_run_continues_from_the_evidence() -> None:
    """It reaches the same verdict with one poll."""
    clock = FakeClock()
    narrow = Timed(FINDINGS_ARTIFACT, clock, {"a": (100, CLEAN)})
    first = await Run(narrow=narrow, clock=clock).of("a")
    slept, asked = len(clock.slept), len(narrow.asked)
    second = await Run(narrow=narrow, clock=clock).of("a")
    assert second.verdicts == first.verdicts
    assert (len(clock.slept), len(narrow.asked)) == (slept, asked + 1)


async def test_a_run_that_is_killed_and_repeated_has_no_new_deadline() -> None:
    """The time counts from the arrival; a run that starts after the deadline polls once."""
    run = Run()
    assert states(await run.of(candidate("a", 240))) == [VerdictState.UNVERIFIED]
    assert run.clock.slept == []
    assert len(run.narrow.asked) == 1


async def test_a_late_run_gives_a_failing_source_time_to_recover() -> None:
    """A source that could not be asked is not taken for one without evidence."""
    throttled = Throttled("query", "Resource Graph", "429.", "Wait.")
    run = Run(told_by(throttled, throttled, {}), proven_by({"a": CLEAN}))
    assert (await run.of(candidate("a", 1000))).passed
    run = Run(told_by(throttled))
    assert states(await run.of(candidate("a", 1000))) == [VerdictState.UNVERIFIED]
    assert run.clock.minutes == 30


# What a person says


async def asked_about(name: str, **policy: Any) -> GateReport:
    run = Run(narrow=proven_by({"clean": CLEAN}), policy=Policy(unverified="ask", **policy))
    return await run.of(candidate(name, 240), candidate("clean", 240))


def answer_to(report: GateReport, **fields: Any) -> Word:
    """A person's answer to the question about a report."""
    given: dict[str, Any] = {"approved": True, "reason": "fine", "name": "Ada", "expires": date(2026, 12, 1)} | fields
    return Word(shown=Question.about(report).items, **given)


async def test_an_approval_lets_the_images_in_question_pass() -> None:
    """Its reason, name and expiry are in the verdict and in the report."""
    asked = await asked_about("a")
    word = answer_to(asked, reason="looked at it in the portal")
    report = asked.with_approval(word)
    assert states(report) == [VerdictState.APPROVED, VerdictState.HEALTHY]
    assert report.passed
    assert report.approval == word
    for part in ("no proof of a scan", "Ada", "looked at it in the portal", "2026-12-01"):
        assert part in report.verdicts[0].reason
    assert [one.digest for one in clear(report)] == [verdict.image.digest for verdict in report.verdicts]


async def test_a_rejection_blocks() -> None:
    """The verdict has the person's reason."""
    asked = await asked_about("a")
    report = asked.with_approval(answer_to(asked, approved=False, reason="never seen this image"))
    assert states(report) == [VerdictState.UNVERIFIED, VerdictState.HEALTHY]
    assert "never seen this image" in report.verdicts[0].reason
    assert report.blocked


async def test_an_approval_covers_only_the_images_in_question() -> None:
    """Images that block or wait still do."""
    report = await Run(told_by({"a": BAD})).of("a", "b")
    answered = report.with_approval(answer_to(report, reason="let it all pass"))
    assert answered.verdicts == report.verdicts
    assert not answered.passed


async def test_a_clearance_is_for_one_digest() -> None:
    """It is not valid for a digest without a verdict, under whatever tag; and it names its verdict."""
    report = await Run(narrow=proven_by({"a": CLEAN})).of("a")
    (clearance,) = clear(report)
    clearance.require(image("a"))
    assert (clearance.policy, clearance.at) == (report.rules.policy.digest, report.at)
    assert [clearance.verdict] == [one["verdict"] for one in record(report)["images"]]
    moved = ResolvedImage(image("a").reference, OTHER, (PlatformManifest("linux/amd64", OTHER),))
    with pytest.raises(GateBlocked, match=OTHER):
        clearance.require(moved)


async def test_a_blocked_release_clears_no_image() -> None:
    """Nor does a release that waits for a person."""
    blocked = await Run(told_by({"b": BAD}), proven_by({"a": CLEAN})).of("a", "b")
    for report in (blocked, await asked_about("a")):
        with pytest.raises(GateBlocked):
            clear(report)
