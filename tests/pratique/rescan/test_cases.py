"""Updating the cases on record with a rescan's assessments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pratique.config.scanning import Scanning, Sla
from pratique.findings import Finding, Severity
from pratique.gate.exceptions.break_glass import BreakGlass, BreakGlassUse
from pratique.gate.verdict import VerdictState
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.records.cases import Cases, Condition, FindingState
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.cases import RescanOutcome, update_cases, with_pulls_allowed
from pratique.rescan.inventory import Inventory, LiveImageEntry
from pratique.rescan.users import OtherUse

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOST = "acraks123.azurecr.io"
HIGH = Finding(vulnerability="CVE-2026-1", severity=Severity.HIGH, package="musl")
LOW = Finding(vulnerability="CVE-2026-2", severity=Severity.LOW, package="zlib")


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def image(name: str = "web", version: str = "1", **changes: Any) -> LiveImageEntry:
    digest = f"sha256:{(name + version).encode().hex():0>64}"
    resolved = ResolvedImage(
        ImageReference("docker.io", name, version), digest, (PlatformManifest("linux/amd64", digest),)
    )
    found = LiveImageEntry(
        registry=HOST,
        repository=f"live/{name}",
        digest=digest,
        tags=(version,),
        image=resolved,
        pushed=START,
        users=("kustomization.yaml",),
    )
    return replace(found, **changes)


def bad(one: LiveImageEntry, *findings: Finding) -> ImageAssessment:
    return ImageAssessment(
        image=one,
        state=VerdictState.UNHEALTHY,
        reason="findings beyond the limits",
        findings=findings or (HIGH,),
        manifests=(one.digest,),
    )


def good(one: LiveImageEntry, **changes: Any) -> ImageAssessment:
    return replace(ImageAssessment(image=one, state=VerdictState.HEALTHY, reason="assessed, nothing found"), **changes)


def unproven(one: LiveImageEntry, **changes: Any) -> ImageAssessment:
    return replace(ImageAssessment(image=one, state=VerdictState.UNVERIFIED, reason="no proof of a scan"), **changes)


class Days:
    """Rescans, one after the other."""

    def __init__(self, **scanning: Any) -> None:
        self.scanning = Scanning(**scanning)
        self.cases = Cases()

    def __call__(self, number: float, *assessments: ImageAssessment, complete: bool = True) -> RescanOutcome:
        inventory = Inventory(
            registry=HOST, images=tuple(assessment.image for assessment in assessments), complete=complete
        )
        done = update_cases(self.cases, inventory, assessments, self.scanning, window=168, at=day(number))
        self.cases = done.cases
        return done

    @property
    def case(self) -> Any:
        (found,) = self.cases.cases
        return found


def kinds(outcome: RescanOutcome) -> list[str]:
    return [one.kind for one in outcome.changes]


def names(some: Sequence[Any]) -> list[str]:
    return [one.vulnerability for one in some]


def test_changes_are_reported_once() -> None:
    """A finding is newly bad once and overdue once; another finding of a bad image is newly bad again."""
    days = Days()
    assert kinds(days(0, bad(image()))) == ["newly bad"]
    assert kinds(days(1, bad(image()))) == []
    (change,) = days(2, bad(image(), HIGH, Finding(vulnerability="CVE-2026-9", severity=Severity.CRITICAL))).changes
    assert (change.kind, names(change.findings)) == ("newly bad", ["CVE-2026-9"])
    assert kinds(days(29.9, bad(image()))) == []
    assert kinds(days(30, bad(image()))) == ["overdue"]
    assert kinds(days(31, bad(image()))) == []
    assert days.case.since == day(0)


def test_missing_proof_cures_nothing() -> None:
    """A failing source, missing proof or an acceptance cures nothing; only an assessment does."""
    days = Days(reactions=("hold",))
    days(0, bad(image()))
    for number, assessment in enumerate((unproven(image()), unproven(image(), inconclusive=True)), start=1):
        assert kinds(days(number, assessment)) == []
        assert (days.case.condition, names(days.case.open)) == (Condition.BAD, ["CVE-2026-1"])
        assert days.case.held_since == day(0)
    assert kinds(days(3, good(image()))) == ["cured", "lifted"]


def test_a_returning_finding_keeps_its_due_date() -> None:
    """A cured finding keeps its due date for thirty days; then it is forgotten."""
    days = Days()
    days(0, bad(image()))
    days(1, good(image()))
    assert days.case.condition is Condition.CURED
    assert kinds(days(20, bad(image()))) == ["newly bad"]
    assert days.case.due == day(30)
    days(21, good(image()))
    days(52, good(image()))
    assert days.cases == Cases()
    days(60, bad(image()))
    assert days.case.due == day(90)


def test_an_exception_does_not_move_the_due_date() -> None:
    """When the exception expires, the finding is as overdue as it would have been without it."""
    days = Days()
    days(0, bad(image()))
    waived = ImageAssessment(image=image(), state=VerdictState.TOLERATED, reason="1 waived", waived=(HIGH,))
    assert kinds(days(5, waived)) == ["cured"]
    assert days.case.findings[0].state is FindingState.WAIVED
    assert kinds(days(40, waived)) == []
    assert kinds(days(41, bad(image()))) == ["newly bad", "overdue"]
    assert days.case.due == day(30)


def test_findings_within_the_policy_have_clocks() -> None:
    """A tolerated finding has a due date by its severity; a worse rating moves it, counted from the first day."""
    days = Days(sla=Sla(high=10, low=20))
    tolerated = ImageAssessment(
        image=image(), state=VerdictState.TOLERATED, reason="within the limits", findings=(LOW,)
    )
    assert kinds(days(0, tolerated)) == []
    assert (days.case.condition, days.case.due) == (Condition.WATCHED, day(20))
    worse = replace(tolerated, findings=(replace(LOW, severity=Severity.HIGH),))
    assert kinds(days(11, worse)) == ["overdue"]
    assert days.case.due == day(10)


def test_an_image_whose_replacement_passes_needs_no_action() -> None:
    """An image that the manifests replaced by one that passes is cured, until the manifests return to it."""
    old, new, days = image(users=()), image(version="2"), Days(reactions=("hold",))
    days(0, bad(image()))
    assert kinds(days(40, bad(old), good(new))) == ["cured", "lifted"]
    assert days.case.condition is Condition.REPLACED
    assert kinds(days(41, bad(old), good(new))) == []
    assert kinds(days(42, bad(image()), good(replace(new, users=())))) == ["newly bad", "held", "overdue"]


def test_only_a_used_image_that_passes_replaces_another() -> None:
    """Neither an unproven image nor an unused one replaces a bad image."""
    for other in (unproven(image(version="2")), good(image(version="2", users=()))):
        days = Days()
        days(0, bad(image(users=())), other)
        assert Condition.BAD in {case.condition for case in days.cases.cases}


def test_a_deleted_image_is_cured() -> None:
    """An image that is no longer there is cured; without the registry's own list, nothing is known to be deleted."""
    days = Days(reactions=("hold",))
    days(0, bad(image()))
    assert kinds(days(1, complete=False)) == []
    assert days.case.held_since
    assert kinds(days(2)) == ["cured", "lifted"]
    assert days.cases == Cases()


