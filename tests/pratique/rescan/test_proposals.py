"""Which images a rescan proposes in place of bad ones, and which cases have the proposal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pratique.gate.verdict import VerdictState
from pratique.images import ImageReference, LiveImage, PlatformManifest, ResolvedImage
from pratique.records.cases import Case, Cases, Condition
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.inventory import LiveImageEntry
from pratique.rescan.proposals import find_replacements, with_proposal

HOST, OTHER = "acraks123.azurecr.io", "acrother.azurecr.io"
AT = datetime(2026, 11, 23, tzinfo=UTC)
BAD, GOOD = "sha256:" + "1" * 64, "sha256:" + "2" * 64
KURED = "live/kured"
BLUE = "sub/rg-blue"


def case(registry: str = HOST, proposal: str = "") -> Case:
    return Case(
        registry=registry,
        repository=KURED,
        tags=("1.14.0",),
        digest=BAD,
        condition=Condition.BAD,
        since=AT,
        proposals={BLUE: proposal} if proposal else {},
    )


def assessment(tag: str, digest: str, state: VerdictState, registry: str = HOST) -> ImageAssessment:
    reference = ImageReference("ghcr.io", "kured", tag)
    entry = LiveImageEntry(
        registry=registry,
        repository=KURED,
        digest=digest,
        tags=(tag,),
        image=ResolvedImage(reference, digest, (PlatformManifest("linux/amd64", digest),)),
        pushed=AT + timedelta(days=digest == GOOD),
        users=("a.yaml",),
    )
    return ImageAssessment(image=entry, state=state, reason="")


PASSING = assessment("1.15.0", GOOD, VerdictState.HEALTHY)


def test_a_bad_image_is_replaced_by_the_newest_that_passes() -> None:
    """An image of its repository in its own registry."""
    bad = assessment("1.14.0", BAD, VerdictState.UNHEALTHY)
    assert find_replacements([case()], [bad, PASSING]) == {"kured": LiveImage("1.15.0", GOOD)}
    elsewhere = assessment("1.15.0", GOOD, VerdictState.HEALTHY, OTHER)
    assert find_replacements([case()], [bad, elsewhere]) == {}


def test_no_other_version_is_proposed_where_the_catalogue_has_several() -> None:
    """1.15.0 passes, but the manifests that have 1.14.0 may need just that."""
    bad = assessment("1.14.0", BAD, VerdictState.UNHEALTHY)
    assert find_replacements([case()], [bad, PASSING], {"kured"}) == {}
    assert find_replacements([case()], [bad, PASSING], {"other"}) == {"kured": LiveImage("1.15.0", GOOD)}


def test_a_proposal_concerns_the_cases_of_its_registry() -> None:
    """A registry's proposal neither marks nor clears a case of another registry with a repository of the same name."""
    replacements, ours, theirs = {"kured": LiveImage("1.15.0", GOOD)}, "pratique/live-a@1", "pratique/live-b@2"
    cases = Cases((case(), case(OTHER, theirs)))
    assert with_proposal(cases, replacements, ours, HOST, BLUE).cases == (case(proposal=ours), case(OTHER, theirs))
    assert with_proposal(Cases((case(proposal=ours), case(OTHER))), {}, None, HOST, BLUE).cases == (case(), case(OTHER))
    assert with_proposal(Cases((case(), case(OTHER))), replacements, ours, HOST, BLUE).cases[1] == case(OTHER)
