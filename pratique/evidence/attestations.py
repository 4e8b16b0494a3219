"""Signed statements attached to an image: Defender's findings artifact, and those of other trusted signers.

::

    source = AttachedStatements(client, {FINDINGS_ARTIFACT: TrustStore.load(["defender-root.pem"], [identity])})
    observations = await source(subjects)

A statement is the only positive proof that a digest was scanned. Anybody who can push can attach one. A statement
therefore proves a scan only to the sources that trust its signer. The findings in any other statement count as well:
bad news about a digest needs no signature. A stranger who can push can block an image, but cannot make one pass.

Facts: Microsoft Learn, "Gated deployment for Kubernetes container images" (the findings artifact) and "Azure Container
Registry SKU features and limits" (how often referrers may be listed).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pratique.clock import Clock, SystemClock
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
from pratique.evidence.verifier import SignatureVerifier
from pratique.findings import Finding
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT
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
    :ivar untrusted: findings in statements that no source trusts
    """

    assessments: list[tuple[Assessment, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    untrusted: set[Finding] = field(default_factory=set)

    def observation(self, source: str, missing: str, notes: tuple[str, ...]) -> Observation:
        """The observation of the source.

        :param missing: why there is no trusted statement, in words
        """
        if not self.assessments:
            status = SourceStatus.UNREADABLE if self.unreadable else SourceStatus.NOTHING
            detail = "; ".join(self.unreadable) or missing
            findings = frozenset(self.untrusted)
            return Observation(source=source, status=status, findings=findings, detail=detail, notes=notes)
        at = max(assessment.scanned_at for assessment, _ in self.assessments)
        newest = [(assessment, signer) for assessment, signer in self.assessments if assessment.scanned_at == at]
        scanners = [f"{assessment.scanner}, {signer}" for assessment, signer in newest]
        gaps = [assessment.gap for assessment, _ in newest if assessment.gap]
        databases = [assessment.database_at for assessment, _ in newest]
        complete = SourceStatus.NOTHING if gaps else SourceStatus.ASSESSED
        return Observation(
            source=source,
            status=SourceStatus.UNREADABLE if self.unreadable else complete,
            findings=frozenset(self.untrusted.union(*(assessment.findings for assessment, _ in newest))),
            at=at,
            database_at=min(filter(None, databases)) if all(databases) else None,
            detail="; ".join(dict.fromkeys([*self.unreadable, *gaps, *scanners])),
            notes=notes,
        )


class AttachedStatements:
    """Statements about images. One lookup per image serves all trusted signers.

    :param trusted: for each source, the trust store of its signers. ``None`` accepts every statement that no other
        source trusts: anybody who can push could have forged it
    :param clock: for the validity of certificates and signatures
    """

    def __init__(self, client: OciClient, trusted: Mapping[str, TrustStore | None], clock: Clock | None = None) -> None:
        self._client = client
        self._trusted = dict(trusted)
        self._clock = clock or SystemClock()
        self._verifier = SignatureVerifier(client.transport.http)
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
            return await self._observations(subject, await self._fetch(reference))
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

    async def _observations(
        self, subject: Subject, found: Collection[SignedStatement | Unusable]
    ) -> Sequence[Observation]:
        by_source = {name: _SourceStatements() for name in self._trusted}
        notes: list[str] = []
        untrusted = False
        for statement in found:
            if isinstance(statement, Unusable):
                notes.append(f"the attestation {statement.digest} does not count: {statement.reason}")
                continue
            signers, rejected = await self._signers(statement)
            digest = statement.artifact.digest
            if signers:
                notes += [f"a signature of the attestation {digest} does not count: {reason}" for reason in rejected]
            else:
                untrusted = True
                findings = self._add_untrusted(subject, statement, by_source)
                reason = "; ".join(rejected) or "It has no readable signature."
                count = (
                    f" Its {len(findings)} findings do." if findings else statement.problem and f" {statement.problem}"
                )
                notes.append(f"the attestation {digest} does not count as proof: {reason}{count}")
            for name, signer in signers.items():
                try:
                    assessment = from_statement(statement.statement, digest=subject.digest, source=name)
                except UnreadableAnswer as error:
                    problem = statement.problem or error.observed
                    by_source[name].unreadable.append(f"a trusted attestation cannot be read: {problem}")
                else:
                    by_source[name].assessments.append((assessment, signer))
        _doubt_unread(by_source.values(), found, untrusted=untrusted)
        missing = {name: self._missing(name, subject, found) for name in self._trusted}
        unique = tuple(dict.fromkeys(notes))
        return [source.observation(name, missing[name], unique) for name, source in by_source.items()]

    def _add_untrusted(
        self, subject: Subject, statement: SignedStatement, by_source: Mapping[str, _SourceStatements]
    ) -> tuple[Finding, ...]:
        """Count the findings of a statement that no source trusts."""
        name = FINDINGS_ARTIFACT if FINDINGS_ARTIFACT in by_source else next(iter(by_source))
        try:
            findings = from_statement(statement.statement, digest=subject.digest, source=name).findings
        except UnreadableAnswer:
            return ()
        by_source[name].untrusted.update(findings)
        return findings

    def _missing(self, name: str, subject: Subject, found: Collection[SignedStatement | Unusable]) -> str:
        """Why a source has no trusted statement, and what helps."""
        command = f"pratique trust show {subject.registry}/{subject.repository}@{subject.digest}"
        trust = self._trusted[name]
        if trust is not None and not trust.anchors:
            return f"no signer of attestations is trusted yet: '{command}' shows who signs, and how to trust them"
        reason = "no attestation with a trusted signature yet"
        return f"{reason}: '{command}' shows who signed those that there are" if found else reason

    async def _signers(self, statement: SignedStatement) -> tuple[dict[str, str], list[str]]:
        """The signer for each source that the statement counts for; and why signatures of it count for none."""
        signers: dict[str, str] = {}
        rejected: list[str] = []
        stores = {name: trust for name, trust in self._trusted.items() if trust is not None}
        for envelope in statement.signatures:
            reasons: dict[str, str] = {}
            for name, trust in stores.items():
                try:
                    verified = await self._verifier.verify(envelope, statement.artifact, trust, self._clock.now())
                    signers.setdefault(name, str(verified))
                except SignatureRejected as error:
                    reasons[name] = error.observed
            if len(reasons) == len(stores):
                rejected += dict.fromkeys(reasons.values())
        if not signers:
            unsafe = "its signature is not checked, so anybody who can push could have forged it"
            signers = {name: unsafe for name, trust in self._trusted.items() if trust is None}
        return signers, list(dict.fromkeys(rejected))


def _doubt_unread(
    sources: Iterable[_SourceStatements], found: Collection[SignedStatement | Unusable], *, untrusted: bool
) -> None:
    """Put the sources in doubt about attestations that a limit left out.

    What trusted signers said earlier is out of date. Anybody else's attestations may be there to hide others.

    :param untrusted: whether any attestation that was read is anybody else's
    """
    unread = [item for item in found if isinstance(item, Unusable) and item.unread]
    hidden = untrusted or len(unread) > 1
    for source in sources:
        if hidden or not source.assessments:
            source.unreadable += [
                f"an attestation may hold findings, but was not read: {item.digest}: {item.reason}" for item in unread
            ]