def test_cases_of_other_registries_stay() -> None:
    """A rescan leaves the cases of another cluster's registry alone."""
    days = Days()
    days(0, bad(image(registry="other.azurecr.io")))
    days.cases = Cases(tuple(replace(one, registry="other.azurecr.io") for one in days.cases.cases))
    before = days.cases
    days(1, good(image()))
    assert days.cases == before


def test_an_image_outside_the_window_is_stale() -> None:
    """An image is stale outside the window without a recent assessment; a failing source makes nothing stale."""
    for assessment, condition in (
        (unproven(image()), Condition.STALE),
        (unproven(image(), assessed_at=day(20)), Condition.STALE),
        (unproven(image(), assessed_at=day(30)), Condition.UNVERIFIED),
        (unproven(image(), inconclusive=True), Condition.UNVERIFIED),
        (unproven(image(pushed=None)), Condition.UNVERIFIED),
        (unproven(image(pushed=day(2))), Condition.UNVERIFIED),
        (unproven(image(pushed=day(2)), state=VerdictState.SKIPPED), Condition.UNVERIFIED),
    ):
        days = Days()
        days(31, assessment)
        assert days.case.condition is condition


def test_pull_blocks_are_limited() -> None:
    """Only unused images are blocked, up to a limit, and never one that somebody else has blocked."""
    unused = [image(f"job-{number}", users=()) for number in range(3)]
    done = Days(reactions=("block-pulls",))(0, bad(image()), *map(bad, unused))
    assert {case.repository for case in done.to_block} == {one.repository for one in unused}
    assert all(case.blocked_since == day(0) for case in done.to_block)
    assert ["live/web:1" in warning for warning in done.warnings] == [True]
    many = Days(reactions=("block-pulls",), most_blocks=2)(0, *map(bad, unused))
    assert (many.to_block, len(many.warnings)) == ((), 1)
    theirs = Days(reactions=("block-pulls",))(0, bad(image(users=(), readable=False)))
    assert theirs.to_block == ()


