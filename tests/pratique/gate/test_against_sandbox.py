"""Releases at the gate, from import to decision, with the product's own clients against the local Azure."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pratique.azure import resource_graph
from pratique.errors import GateBlocked
from pratique.evidence.candidates import candidates
from pratique.gate.clearance import clear
from pratique.gate.polling import EvidencePoller
from pratique.gate.report import markdown, require_passed
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport
from pratique.images import ImageReference, ImportedImage
from sandbox.scenario import DefenderPlan, Finding, PublicImage, Scan, Scenario
from sandbox.services.defender.state import Defender
from tests.pratique.gate.conftest import Open
from tests.pratique.gate.kit import acceptance, exception
from tests.pratique.gate.quarantine import PLATFORMS, Hurried, noting, only, states, wait, written
from tests.sandbox.defending import NAME, scans_end
from tests.sandbox.registries import content

HEALTHY, UNHEALTHY, LATE, NEVER, EXEMPT, TOLERABLE, FORGED = SEVEN = (
    "docker.io/falcosecurity/falco-no-driver:0.39.2",
    "docker.io/falcosecurity/falco-driver-loader:0.39.2",
    "docker.io/falcosecurity/falcoctl:0.10.1",
    "docker.io/library/busybox:1.37.0",
    "ghcr.io/kubereboot/kured:1.14.0",
    "registry.k8s.io/ingress-nginx/controller:v1.11.3",
    "registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.4.4",
)
HIGH = Finding(cve="CVE-2024-6119", severity="High", package="openssl", version="3.1.4-r5", fixed_version="3.1.7-r1")
MEDIUM = Finding(cve="CVE-2024-13176", severity="Medium", package="libssl3", version="3.3.2-r1")
CLEAN = Scan(outcome="healthy", delay=0)
#: What scans are late: so far there is none.
NOT_YET = Scan(outcome="never", delay=0)
VULNERABLE = Scan(outcome="unhealthy", findings=(HIGH,))
PATIENCE, DEADLINE = 30, 240  # minutes, the gate's own


def repository(reference: str) -> str:
    return ImageReference.parse(reference).repository


MIXED = Scenario(
    scans={
        repository(HEALTHY): CLEAN,
        repository(UNHEALTHY): VULNERABLE,
        repository(LATE): NOT_YET,
        repository(NEVER): Scan(outcome="never"),
        repository(EXEMPT): Scan(outcome="not-applicable"),
        repository(TOLERABLE): Scan(outcome="unhealthy", findings=(MEDIUM,)),
        repository(FORGED): Scan(outcome="never", artifact="forged-root"),
    }
)


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The times of all polls."""
    found: list[datetime] = []
    look = EvidencePoller.poll

    async def counted(self: EvidencePoller, *arguments: object) -> object:
        found.append(self.clock.now())
        return await look(self, *arguments)  # type: ignore[arg-type]  # whatever the gate gives

    monkeypatch.setattr(EvidencePoller, "poll", counted)
    return found


# Seven images


