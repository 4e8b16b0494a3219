"""Signed statements attached to an image: Defender's findings artifact, and those of other trusted signers.

::

    source = AttachedStatements(client, {FINDINGS_ARTIFACT: TrustStore.load([Path("defender-root.pem")])})
    observations = await source(subjects)

A statement is the only positive proof that a digest was scanned. Anybody who can push can attach one. A statement
therefore counts for the sources whose trust store its signature chains to; any other statement is only noted.

Facts: Microsoft Learn, "Gated deployment for Kubernetes container images" (the findings artifact) and "Azure Container
Registry SKU features and limits" (how often referrers may be listed).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pratique.errors import (
    DigestMismatch,
    NetworkDenied,
    NotFound,
    PratiqueError,
    SignatureRejected,
    Throttled,
    UnreadableAnswer,
)
from pratique.evidence.findings_artifact import SignedStatement, Unusable, fetch_findings
from pratique.evidence.parsers.assessment import Assessment
from pratique.evidence.parsers.in_toto import from_statement
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.signatures.verify import Signer, verify
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.images import ImageReference
from pratique.oci.client import OciClient

AT_ONCE = 16
ATTEMPTS = 3  # at one image, when the registry asks to slow down
LONGEST_PAUSE = 60.0  # seconds; a registry that asks for a longer one is queried again in the next round
_PAUSE = 5.0
_UNREACHABLE = (
    "this worker cannot reach the registry, so nothing can prove a clean scan: "
    "run on a worker that has a private endpoint to it"
)


@dataclass
class _SourceStatements:
    """The statements that count for one source.

    :ivar assessments: each with its signer
    :ivar unreadable: why other statements with a trusted signature cannot be read: they might hold findings
    """

    assessments: list[tuple[Assessment, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def observation(self, source: str, notes: tuple[str, ...]) -> Observation:
        if not self.assessments:
            detail = "; ".join(self.unreadable) or "no attestation with a trusted signature yet"
            status = SourceStatus.UNREADABLE if self.unreadable else SourceStatus.NOTHING
            return Observation(source=source, status=status, detail=detail, notes=notes)
        at = max(assessment.scanned_at for assessment, _ in self.assessments)
        newest = [(assessment, signer) for assessment, signer in self.assessments if assessment.scanned_at == at]
        scanners = [f"{assessment.scanner}, {signer}" for assessment, signer in newest]
        gaps = [assessment.gap for assessment, _ in newest if assessment.gap]
        databases = [assessment.database_at for assessment, _ in newest]
        complete = SourceStatus.NOTHING if gaps else SourceStatus.ASSESSED
        return Observation(
            source=source,
            status=SourceStatus.UNREADABLE if self.unreadable else complete,
            findings=frozenset(finding for assessment, _ in newest for finding in assessment.findings),
            at=at,
            database_at=min(filter(None, databases)) if all(databases) else None,
            detail="; ".join(dict.fromkeys([*self.unreadable, *gaps, *scanners])),
            notes=notes,
        )


class AttachedStatements:
    """Statements about images. One lookup per image serves all trusted signers.

    :param trusted: for each source, the trust store that its signatures must chain to. ``None`` accepts every statement
        that no other source signed: anybody who can push could have forged it
    """

    def __init__(self, client: OciClient, trusted: Mapping[str, TrustStore | None]) -> None:
        self._client = client
        self._trusted = dict(trusted)
        self._paused_until = 0.0  # monotonic seconds

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._trusted)

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation per subject and source. A failure for one subject does not affect the others."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def observe(subject: Subject) -> Sequence[Observation]:
            async with limit:
                return await self._observe(subject)

        ordered = list(subjects)
        return dict(zip(ordered, await asyncio.gather(*map(observe, ordered)), strict=True))

    async def _observe(self, subject: Subject) -> Sequence[Observation]:
        reference = ImageReference(subject.registry, subject.repository, digest=subject.digest)
        try:
            return self._observations(subject, await self._fetch(reference))
        except NetworkDenied:
            status, detail = SourceStatus.NOTHING, _UNREACHABLE
        except NotFound:
            status, detail = SourceStatus.NOTHING, "the image is not in the quarantine repository"
        except (UnreadableAnswer, DigestMismatch) as error:
            status, detail = SourceStatus.UNREADABLE, f"the image's attestations cannot be read: {error.observed}"
        except PratiqueError as error:
            status, detail = SourceStatus.FAILED, f"could not be queried: {error.observed} Next: {error.remedy}"
        return [Observation(source=name, status=status, detail=detail) for name in self._trusted]

    async def _fetch(self, reference: ImageReference) -> list[SignedStatement | Unusable]:
        """The statements attached to an image. When the registry asks to slow down, all lookups wait."""
        attempts = ATTEMPTS
        while True:
            await asyncio.sleep(max(0.0, self._paused_until - time.monotonic()))
            try:
                return await fetch_findings(self._client, reference)
            except Throttled as error:
                attempts -= 1
                pause = _PAUSE if error.retry_after is None else error.retry_after
                if not attempts or pause > LONGEST_PAUSE:
                    raise
                self._paused_until = max(self._paused_until, time.monotonic() + pause)

    def _observations(self, subject: Subject, found: Collection[SignedStatement | Unusable]) -> Sequence[Observation]:
        by_source = {name: _SourceStatements() for name in self._trusted}
        notes: list[str] = []
        for statement in found:
            if isinstance(statement, Unusable):
                notes.append(f"the attestation {statement.digest} does not count: {statement.reason}")
                continue
            signers, rejected = self._signers(statement)
            if not signers:
                notes.append(f"the attestation {statement.artifact.digest} does not count: {rejected}")
            for name, signer in signers.items():
                try:
                    assessment = from_statement(statement.statement, digest=subject.digest, source=name)
                except UnreadableAnswer as error:
                    by_source[name].unreadable.append(f"a trusted attestation cannot be read: {error.observed}")
                else:
                    by_source[name].assessments.append((assessment, signer))
        return [source.observation(name, tuple(dict.fromkeys(notes))) for name, source in by_source.items()]

    def _signers(self, statement: SignedStatement) -> tuple[dict[str, str], str]:
        """The signer for each source that the statement counts for; and the reason when it counts for none."""
        signers: dict[str, str] = {}
        rejected = ""
        for name, trust in self._trusted.items():
            if trust is None:
                continue
            try:
                signers[name] = f"signed by {_verified(statement, trust).subject}"
            except SignatureRejected as error:
                rejected = error.observed
        if signers:
            return signers, ""
        unsafe = "its signature is not checked, so anybody who can push could have forged it"
        return {name: unsafe for name, trust in self._trusted.items() if trust is None}, rejected


def _verified(statement: SignedStatement, trust: TrustStore) -> Signer:
    """:raises SignatureRejected: unless one of the signatures is valid"""
    digest, remedy = statement.artifact.digest, "Wait for its signature."
    rejected = SignatureRejected("trust the attestation", digest, "It has no readable signature.", remedy)
    for envelope in statement.signatures:
        try:
            return verify(envelope.content, media_type=envelope.media_type, artifact=statement.artifact, trust=trust)
        except SignatureRejected as error:
            rejected = error
    raise rejected
