"""The scan gate: waits until every image of a release has a decision, and lets the release pass or not.

It has no memory of its own: whatever it needs it asks for again, so a run that is repeated takes up where the evidence
stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pratique.config import Gate, Release
from pratique.errors import GateBlocked, TransientError
from pratique.images import ResolvedImage
from pratique.policy import Decision, Evidence, State, decide, required_manifests


@dataclass(frozen=True)
class Subject:
    """One digest that needs a verdict, and the quarantine repository in which it stands."""

    registry: str
    repository: str
    digest: str


class EvidenceSource(Protocol):
    """Something that knows of scans."""

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Evidence]:
        """What is known of the subjects; those that nothing is known of may be absent.

        :raises TransientError: when the source could not be asked this time
        """
        ...


@dataclass(frozen=True)
class GateReport:
    """The decisions about one release, in the catalogue's order."""

    release: str
    decisions: tuple[Decision, ...]

    @property
    def passed(self) -> bool:
        return all(decision.state.passes for decision in self.decisions)

    @property
    def blocked(self) -> tuple[Decision, ...]:
        """The images that keep the release out."""
        return tuple(d for d in self.decisions if d.state.final and not d.state.passes)

    def require(self, image: ResolvedImage) -> None:
        """:raises GateBlocked: unless this report lets the release pass and judged this very digest"""
        if not (self.passed and any(d.image.digest == image.digest for d in self.decisions)):
            raise GateBlocked(
                "promote the image",
                str(image.pinned),
                f"Release {self.release} has no passing verdict for this digest.",
                "Run the flow again, so that the gate judges it.",
            )

    @property
    def decided(self) -> bool:
        """Whether waiting longer could not change the outcome."""
        return bool(self.blocked) or all(decision.state.final for decision in self.decisions)


#: States in which proof may still arrive: an acceptance gives way to whatever is found meanwhile.
_OPEN = (State.PENDING, State.ACCEPTED)

Progress = Callable[[GateReport], Awaitable[None]]


async def assess(
    release: Release,
    images: Sequence[ResolvedImage],
    registry: str,
    gate: Gate,
    *,
    findings: EvidenceSource,
    proof: EvidenceSource,
    progress: Progress,
) -> GateReport:
    """Wait until the release is decided.

    One blocked image decides the release: its other images are no longer waited for.

    :param images: as resolved, in the order of ``release.images``
    :param registry: login server of the quarantine registry
    :param findings: asked once a round about everything
    :param proof: asked only about what ``findings`` left undecided
    :param progress: told whenever a decision changes
    """
    subjects = [
        Subject(registry, image.reference.quarantined(registry).repository, digest)
        for image in images
        for digest in required_manifests(image, gate.platforms)[0]
    ]
    found: dict[Subject, Evidence] = {}
    proven: dict[Subject, Evidence] = {}
    started = time.monotonic()
    open_digests = {subject.digest for subject in subjects}
    before: GateReport | None = None
    while True:
        found.update(await _ask(findings, subjects, found))
        proven.update(await _ask(proof, [s for s in subjects if s.digest in open_digests], proven))
        evidence = {s.digest: found.get(s, Evidence()) | proven.get(s, Evidence()) for s in subjects}
        report = _report(release, images, gate, evidence, (time.monotonic() - started) / 60)
        if report != before:
            await progress(report)
            before = report
        if report.decided:
            return report
        open_digests = {digest for d in report.decisions if d.state in _OPEN for digest in d.verdicts}
        await asyncio.sleep(gate.interval)


def require_passed(report: GateReport) -> None:
    """:raises GateBlocked: naming each image that is in the way and, for findings, what to upgrade"""
    if report.passed:
        return
    raise GateBlocked(
        "let the release through the scan gate",
        report.release,
        " ".join(_explain(decision) for decision in report.blocked),
        "Nothing of this release was promoted. Use images with the fixed packages or, for what Defender cannot assess, "
        "add an acceptance with reason, owner, approver and expiry; then run again.",
    )


def _explain(decision: Decision) -> str:
    image = decision.image.reference
    if decision.state is State.UNVERIFIED:
        return f"{image} is Unverified: {decision.reason}."
    lines = [
        f"{finding.vulnerability} ({finding.severity.label}) in {finding.package} {finding.version}, "
        + (f"fixed in {finding.fixed_version}" if finding.fixed_version else "no fix yet")
        for finding in decision.findings
    ]
    return f"{image} is Unhealthy: {'; '.join(lines)}."


def _report(
    release: Release, images: Sequence[ResolvedImage], gate: Gate, evidence: Mapping[str, Evidence], waited: float
) -> GateReport:
    acceptances = {acceptance.image: acceptance for acceptance in gate.acceptances}
    decisions = tuple(
        decide(
            image,
            evidence,
            platforms=gate.platforms,
            limits=gate.limits,
            acceptance=acceptances.get(entry.source),
            today=datetime.now(UTC).date(),
            waited=waited,
            patience=gate.patience,
            deadline=gate.deadline,
        )
        for entry, image in zip(release.images, images, strict=True)
    )
    return GateReport(release.name, decisions)


async def _ask(
    source: EvidenceSource, subjects: Sequence[Subject], known: Mapping[Subject, Evidence]
) -> dict[Subject, Evidence]:
    """Ask a source; one that cannot be asked now leaves what it said before, and is named as a problem."""
    if not subjects:
        return {}
    try:
        answer = await source(subjects)
    except TransientError as error:
        problem = Evidence(problems=(error.observed,))
        return {subject: known.get(subject, Evidence()) | problem for subject in subjects}
    return {subject: answer.get(subject, Evidence()) for subject in subjects}
