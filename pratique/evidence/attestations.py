"""Signed statements beside the image: Defender's findings artifact, and anybody else's who is trusted.

::

    source = AttachedStatements(client, {FINDINGS_ARTIFACT: TrustStore.load([Path("defender-root.pem")])})
    observations = await source(subjects)

A statement is the only positive proof that a digest was scanned. Whoever may push can attach one, so it speaks under
the names of those whose trust store its signature leads to, and otherwise it is only noted.

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
LONGEST_PAUSE = 60.0  # seconds; who asks for a longer one is asked again in the next round
_PAUSE = 5.0
_BLIND = (
    "this worker cannot see the registry, so nothing can prove a clean scan: "
    "run from a worker with a private endpoint to it"
)


@dataclass
class _Word:
    """What the statements of one name say.

    :ivar assessments: each with its signer
    :ivar unreadable: why others, signed as well as these, cannot be read: they might hold findings
    """

    assessments: list[tuple[Assessment, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def observation(self, source: str, notes: tuple[str, ...]) -> Observation:
        if not self.assessments:
            detail = "; ".join(self.unreadable) or "no attestation with a trusted signature yet"
            answer = SourceStatus.UNREADABLE if self.unreadable else SourceStatus.NOTHING
            return Observation(source, answer, detail=detail, notes=notes)
        at = max(assessment.scanned_at for assessment, _ in self.assessments)
        newest = [(one, signer) for one, signer in self.assessments if one.scanned_at == at]
        return Observation(
            source,
            SourceStatus.UNREADABLE if self.unreadable else SourceStatus.ASSESSED,
            frozenset(finding for one, _ in newest for finding in one.findings),
            at,
            "; ".join(dict.fromkeys([*self.unreadable, *(f"{one.scanner}, {signer}" for one, signer in newest)])),
            notes,
        )


class AttachedStatements:
    """Statements about images, one lookup an image for all who are trusted.

    :param trusted: by source, the store that its signatures have to lead to. ``None`` believes whatever no other
        source's signature is on: anybody who may push could have forged it
    """

    def __init__(self, client: OciClient, trusted: Mapping[str, TrustStore | None]) -> None:
        self._client = client
        self._trusted = dict(trusted)
        self._resumes = 0.0

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._trusted)

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation a subject and name. What goes wrong with one subject says nothing about the others."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(subject: Subject) -> Sequence[Observation]:
            async with limit:
                return await self._look(subject)

        wanted = list(subjects)
        return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))

    async def _look(self, subject: Subject) -> Sequence[Observation]:
        reference = ImageReference(subject.registry, subject.repository, digest=subject.digest)
        try:
            return self._weigh(subject, await self._fetch(reference))
        except NetworkDenied:
            answer, detail = SourceStatus.NOTHING, _BLIND
        except NotFound:
            answer, detail = SourceStatus.NOTHING, "the image is not in the quarantine repository"
        except (UnreadableAnswer, DigestMismatch) as error:
            answer, detail = SourceStatus.UNREADABLE, f"the image's attestations cannot be read: {error.observed}"
        except PratiqueError as error:
            answer, detail = SourceStatus.FAILED, f"could not be asked: {error.observed} Next: {error.remedy}"
        return [Observation(name, answer, detail=detail) for name in self._trusted]

    async def _fetch(self, reference: ImageReference) -> list[SignedStatement | Unusable]:
        """What hangs on an image. When the registry asks to slow down, everybody waits."""
        attempts = ATTEMPTS
        while True:
            await asyncio.sleep(max(0.0, self._resumes - time.monotonic()))
            try:
                return await fetch_findings(self._client, reference)
            except Throttled as refusal:
                attempts -= 1
                pause = _PAUSE if refusal.retry_after is None else refusal.retry_after
                if not attempts or pause > LONGEST_PAUSE:
                    raise
                self._resumes = max(self._resumes, time.monotonic() + pause)

    def _weigh(self, subject: Subject, found: Collection[SignedStatement | Unusable]) -> Sequence[Observation]:
        words = {name: _Word() for name in self._trusted}
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
                    words[name].unreadable.append(f"a trusted attestation cannot be read: {error.observed}")
                else:
                    words[name].assessments.append((assessment, signer))
        return [word.observation(name, tuple(dict.fromkeys(notes))) for name, word in words.items()]

    def _signers(self, statement: SignedStatement) -> tuple[dict[str, str], str]:
        """Who signed it, by the name under which it counts; and why it would count under none."""
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
        unsafe = "its signature is not checked, so anybody who may push could have forged it"
        return {name: unsafe for name, trust in self._trusted.items() if trust is None}, rejected


def _verified(statement: SignedStatement, trust: TrustStore) -> Signer:
    """:raises SignatureRejected: unless one of the signatures is good"""
    digest, remedy = statement.artifact.digest, "Wait for its signature."
    rejected = SignatureRejected("trust the attestation", digest, "It has no signature that can be read.", remedy)
    for envelope in statement.signatures:
        try:
            return verify(envelope.content, media_type=envelope.media_type, artifact=statement.artifact, trust=trust)
        except SignatureRejected as error:
            rejected = error
    raise rejected
