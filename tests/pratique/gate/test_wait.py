"""The wait for a release: when it ends, how often it looks, and what it makes of what changes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pratique.errors import GateBlocked, PermissionDenied, PratiqueError, Throttled, UnreadableAnswer
from pratique.gate.approval import Approval as Word
from pratique.gate.clearance import clear
from pratique.gate.evidence import Observation, Subject
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.polling import EvidencePoller
from pratique.gate.report import record
from pratique.gate.rules import Rules
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import Candidate, GateReport, WaitPolicy, assess
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from tests.pratique.gate.kit import (
    AMD64,
    ARM64,
    CLEAN,
    HIGH,
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
    nothing,
    of_manifests,
    on_file,
    rows,
)

BAD = rows(HIGH)
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


async def test_a_clean_release_passes_and_each_change_is_told_once() -> None:
    """The report has each image in the catalogue's order, and a look without news says nothing."""
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
    """Fail fast: nothing is waited for once the release cannot pass."""
    run = Run(told_by({"b": BAD}))
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.PENDING, VerdictState.UNHEALTHY]
    assert not report.passed
    assert [verdict.image for verdict in report.blocked] == [image("b")]
    assert run.clock.slept == []


async def test_a_full_report_waits_for_all() -> None:
    """One blocked image decides nothing about the others."""
    run = Run(told_by({"b": BAD}), proven_by({}, {}, {"a": CLEAN}), **FULL)
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.HEALTHY, VerdictState.UNHEALTHY]
    assert len(run.clock.slept) == 2


async def test_an_image_without_a_required_platform_ends_the_wait() -> None:
    """No scan will ever tell of it."""
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
    """An image that came earlier is decided earlier; one of unknown arrival counts from the beginning."""
    run = Run(**FULL)
    report = await run.of(candidate("a", 200), candidate("b", 0), candidate("c", None))
    changes = [(round((one.at - NOW).total_seconds() / 60), states(one)) for one in run.told]
    assert changes == [
        (0, [VerdictState.PENDING] * 3),
        (40, [VerdictState.UNVERIFIED, VerdictState.PENDING, VerdictState.PENDING]),
        (240, [VerdictState.UNVERIFIED] * 3),
    ]
    assert report.at == NOW + minutes(240)


async def test_the_last_look_is_at_the_deadline_and_not_later() -> None:
    """Whatever the interval has grown to."""
    run = Run(interval=1700)
    await run.of("a")
    assert run.clock.minutes == 240


async def test_an_accepted_image_has_patience_and_no_more(tmp_path: Path) -> None:
    """It passes as soon as that is over, counted from its arrival."""
    accepted = on_file(tmp_path, acceptances=[acceptance(image="docker.io/library/a:1")])
    run = Run(exceptions=accepted)
    report = await run.of(candidate("a", 10))
    assert states(report) == [VerdictState.ACCEPTED]
    assert report.passed
    assert run.clock.minutes == 20


async def test_a_question_waits_until_all_else_is_decided() -> None:
    """A person is asked once, about all that is left."""
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


async def test_without_anybody_to_ask_nobody_is_asked() -> None:
    """Defender is off, the policy says to go on, and there is nobody else."""
    run = Run(asked=frozenset())
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.SKIPPED, VerdictState.SKIPPED]
    assert report.passed
    assert run.broad.asked == run.narrow.asked == []


# Whom it asks


async def test_proof_is_looked_up_only_for_what_is_undecided() -> None:
    """One question a round covers all images; artifacts cost one each."""
    run = Run(told_by({"c": BAD}), proven_by({"a": CLEAN, "d": artifact(LOW)}, {"b": CLEAN}), **FULL)
    await run.of("a", "b", "c", "d")
    assert run.broad.asked == [{"a", "b", "c", "d"}] * 2
    assert run.narrow.asked == [{"a", "b", "d"}, {"b"}]


async def test_releases_share_their_rounds() -> None:
    """Two releases cost no more questions than one, and each ends by itself."""
    run = Run(narrow=proven_by({"a": CLEAN}, {}, {"b": CLEAN}))
    reports = await run.together(["a"], ["b"])
    assert [states(one) for one in reports] == [[VerdictState.HEALTHY], [VerdictState.HEALTHY]]
    assert run.broad.asked == [{"a", "b"}, {"b"}, {"b"}]


async def test_a_blocked_release_leaves_the_others_waiting() -> None:
    """Releases do not wait for one another, nor fall with one another."""
    run = Run(told_by({"a": BAD}), proven_by({}, {"b": CLEAN}))
    reports = await run.together(["a"], ["b"])
    assert [states(one) for one in reports] == [[VerdictState.UNHEALTHY], [VerdictState.HEALTHY]]