async def test_a_release_of_seven_images(quarantine: Open, tmp_path: Path) -> None:
    """Each image's verdict follows from its evidence, in its time; one blocked image blocks the release."""
    place, clock = await quarantine(MIXED), Hurried()
    images = await place.bring(*SEVEN)
    steps: list[list[VerdictState]] = []

    async def told(report: GateReport) -> None:
        steps.append(states(report))
        decided = dict(zip(SEVEN, states(report), strict=True))
        if decided[LATE] is VerdictState.PENDING and len(steps) == 1:
            await place.arrive_again(LATE, CLEAN)
        elif decided[NEVER] is VerdictState.PENDING:
            clock.jump(minutes=PATIENCE)
        else:
            clock.jump(minutes=DEADLINE)

    gate = place.gate(
        exceptions=[written(tmp_path, acceptances=[acceptance(image=str(images[SEVEN.index(NEVER)].image.pinned))])]
    )
    report = await place.judge(images, gate, clock, told)
    first = [
        VerdictState.HEALTHY,
        VerdictState.UNHEALTHY,
        *[VerdictState.PENDING] * 3,
        VerdictState.TOLERATED,
        VerdictState.PENDING,
    ]
    patient = [VerdictState.ACCEPTED, VerdictState.NOT_APPLICABLE]
    assert steps == [
        first,
        [*first[:2], VerdictState.HEALTHY, *first[3:]],
        [*first[:2], VerdictState.HEALTHY, *patient, *first[5:]],
        [*first[:2], VerdictState.HEALTHY, *patient, VerdictState.TOLERATED, VerdictState.UNVERIFIED],
    ]
    reasons = {image: verdict.reason for image, verdict in zip(SEVEN, report.verdicts, strict=True)}
    assert reasons[HEALTHY] == reasons[LATE] == "assessed, nothing found"
    assert reasons[UNHEALTHY] == "1 finding beyond the limits"
    assert "accepted by security@contoso.com until" in reasons[NEVER]
    assert reasons[EXEMPT] == "recommendations: Exempt"
    assert reasons[TOLERABLE] == "assessed, 1 finding within the limits"
    assert "findings-artifact has no proof of a scan" in reasons[FORGED]
    (note,) = report.verdicts[-1].platforms[0].notes
    assert "does not count" in note
    _kept_out(report, UNHEALTHY, EXEMPT, FORGED)
    for part in (HIGH.cve, "High", "openssl 3.1.4-r5", "fixed in 3.1.7-r1"):
        assert part in markdown(report)


@pytest.mark.parametrize("generation", ["individual", "sub-assessments"])
async def test_rows_that_name_the_index(quarantine: Open, generation: str) -> None:
    """Nobody knows whose digest Defender names: what it finds below an index blocks the image in either case."""
    plan = {"digest_of": "index", "generations": (generation,)}
    scan = Scan(outcome="unhealthy", findings=(HIGH,), artifact="none", delay=0)
    scenario = Scenario(scans={repository(UNHEALTHY): scan}, defender=DefenderPlan.model_validate(plan))
    place = await quarantine(scenario)
    gate = place.gate(resource_graph=["recommendations" if generation == "individual" else generation])
    report = await place.judge(await place.bring(UNHEALTHY), gate)
    verdict = only(report)
    assert verdict.state is VerdictState.UNHEALTHY
    assert [finding.vulnerability for finding in verdict.counted] == [HIGH.cve]
    assert any(report.verdicts[0].image.digest in note for note in verdict.notes)


async def test_the_first_blocked_image_ends_the_wait(quarantine: Open) -> None:
    """With fail-fast, the wait ends as soon as the release cannot pass."""
    place = await quarantine(MIXED)
    report = await place.judge(await place.bring(*SEVEN), place.gate(report="fail-fast"))
    assert states(report).count(VerdictState.PENDING) == 4
    assert place.queries() == 1
    _kept_out(report, UNHEALTHY)


def _kept_out(report: GateReport, *because_of: str) -> None:
    """Nothing of the release may be promoted, and the error names the images that block."""
    with pytest.raises(GateBlocked) as blocked:
        require_passed(report)
    assert [str(one.image.reference) for one in report.blocked] == [*because_of]
    assert all(reference in str(blocked.value) for reference in because_of)
    with pytest.raises(GateBlocked):
        clear(report)


# A thousand

BAD, UNSEEN, TARDY, MINOR, GOOD = "bulk/bad", "bulk/unseen", "bulk/tardy", "bulk/minor", "bulk/good"
KINDS = {BAD: 5, UNSEEN: 3, TARDY: 2, MINOR: 200, GOOD: 790}
#: Each in a package of its own, which makes a row each: together more than one page.
MINORS = tuple(MEDIUM.model_copy(update={"package": f"package-{number}"}) for number in range(6))
BULK = {
    BAD: Scan(outcome="unhealthy", findings=(HIGH,), delay=0),
    UNSEEN: NOT_YET,
    TARDY: NOT_YET,
    MINOR: Scan(outcome="unhealthy", findings=MINORS, delay=0),
    GOOD: CLEAN,
}


