"""The gate's decisions: pure, so every case can be named."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.config import Acceptance, Limits
from pratique.findings import Finding, Severity
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.policy import Decision, Evidence, State, decide, excess, required_manifests

TODAY = date(2026, 11, 23)
AMD64, ARM64, INDEX = ("sha256:" + letter * 64 for letter in "abc")
IMAGE = ResolvedImage(
    ImageReference.parse("docker.io/library/busybox:1.37.0"),
    INDEX,
    (PlatformManifest("linux/amd64", AMD64), PlatformManifest("linux/arm64", ARM64)),
)
ACCEPTANCE = Acceptance(
    image="docker.io/library/busybox:1.37.0",
    reason="Defender does not assess it",
    owner="team",
    approver="security",
    expires=date(2027, 1, 1),
)


def finding(severity: Severity, name: str = "CVE-2026-1") -> Finding:
    return Finding(name, severity, "openssl", "3.0.1", "3.0.2")


def decision(
    evidence: Evidence | None,
    *,
    waited: float = 0,
    acceptance: Acceptance | None = None,
    limits: Limits | None = None,
    platforms: tuple[str, ...] = ("linux/amd64",),
    image: ResolvedImage = IMAGE,
) -> Decision:
    return decide(
        image,
        {AMD64: evidence} if evidence else {},
        platforms=platforms,
        limits=limits or Limits(),
        acceptance=acceptance,
        today=TODAY,
        waited=waited,
        patience=30,
        deadline=240,
    )


CLEAN = Evidence(scanned=True)
HIGH = Evidence(frozenset({finding(Severity.HIGH)}))
MEDIUM = Evidence(frozenset({finding(Severity.MEDIUM)}))
MEDIUM_PROVEN = Evidence(frozenset({finding(Severity.MEDIUM)}), scanned=True)
UNKNOWN = Evidence(frozenset({finding(Severity.UNKNOWN)}), scanned=True)
EXPIRED = ACCEPTANCE.model_copy(update={"expires": date(2026, 11, 22)})
LAST_DAY = ACCEPTANCE.model_copy(update={"expires": TODAY})


@pytest.mark.parametrize(
    ("evidence", "waited", "acceptance", "state"),
    [
        pytest.param(None, 0, None, State.PENDING, id="nothing known yet"),
        pytest.param(None, 239.9, None, State.PENDING, id="nothing known just before the deadline"),
        pytest.param(None, 240, None, State.UNVERIFIED, id="nothing known at the deadline"),
        pytest.param(CLEAN, 0, None, State.HEALTHY, id="proof of a clean scan"),
        pytest.param(HIGH, 0, None, State.UNHEALTHY, id="a finding blocks at once, proof or not"),
        pytest.param(HIGH, 240, ACCEPTANCE, State.UNHEALTHY, id="an acceptance never covers findings"),
        pytest.param(UNKNOWN, 0, None, State.UNHEALTHY, id="unknown severity counts as critical"),
        pytest.param(MEDIUM, 0, None, State.PENDING, id="tolerable findings without proof: the scan may go on"),
        pytest.param(MEDIUM, 240, None, State.UNVERIFIED, id="tolerable findings without proof at the deadline"),
        pytest.param(MEDIUM, 240, ACCEPTANCE, State.UNVERIFIED, id="an acceptance does not replace missing proof"),
        pytest.param(MEDIUM_PROVEN, 0, None, State.TOLERATED, id="tolerable findings with proof"),
        pytest.param(None, 29.9, ACCEPTANCE, State.PENDING, id="accepted, but patience is not over"),
        pytest.param(None, 30, ACCEPTANCE, State.ACCEPTED, id="accepted after patience"),
        pytest.param(None, 30, LAST_DAY, State.ACCEPTED, id="accepted on the last day"),
        pytest.param(None, 30, EXPIRED, State.PENDING, id="an expired acceptance waits like any image"),
        pytest.param(None, 240, EXPIRED, State.UNVERIFIED, id="an expired acceptance does not count"),
        pytest.param(CLEAN, 0, ACCEPTANCE, State.HEALTHY, id="proof is better than an acceptance"),
        pytest.param(Evidence(problems=("bad signature",)), 240, None, State.UNVERIFIED, id="a bad signature"),
    ],
)
def test_decision_table(evidence: Evidence | None, waited: float, acceptance: Acceptance | None, state: State) -> None:
    """Each row is a case of the default policy; its id says which."""
    assert decision(evidence, waited=waited, acceptance=acceptance).state is state


def test_only_three_states_pass() -> None:
    """Everything else blocks or waits."""
    assert {state for state in State if state.passes} == {State.HEALTHY, State.TOLERATED, State.ACCEPTED}


def test_every_required_platform_needs_its_own_verdict() -> None:
    """A clean amd64 says nothing of arm64, and a platform that the image lacks can never be verified."""
    assert decision(CLEAN, platforms=("linux/amd64", "linux/arm64")).state is State.PENDING
    lacking = decision(CLEAN, platforms=("linux/amd64", "linux/s390x"))
    assert lacking.state is State.UNVERIFIED
    assert "linux/s390x" in lacking.reason


def test_platforms_that_are_not_required_are_not_asked_for() -> None:
    """Of an index only the required manifests are judged; a single-platform image is judged as it is."""
    assert required_manifests(IMAGE, ["linux/arm64"]) == ([ARM64], [])
    single = ResolvedImage(IMAGE.reference, AMD64, (PlatformManifest("linux/arm64", AMD64),))
    assert required_manifests(single, ["linux/amd64"]) == ([AMD64], [])


def test_the_reason_names_what_was_wrong_with_the_evidence() -> None:
    """Unverified says why, in the source's words."""
    assert "bad signature" in decision(Evidence(problems=("bad signature",)), waited=240).reason