def test_only_required_manifests_are_asked_for() -> None:
    """Each digest once, with its arrival; neither the index nor other platforms."""
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
    """It grows with the time without news, up to ten times, and falls back when something happens."""
    clock = FakeClock()
    run = Run(narrow=Timed(FINDINGS_ARTIFACT, clock, {"a": (90, CLEAN)}), clock=clock, patience=0)
    await run.of("a", "b")
    times = [0.0]
    for pause in clock.slept:
        times.append(times[-1] + pause)
    news = next(number for number, seconds in enumerate(times) if seconds >= 90 * 60)
    before, after = clock.slept[:news], clock.slept[news:]
    for pauses in (before, after[:-1]):
        assert pauses[0] == 30
        assert all(shorter <= longer for shorter, longer in pairwise(pauses))
        assert max(pauses) == 300
    assert clock.minutes == 240
    assert len(clock.slept) < 240 * 60 / 30 / 3


async def test_news_is_told_when_only_the_reason_changes() -> None:
    """A source that says why it is silent says something new."""
    run = Run(narrow=proven_by({"a": NO_ARTIFACT}, {"a": nothing(FINDINGS_ARTIFACT, "not signed")}, {"a": CLEAN}))
    await run.of("a")
    reasons = [one.verdicts[0].reason for one in run.told]
    assert len(set(reasons)) == 3
    assert "not signed" in reasons[1]


# What changes meanwhile


async def test_findings_that_arrive_after_the_proof_still_block() -> None:
    """A clean artifact does not close the case while the release waits."""
    run = Run(told_by({}, {}, {"a": BAD}), proven_by({"a": CLEAN}))
    assert states(await run.of("a", "b")) == [VerdictState.UNHEALTHY, VerdictState.PENDING]


async def test_an_acceptance_gives_way_to_what_is_found_meanwhile(tmp_path: Path) -> None:
    """An accepted image is asked about as long as its release waits."""
    accepted = on_file(tmp_path, acceptances=[acceptance(image="docker.io/library/a:1")])
    run = Run(told_by({}, {}, {"a": BAD}), exceptions=accepted, patience=0)
    report = await run.of("a", "b")
    assert states(run.told[0])[0] is VerdictState.ACCEPTED
    assert states(report)[0] is VerdictState.UNHEALTHY


async def test_an_exception_that_expires_while_waiting_no_longer_counts(tmp_path: Path) -> None:
    """The image was within the policy when the wait began; the release does not pass with it."""
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
    """The image goes back to waiting, and is blocked in the end."""
    accepted = on_file(
        tmp_path, acceptances=[acceptance(image="docker.io/library/a:1", expires="2026-11-23T13:00:00Z")]
    )
    run = Run(exceptions=accepted, **FULL)
    report = await run.of("a", "b")
    assert VerdictState.ACCEPTED in {states(one)[0] for one in run.told}
    assert states(report) == [VerdictState.UNVERIFIED, VerdictState.UNVERIFIED]


async def test_a_proof_that_grows_too_old_is_looked_up_again() -> None:
    """A clean scan from before the release waited is not good for ever."""
    clock = FakeClock()
    run = Run(narrow=proven_by({"a": artifact(age=59)}), clock=clock, policy=Policy(maximum_age=2), **FULL)
    report = await run.of("a", "b")
    assert states(report)[0] is VerdictState.UNVERIFIED
    assert run.narrow.asked[1] == {"b"}
    assert run.narrow.asked[-1] == {"a", "b"}


async def test_a_source_that_fails_now_and_then_costs_rounds_and_not_the_run() -> None:
    """What was known stays known."""
    throttled = Throttled("query", "Resource Graph", "429.", "Wait.")
    run = Run(told_by(throttled, throttled, {}), proven_by({"a": CLEAN}, throttled, {"a": CLEAN}))
    assert (await run.of("a")).passed
    assert len(run.broad.asked) == 3


async def test_findings_survive_the_failure_of_their_source() -> None:
    """A source that cannot be asked now has not taken anything back."""
    throttled = Throttled("query", "Resource Graph", "429.", "Wait.")
    run = Run(told_by({"a": BAD}, throttled), proven_by({"a": CLEAN}, {}, {"b": CLEAN}), deadline=60, **FULL)
    report = await run.of("a", "b")
    assert states(report) == [VerdictState.UNHEALTHY, VerdictState.UNVERIFIED]