async def test_a_thousand_images(quarantine: Open, polls: list[datetime]) -> None:
    """Every verdict is right, with one paged query per poll. Artifacts are fetched for undecided images only, and once
    more at the end for those that were fetched too long ago.
    """
    references = [f"docker.io/{name}:1.{number}" for name, count in KINDS.items() for number in range(count)]
    small = [
        PublicImage(reference=one, base="distroless:12", packages={"app": one}, platforms=("linux/amd64",))
        for one in references
    ]
    place, clock = await quarantine(Scenario(scans=BULK, images=tuple(small))), Hurried()
    images = await place.stock(*references)
    pending: list[int] = []

    async def told(report: GateReport) -> None:
        pending.append(states(report).count(VerdictState.PENDING))
        if len(pending) == 1:
            for reference in references:
                if repository(reference) == TARDY:
                    await place.arrive_again(reference, CLEAN)
        elif pending[-1] == KINDS[UNSEEN]:
            clock.jump(minutes=DEADLINE)

    report = await place.judge(images, clock=clock, told=told)
    assert {(one.image.reference.repository, one.state) for one in report.verdicts} == {
        (BAD, VerdictState.UNHEALTHY),
        (UNSEEN, VerdictState.UNVERIFIED),
        (TARDY, VerdictState.HEALTHY),
        (MINOR, VerdictState.TOLERATED),
        (GOOD, VerdictState.HEALTHY),
    }
    # At the deadline the first answers are too old to count: everything is asked once more.
    assert pending[0] == KINDS[TARDY] + KINDS[UNSEEN]
    assert list(dict.fromkeys(pending))[-2:] == [KINDS[UNSEEN], 0]
    pages = -(-len(list(place.sandbox.azure.state(Defender).rows())) // resource_graph.PAGE)
    assert pages == 2
    assert place.queries() <= len(polls) * pages
    assert not [entry for entry in place.sandbox.azure.requests.since(0) if entry.status == 429]
    asked = place.lookups(images)
    assert (asked[BAD], asked[MINOR], asked[GOOD]) == ({0}, {2}, {2})
    assert asked[UNSEEN] == {len(polls)}
    assert max(asked[TARDY]) <= len(polls)


# What changes meanwhile


@pytest.mark.parametrize(("before", "after"), [(CLEAN, VULNERABLE), (VULNERABLE, CLEAN)], ids=["to worse", "to better"])
async def test_a_tag_that_moves(quarantine: Open, before: Scan, after: Scan) -> None:
    """Upstream and in quarantine: the verdict is on the digest that was resolved, and on no other."""
    place = await quarantine(Scenario(scans={repository(LATE): NOT_YET}))
    (image,) = await place.bring(LATE)
    moved = {"reference": LATE, "base": "debian:12"}
    await asyncio.to_thread(place.sandbox.control, "POST", "/upstream", json=moved)
    await place.arrive_again(LATE, after)
    await scans_end(place.sandbox)
    now = await place.resolve(LATE)
    tagged = content(place.sandbox, NAME).manifest(image.repository, image.image.reference.tag or "").manifest
    assert now.digest == tagged.digest != image.image.digest

    by_digest = replace(image.image.reference, tag=None, digest=image.image.digest)

    async def told(report: GateReport) -> None:
        if only(report).state is VerdictState.PENDING:
            await place.arrive_again(str(by_digest), before)

    report = await place.judge([image], told=told)
    assert only(report).digest == image.image.platforms[0].digest
    assert only(report).state is (VerdictState.HEALTHY if before is CLEAN else VerdictState.UNHEALTHY)
    assert report.passed is (before is CLEAN)
    for clearance in clear(report) if report.passed else []:
        with pytest.raises(GateBlocked):
            clearance.require(now)
    (other,) = await place.bring(LATE)
    assert only(await place.judge([other])).state is (
        VerdictState.HEALTHY if after is CLEAN else VerdictState.UNHEALTHY
    )


async def test_an_exception_that_expires_meanwhile(quarantine: Open, tmp_path: Path) -> None:
    """It waives the finding until it expires; then the finding blocks, and the report names owner and expiry."""
    place, clock = await quarantine(MIXED), Hurried()
    images = await place.bring(UNHEALTHY, LATE)
    ends = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    waived = exception(HIGH.cve, ends.isoformat(), image=UNHEALTHY)
    reports: list[GateReport] = []

    async def told(report: GateReport) -> None:
        reports.append(report)
        clock.jump(minutes=61)

    gate = place.gate(report="fail-fast", exceptions=[written(tmp_path, exceptions=[waived])])
    report = await place.judge(images, gate, clock, told)
    assert [states(one) for one in reports] == [
        [VerdictState.TOLERATED, VerdictState.PENDING],
        [VerdictState.UNHEALTHY, VerdictState.PENDING],
    ]
    (first,), (last,) = (one.verdicts[0].platforms for one in reports)
    assert [str(one.finding.vulnerability) for one in first.waived] == [HIGH.cve]
    assert "1 exception for them expired" in last.reason
    assert [one.expires for one in last.expired] == [ends]
    with pytest.raises(GateBlocked, match=f"Expired: {HIGH.cve}.* {ends:%Y-%m-%d %H:%M}"):
        require_passed(report)
    assert "exception expired" in markdown(report)


async def test_a_run_that_is_killed_and_repeated(quarantine: Open, polls: list[datetime]) -> None:
    """The gate keeps no state: the next run has the whole evidence after its first poll."""
    place, waiting = await quarantine(MIXED), asyncio.Event()
    images = await place.bring(HEALTHY, LATE)
    killed = asyncio.create_task(place.judge(images, told=noting(waiting)))
    await waiting.wait()
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    await place.arrive_again(LATE, CLEAN)
    await scans_end(place.sandbox)
    for _ in range(2):
        polls.clear()
        again = await place.bring(HEALTHY, LATE)
        assert again == images
        assert (await place.judge(again)).passed
        assert len(polls) == 1


async def test_time_counts_from_the_arrival(quarantine: Open, polls: list[datetime]) -> None:
    """Hours later, a repeated run does not wait again."""
    place, clock = await quarantine(MIXED), Hurried()
    images = await place.bring(NEVER)
    clock.jump(minutes=DEADLINE)
    assert states(await place.judge(images, clock=clock)) == [VerdictState.UNVERIFIED]
    assert len(polls) == 1


async def test_a_digest_that_quarantine_has_lost(quarantine: Open) -> None:
    """The import is remembered, the image was deleted since: nothing that was said before is about what comes next."""
    place = await quarantine(MIXED)
    (image,) = await place.bring(HEALTHY)
    reference = image.image.location.quarantined(place.registry.login_server).at(image.image.digest)
    remembered = ImportedImage(
        image=image.image,
        reference=reference,
        outcome="imported",
        verified=True,
        imported_at=datetime.now(UTC) - timedelta(days=1),
    )

    async def delete() -> None:
        content(place.sandbox, NAME).delete_repository(image.repository)

    await asyncio.to_thread(place.sandbox.run, delete())
    before = datetime.now(UTC)
    (again,) = await candidates(place.client, place.registry.login_server, [remembered], PLATFORMS)
    assert [digest for digest, _ in again.arrivals] == [digest for digest, _ in image.arrivals]
    assert again.since is not None
    assert min(again.since, *(arrived for _, arrived in again.arrivals)) >= before


async def test_two_releases_share_polls(quarantine: Open, polls: list[datetime]) -> None:
    """Both get their evidence from the same queries, and a release with its verdict does not wait for the other."""
    place, clock = await quarantine(MIXED), Hurried()
    (late,), (never,) = await place.bring(LATE), await place.bring(NEVER)
    gate = place.gate()
    async with place.ready(gate, clock) as ready:
        seen = [asyncio.Event(), asyncio.Event()]
        slower = asyncio.create_task(wait("never", [never], gate, ready, noting(seen[0])))
        faster = asyncio.create_task(wait("late", [late], gate, ready, noting(seen[1])))
        await asyncio.gather(*(event.wait() for event in seen))
        await place.arrive_again(LATE, CLEAN)
        assert (states(await faster), slower.done()) == ([VerdictState.HEALTHY], False)
        assert len(polls) >= 4
        assert place.queries() <= len(polls) // 2 + 1
        clock.jump(minutes=DEADLINE)
        assert states(await slower) == [VerdictState.UNVERIFIED]
