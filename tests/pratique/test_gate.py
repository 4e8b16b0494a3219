"""The gate's loop: whom it asks, when it ends, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pytest

from pratique.config import Acceptance, Gate, Image, Release
from pratique.errors import GateBlocked, Throttled, UnreadableAnswer
from pratique.findings import Finding, Severity
from pratique.gate import GateReport, Subject, assess, require_passed
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.policy import Evidence, State

REGISTRY = "r.azurecr.io"
CLEAN = Evidence(scanned=True)
BAD = Evidence(frozenset({Finding("CVE-2026-7", Severity.CRITICAL, "openssl", "3.0.1", "3.0.2")}))


class Script:
    """A source that gives one answer a round, the last one for ever; it remembers whom it was asked about."""

    def __init__(self, *rounds: Mapping[str, Evidence] | Exception) -> None:
        self._rounds = list(rounds)
        self.asked: list[set[str]] = []

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Evidence]:
        self.asked.append({subject.repository.rsplit("/", 1)[-1] for subject in subjects})
        answer = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        if isinstance(answer, Exception):
            raise answer
        known = {subject: answer.get(subject.repository.rsplit("/", 1)[-1]) for subject in subjects}
        return {subject: evidence for subject, evidence in known.items() if evidence}


def resolved(name: str) -> ResolvedImage:
    digest = "sha256:" + f"{sum(name.encode()):064x}"
    reference = ImageReference.parse(f"docker.io/library/{name}:1")
    return ResolvedImage(reference, digest, (PlatformManifest("linux/amd64", digest),))


async def run(
    names: list[str], findings: Callable[..., object], proof: Callable[..., object], **gate: object
) -> tuple[GateReport, list[GateReport]]:
    images = [resolved(name) for name in names]
    release = Release(name="test", images=tuple(Image(source=str(image.reference)) for image in images))
    told: list[GateReport] = []

    async def progress(report: GateReport) -> None:
        told.append(report)

    settings = {"interval": 0.001, "trust_store": ["root.pem"], **gate}
    policy = Gate.model_validate(settings)
    report = await assess(release, images, REGISTRY, policy, findings=findings, proof=proof, progress=progress)  # type: ignore[arg-type]  # scripted sources
    return report, told


async def test_everything_clean_passes_and_is_told_once_a_change() -> None:
    """The report names each image in order; progress is told only when something changed."""
    proof = Script({}, {"a": CLEAN}, {"a": CLEAN}, {"b": CLEAN})
    report, told = await run(["a", "b"], Script({}), proof)
    assert report.passed
    assert [d.image.reference.repository for d in report.decisions] == ["library/a", "library/b"]
    assert [[d.state for d in r.decisions] for r in told] == [
        [State.PENDING, State.PENDING],
        [State.HEALTHY, State.PENDING],
        [State.HEALTHY, State.HEALTHY],
    ]
    require_passed(report)


async def test_findings_are_asked_about_everything_and_proof_only_about_the_undecided() -> None:
    """One query a round covers all images; artifacts are looked up for those that still need one."""
    findings, proof = Script({}), Script({"a": CLEAN}, {"b": CLEAN})
    await run(["a", "b"], findings, proof)
    assert findings.asked == [{"a", "b"}, {"a", "b"}]
    assert proof.asked == [{"a", "b"}, {"b"}]


async def test_one_blocked_image_ends_the_wait_and_nothing_passes() -> None:
    """A vulnerable image decides the release, although another one is still pending."""
    report, _ = await run(["a", "b"], Script({"b": BAD}), Script({"a": CLEAN}))
    assert not report.passed
    with pytest.raises(GateBlocked) as caught:
        require_passed(report)
    for word in ("docker.io/library/b:1", "CVE-2026-7", "Critical", "openssl", "3.0.1", "3.0.2"):
        assert word in str(caught.value)
    for image in (resolved("a"), resolved("b")):
        with pytest.raises(GateBlocked):
            report.require(image)


async def test_findings_that_arrive_after_the_proof_still_block() -> None:
    """A clean artifact does not close the case while the release waits."""
    report, _ = await run(["a", "b"], Script({}, {}, {"a": BAD}), Script({"a": CLEAN}, {}, {"b": CLEAN}))
    assert report.decisions[0].state is State.UNHEALTHY


async def test_an_acceptance_gives_way_to_what_is_found_meanwhile() -> None:
    """An accepted image is asked about as long as its release waits."""
    acceptance = Acceptance(
        image="docker.io/library/a:1", reason="not assessed", owner="me", approver="you", expires="2099-01-01"
    )
    proof = Script({}, {}, {"b": CLEAN})
    report, told = await run(["a", "b"], Script({}, {}, {"a": BAD}), proof, acceptances=[acceptance], patience=0)
    assert told[0].decisions[0].state is State.ACCEPTED
    assert report.decisions[0].state is State.UNHEALTHY


async def test_a_source_that_cannot_be_asked_now_is_asked_again() -> None:
    """A throttled query costs a round and not the run, and what was known stays known."""
    throttled = Throttled("query", "Resource Graph", "429.", "Wait.")
    report, _ = await run(["a"], Script(throttled, throttled, {}), Script({}, throttled, {"a": CLEAN}))
    assert report.passed


async def test_silence_becomes_unverified_and_names_the_reason() -> None:
    """At the deadline nothing has become health: the image is Unverified, with what the sources complained of."""
    down = Throttled("query", "Resource Graph", "Rate limit reached.", "Wait.")
    report, _ = await run(["a"], Script(down), Script({}), deadline=0.0001)
    assert report.decisions[0].state is State.UNVERIFIED
    assert "Rate limit reached." in report.decisions[0].reason
    with pytest.raises(GateBlocked, match="Unverified"):
        require_passed(report)


async def test_an_unreadable_answer_is_an_error_and_not_a_pass() -> None:
    """What a source cannot read ends the gate with our error."""
    broken = UnreadableAnswer("read a row", "row", "It is truncated.", "Report it.")
    with pytest.raises(UnreadableAnswer):
        await run(["a"], Script(broken), Script({"a": CLEAN}))


async def test_a_report_vouches_for_its_own_digests_only() -> None:
    """A passing report says nothing about an image that it did not judge."""
    report, _ = await run(["a"], Script({}), Script({"a": CLEAN}))
    report.require(resolved("a"))
    with pytest.raises(GateBlocked):
        report.require(resolved("z"))