@pytest.mark.parametrize("broad", [False, True])
async def test_an_answer_that_means_nothing(broad: bool) -> None:
    """It ends no wait of hours, and is no pass; the next one may be better."""
    broken = UnreadableAnswer("read a row", "row", "It is truncated.", "Report it.")
    proven = {"a": CLEAN}
    lasting = Run(told_by(broken), proven_by(proven)) if broad else Run(narrow=proven_by(broken))
    (verdict,) = (await lasting.of("a")).verdicts
    assert verdict.state is VerdictState.UNVERIFIED
    assert "truncated" in verdict.reason
    passing = Run(told_by(broken, {}), proven_by(proven)) if broad else Run(narrow=proven_by(broken, proven))
    assert states(await passing.of("a")) == [VerdictState.HEALTHY]


@pytest.mark.parametrize("broad", [False, True])
async def test_a_refusal_for_good_ends_the_wait(broad: bool) -> None:
    """Whoever may not ask at all learns so at once, as an error of ours."""
    denied = PermissionDenied("query", "Resource Graph", "403.", "Grant the role.")
    with pytest.raises(PratiqueError, match="403"):
        await (Run(told_by(denied)) if broad else Run(narrow=proven_by(denied))).of("a")


# Again


async def test_a_second_run_takes_up_where_the_evidence_stands() -> None:
    """It decides the same with one look."""
    clock = FakeClock()
    narrow = Timed(FINDINGS_ARTIFACT, clock, {"a": (100, CLEAN)})
    first = await Run(narrow=narrow, clock=clock).of("a")
    slept, asked = len(clock.slept), len(narrow.asked)
    second = await Run(narrow=narrow, clock=clock).of("a")
    assert second.verdicts == first.verdicts
    assert (len(clock.slept), len(narrow.asked)) == (slept, asked + 1)


async def test_a_run_that_is_killed_and_repeated_has_no_new_deadline() -> None:
    """The time counts from the arrival; a run that comes too late looks once."""
    run = Run()
    assert states(await run.of(candidate("a", 240))) == [VerdictState.UNVERIFIED]
    assert run.clock.slept == []
    assert len(run.narrow.asked) == 1


async def test_a_late_run_gives_a_failing_source_time_to_recover() -> None:
    """What could not be asked is not known to be silent."""
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


async def test_an_approval_lets_pass_what_was_asked() -> None:
    """Its reason, name and end are in the decision and in the report."""
    word = Word(approved=True, reason="looked at it in the portal", name="Ada", expires=date(2026, 12, 1))
    report = (await asked_about("a")).with_approval(word)
    assert states(report) == [VerdictState.APPROVED, VerdictState.HEALTHY]
    assert report.passed
    assert report.approval == word
    for part in ("no proof of a scan", "Ada", "looked at it in the portal", "2026-12-01"):
        assert part in report.verdicts[0].reason
    assert [one.digest for one in clear(report)] == [verdict.image.digest for verdict in report.verdicts]


async def test_a_rejection_blocks() -> None:
    """With the person's reason."""
    report = (await asked_about("a")).with_approval(
        Word(approved=False, reason="never seen this image", name="Ada", expires=date(2026, 12, 1))
    )
    assert states(report) == [VerdictState.UNVERIFIED, VerdictState.HEALTHY]
    assert "never seen this image" in report.verdicts[0].reason
    assert report.blocked


async def test_an_approval_is_about_nothing_but_the_question() -> None:
    """What blocks or waits still does."""
    report = await Run(told_by({"a": BAD})).of("a", "b")
    answered = report.with_approval(
        Word(approved=True, reason="let it all pass", name="Ada", expires=date(2026, 12, 1))
    )
    assert answered.verdicts == report.verdicts
    assert not answered.passed


async def test_a_clearance_is_for_one_digest() -> None:
    """It says nothing about an image that the gate did not judge, under whatever tag; and it names its verdict."""
    report = await Run(narrow=proven_by({"a": CLEAN})).of("a")
    (clearance,) = clear(report)
    clearance.require(image("a"))
    assert (clearance.policy, clearance.at) == (report.rules.policy.digest, report.at)
    assert [clearance.verdict] == [one["verdict"] for one in record(report)["images"]]
    moved = ResolvedImage(image("a").reference, OTHER, (PlatformManifest("linux/amd64", OTHER),))
    with pytest.raises(GateBlocked, match=OTHER):
        clearance.require(moved)


async def test_a_release_that_is_blocked_clears_none_of_its_images() -> None:
    """Nor does one that waits for a person."""
    blocked = await Run(told_by({"b": BAD}), proven_by({"a": CLEAN})).of("a", "b")
    for report in (blocked, await asked_about("a")):
        with pytest.raises(GateBlocked):
            clear(report)