def test_pull_blocks_are_repeated_and_undone() -> None:
    """A block that is on record but was not made is made, and dated anew; one that is no longer wanted is undone."""
    days = Days(reactions=("block-pulls",))
    days(0, bad(image(users=())))
    assert len(days(1, bad(image(users=()))).to_block) == 1
    blocked = image(users=(), readable=False)
    assert days(2, bad(blocked)).to_block == ()
    days.scanning = Scanning()
    assert kinds(done := days(3, bad(blocked))) == ["pulls allowed"]
    assert [case.blocked_since for case in done.to_allow] == [day(1)]
    assert days.case.blocked_since == day(1)  # until it is undone


# Several clusters

BLUE, GREEN = "0000/rg-blue", "0000/rg-green"
RUNS = OtherUse("rg-green", "app.yaml", GREEN)
UNREADABLE = OtherUse("rg-green", "manifests that cannot be read", GREEN)
EVERY_REACTION = {"reactions": ("notify", "hold", "propose", "block-pulls"), "block_pulls_referenced": True}


class Clusters(Days):
    """Rescans of two clusters of one registry, one after the other, on the same records."""

    def __init__(self, **scannings: dict[str, Any]) -> None:
        super().__init__()
        self.scannings = {name: Scanning(**scanning) for name, scanning in scannings.items()}
        self.registered = {BLUE, GREEN}

    def run(self, cluster: str, number: float, *assessments: ImageAssessment) -> RescanOutcome:
        images = tuple(assessment.image for assessment in assessments)
        inventory = Inventory(
            registry=HOST, images=images, complete=True, cluster=cluster, clusters=frozenset(self.registered)
        )
        scanning = self.scannings[cluster.rpartition("-")[2]]
        done = update_cases(self.cases, inventory, assessments, scanning, window=168, at=day(number))
        self.cases = done.cases
        return done


@pytest.mark.parametrize("other", [RUNS, UNREADABLE])
def test_an_image_of_another_cluster(other: OtherUse) -> None:
    """What another cluster runs, or may run, is bad and not replaced, its clock runs, it is held, and its pulls are
    never blocked, whatever this cluster's reactions are and whether or not its own manifests use it, too."""
    for own in ((), ("kustomization.yaml",)):
        days = Clusters(blue=EVERY_REACTION)
        old = image(users=own, elsewhere=(other,))
        new = image(version="2", elsewhere=(other,) if other is UNREADABLE else ())
        done = days.run(BLUE, 0, bad(old), good(new))
        assert kinds(done) == ["newly bad", "held"]
        assert (done.to_block, days.case.condition, days.case.due) == ((), Condition.BAD, day(30))
        assert "rg-green" in done.warnings[0]
        assert kinds(days.run(BLUE, 30, bad(old), good(new))) == ["overdue"]


def test_a_block_ends_when_another_cluster_uses_the_image() -> None:
    """Also when it may use it: an unreadable repository lifts a block."""
    for other in (RUNS, UNREADABLE):
        days = Clusters(blue=EVERY_REACTION)
        old, new = image(users=()), image(version="2")
        assert len(days.run(BLUE, 0, bad(old), good(new)).to_block) == 1
        done = days.run(BLUE, 1, bad(replace(old, elsewhere=(other,))), good(new))
        assert (len(done.to_allow), done.to_block) == (1, ())


def test_a_configuration_ends_only_its_own_reactions() -> None:
    """A cluster without reactions neither lifts another one's hold nor allows pulls that the other has blocked; facts
    end both, and so does forgetting the other cluster."""
    days = Clusters(blue=EVERY_REACTION, green={})
    old, new = image(users=()), image(version="2")
    days.run(BLUE, 0, bad(image(version="3")))
    held = days.cases
    seen = image(version="3", users=(), elsewhere=(OtherUse("rg-blue", "kustomization.yaml", BLUE),))
    assert kinds(days.run(GREEN, 1, bad(seen))) == []
    assert days.case.held_by == BLUE
    assert days.cases == held
    days.registered = {GREEN}
    assert "lifted" in kinds(days.run(GREEN, 2, bad(image(version="3"))))

    days = Clusters(blue=EVERY_REACTION, green={})
    days.run(BLUE, 0, bad(old), good(new))
    blocked = replace(old, readable=False)
    assert days.case.blocked_by == BLUE
    assert days.run(GREEN, 1, bad(blocked), good(new)).to_allow == ()
    assert len(days.run(GREEN, 2, good(blocked), good(new)).to_allow) == 1


