"""Updating the cases on record with a rescan's assessments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pratique.config.scanning import Scanning, Sla
from pratique.findings import Finding, Severity
from pratique.gate.verdict import VerdictState
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.records.cases import Cases, Condition, FindingState
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.cases import RescanOutcome, update_cases
from pratique.rescan.inventory import Inventory, LiveImageEntry

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
    """A block that is on record but was not made is made; one that is no longer wanted is undone."""
    days = Days(reactions=("block-pulls",))
    days(0, bad(image(users=())))
    assert len(days(1, bad(image(users=()))).to_block) == 1
    blocked = image(users=(), readable=False)
    assert days(2, bad(blocked)).to_block == ()
    days.scanning = Scanning()
    assert kinds(done := days(3, bad(blocked))) == ["pulls allowed"]
    assert [case.blocked_since for case in done.to_allow] == [day(0)]
    assert days.case.blocked_since == day(0)  # until it is undone