severities = st.sampled_from(Severity)
findings = st.frozensets(st.builds(finding, severities, st.sampled_from(["CVE-1", "CVE-2", "CVE-3", "CVE-4"])))
evidences = st.builds(Evidence, findings, st.booleans(), st.just(()))
most = st.one_of(st.none(), st.integers(0, 3))
limits = st.builds(Limits, critical=most, high=most, medium=most, low=most)
waits = st.sampled_from([0.0, 30.0, 240.0])
acceptances = st.sampled_from([None, ACCEPTANCE, EXPIRED])


@given(evidences, findings, limits, waits, acceptances)
def test_adding_a_finding_never_helps(
    evidence: Evidence, more: frozenset[Finding], limit: Limits, waited: float, acceptance: Acceptance | None
) -> None:
    """What was blocked stays blocked with more findings."""
    before = decision(evidence, limits=limit, waited=waited, acceptance=acceptance).state
    after = decision(evidence | Evidence(more), limits=limit, waited=waited, acceptance=acceptance).state
    assert before.passes or not after.passes


@given(evidences, limits, waits)
def test_removing_proof_never_helps(evidence: Evidence, limit: Limits, waited: float) -> None:
    """Without an acceptance nothing passes that is not proven to be scanned."""
    unproven = Evidence(evidence.findings, False)
    assert not decision(unproven, limits=limit, waited=waited).state.passes


@given(evidences, evidences, evidences)
def test_evidence_adds_up_in_any_order(one: Evidence, two: Evidence, three: Evidence) -> None:
    """Which source answered first makes no difference."""
    assert (one | two) | three == three | (two | one)


@given(findings)
def test_limits_count_each_severity_by_itself(found: frozenset[Finding]) -> None:
    """All findings of a severity are named once there are more of them than allowed; others are not."""
    beyond = excess(found, Limits(critical=None, high=1, medium=None, low=None))
    high = {f for f in found if f.severity is Severity.HIGH}
    assert set(beyond) == (high if len(high) > 1 else set())