def test_a_forced_block_of_own_manifests() -> None:
    """Who blocks what its own manifests use has decided so for itself: the other cluster, which does not use the image,
    leaves that alone, and ends it once it uses the image as well."""
    days = Clusters(blue=EVERY_REACTION, green={})
    assert len(days.run(BLUE, 0, bad(image())).to_block) == 1
    blues = OtherUse("rg-blue", "kustomization.yaml", BLUE)
    seen = image(users=(), elsewhere=(blues,), readable=False)
    assert days.run(GREEN, 1, bad(seen)).to_allow == ()
    assert len(days.run(GREEN, 2, bad(replace(seen, users=("app.yaml",)))).to_allow) == 1


def test_pulls_that_another_rescan_has_decided_about() -> None:
    """A case that another rescan changed meanwhile stays on record as blocked; one that is as it was does not."""
    days = Clusters(blue=EVERY_REACTION)
    old, new = image(users=()), image(version="2")
    days.run(BLUE, 0, bad(old), good(new))
    cured = days.run(BLUE, 1, good(replace(old, readable=False)), good(new))
    assert with_pulls_allowed(cured.cases, cured.to_allow).cases[0].blocked_since is None
    again = days.run(BLUE, 2, bad(old), good(new))
    assert with_pulls_allowed(again.cases, cured.to_allow).cases[0].blocked_since == day(2)


def let_in(hours: float = 4, **changes: Any) -> LiveImageEntry:
    """An image that came in by break glass on the first day."""
    entry = image(**changes)
    glass = BreakGlass(
        origin="exceptions.yaml",
        image=entry.image.pinned,
        requested_by="Ada",
        reason="The shop is down.",
        incident="INC-1",
        opened=START,
        until=START + timedelta(hours=hours),
    )
    use = BreakGlassUse(glass=glass, approved_by="Grace", approval="I have looked.", at=START)
    return replace(entry, break_glass=use)


def test_an_assessment_is_due_after_break_glass() -> None:
    """Until its end it is like any image without proof; from then on it is a case with a due date, reported once."""
    days = Days()
    assert kinds(days(0.1, unproven(let_in()))) == []
    assert days.case.condition is Condition.UNVERIFIED
    (change,) = days(1, unproven(let_in())).changes
    assert (change.kind, days.case.condition) == ("break glass overdue", Condition.BREAK_GLASS)
    assert days.case.due == START + timedelta(hours=4)
    for part in ("Ada", "Grace", "INC-1"):
        assert part in change.why
    assert kinds(days(2, unproven(let_in(), inconclusive=True))) == []
    assert (days.case.condition, days.case.since) == (Condition.BREAK_GLASS, day(1))


@pytest.mark.parametrize(
    ("assessment", "condition", "changes"),
    [
        (good, None, ["break glass assessed", "lifted"]),
        (bad, Condition.BAD, ["break glass assessed", "newly bad"]),
        (lambda one: replace(bad(one), unproven=True), Condition.BAD, ["newly bad"]),
        (lambda one: good(one, state=VerdictState.ACCEPTED, unproven=True), None, ["lifted"]),
        (lambda one: good(one, state=VerdictState.SKIPPED, unproven=True), Condition.BREAK_GLASS, []),
    ],
    ids=["healthy", "unhealthy", "bad without proof", "accepted", "Defender is off"],
)
def test_a_verdict_ends_the_case_of_break_glass(
    assessment: Any, condition: Condition | None, changes: list[str]
) -> None:
    """A proof ends it, and so does an acceptance; findings make an ordinary case of it, which stays held."""
    days = Days(reactions=("hold",))
    assert kinds(days(1, unproven(let_in()))) == ["break glass overdue", "held"]
    assert kinds(days(2, assessment(let_in()))) == changes
    assert [case.condition for case in days.cases.cases] == ([condition] if condition else [])


def test_a_proof_within_the_hours_is_reported_as_well() -> None:
    """There was no case, and nothing is left to do."""
    days = Days()
    assert kinds(days(0.1, good(let_in()))) == ["break glass assessed"]
    assert days.cases == Cases()


def test_reactions_to_an_overdue_assessment() -> None:
    """Those that are configured, with the limits that they have for bad images; without any it is reported."""
    unused = let_in(users=())
    days = Days(reactions=("hold", "block-pulls"))
    outcome = days(1, unproven(unused))
    assert [case.digest for case in outcome.to_block] == [unused.digest]
    assert days.cases.holds.keys() == {unused.digest}
    (warning,) = Days(reactions=("block-pulls",))(1, unproven(let_in())).warnings
    assert "its pods could not start again" in warning
    quiet = Days()
    quiet(1, unproven(unused))
    assert (quiet.case.held_since, quiet.case.blocked_since) == (None, None)


def test_an_image_without_assessment_that_is_removed() -> None:
    """There is nothing left to do about it."""
    days = Days(reactions=("hold",))
    days(1, unproven(let_in()))
    assert kinds(days(2)) == ["cured", "lifted"]
