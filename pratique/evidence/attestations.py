"""Signed statements attached to an image: Defender's findings artifact, and those of other trusted signers.

::

    source = AttachedStatements(client, {FINDINGS_ARTIFACT: TrustStore.load(["defender-root.pem"], [identity])})
    observations = await source(subjects)

A statement is the only positive proof that a digest was scanned. Anybody who can push can attach one. A statement
therefore proves a scan only to the sources that trust its signer. The findings in any other statement count as well:
bad news about a digest needs no signature. A stranger who can push can block an image, but cannot make one pass.

While an image has no news, a lookup is one request: the list of its referrers (:mod:`.full_lookups`). Its observations
are then partial, and the gate has everything looked at before it decides on them.

Facts: Microsoft Learn, "Gated deployment for Kubernetes container images" (the findings artifact) and "Azure Container
Registry SKU features and limits" (how often referrers may be listed).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

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
from pratique.evidence.content_store import ContentStore
from pratique.evidence.findings_artifact import SignedStatement, fetch_findings
from pratique.evidence.full_lookups import FullLookups
from pratique.evidence.parsers.in_toto import bad_news, from_statement, is_about_something_else
from pratique.evidence.signature_artifacts import Unusable
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.statements import SourceStatements, trusted_scan
from pratique.evidence.verifier import SignatureVerifier
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT, Policy
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.oci.referrers import referrers_by_api, with_tagged

AT_ONCE = 16
ATTEMPTS = 3  # at one image, when the registry asks to slow down
LONGEST_PAUSE = 60.0  # seconds; a registry that asks for a longer one is queried again in the next round
_PAUSE = 5.0
_UNREACHABLE = (
    "this worker cannot reach the registry, so nothing can prove a clean scan: "
    "run on a worker that has a private endpoint to it"
)


class AttachedStatements:
    """Statements about images. One lookup per image serves all trusted signers.

    :param trusted: for each source, the trust store of its signers. ``None`` accepts every statement that no other
        source trusts: anybody who can push could have forged it
    :param clock: for the validity of certificates and signatures
    :param policy: which vulnerability databases are fit for a scan that replaces older ones
    :param store: contents that need no download; by default everything is downloaded
    """

    def __init__(
        self,
        client: OciClient,
        trusted: Mapping[str, TrustStore | None],
        clock: Clock | None = None,
        policy: Policy | None = None,
        store: ContentStore | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._trusted = dict(trusted)
        self._clock = clock or SystemClock()
        self._policy = policy or Policy()
        self._verifier = SignatureVerifier(client.transport.http)
        self._full = FullLookups()
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

    def forget(self, subjects: Collection[Subject]) -> None:
        """Begin anew with a lookup everywhere."""
        self._full.demand(subjects)

    def look_everywhere(self, subjects: Collection[Subject]) -> None:
        """Look everywhere for the subjects' attestations next time."""
        self._full.demand(subjects)

    async def _observe(self, subject: Subject) -> Sequence[Observation]:
        try:
            found, full = await self._fetch(subject)
            return [replace(seen, partial=not full) for seen in await self._observations(subject, found)]
        except NetworkDenied:
            status, detail = SourceStatus.NOTHING, _UNREACHABLE
        except NotFound:
            status, detail = SourceStatus.NOTHING, "the image is not in the quarantine repository"
        except (UnreadableAnswer, DigestMismatch) as error:
            status, detail = SourceStatus.UNREADABLE, f"the image's attestations cannot be read: {error.observed}"
        except PratiqueError as error:
            status, detail = SourceStatus.FAILED, f"could not be queried: {error.observed} Next: {error.remedy}"
        return [Observation(source=name, status=status, detail=detail) for name in self._trusted]

    async def _fetch(self, subject: Subject) -> tuple[list[SignedStatement | Unusable], bool]:
        """The statements attached to an image, and whether they were looked for everywhere.

        When the registry asks to slow down, all lookups wait.
        """
        attempts = ATTEMPTS
        while True:
            await asyncio.sleep(max(0.0, self._paused_until - time.monotonic()))
            try:
                return await self._look_up(subject)
            except Throttled as error:
                attempts -= 1
                pause = _PAUSE if error.retry_after is None else error.retry_after
                if not attempts or pause > LONGEST_PAUSE:
                    raise
                self._paused_until = max(self._paused_until, time.monotonic() + pause)

    async def _look_up(self, subject: Subject) -> tuple[list[SignedStatement | Unusable], bool]:
        reference = ImageReference(subject.registry, subject.repository, digest=subject.digest)
        at, demands = self._clock.now(), self._full.demands(subject)
        listed = by_api = await referrers_by_api(self._client, reference)
        if listed is None or not listed.by_index:
            listed = await with_tagged(self._client, reference, by_api)
        if self._full.covers(subject, listed, at):
            return [], False
        both = listed if listed is not by_api else await with_tagged(self._client, reference, by_api)
        found = await fetch_findings(self._client, reference, both, self._store)
        if not found:
            self._full.done(subject, listed, at, demands)
        return found, True

    async def _observations(
        self, subject: Subject, found: Collection[SignedStatement | Unusable]
    ) -> Sequence[Observation]:
        by_source = {name: SourceStatements() for name in self._trusted}
        notes: list[str] = []
        rejections: dict[str, None] = {}
        for item in found:
            if isinstance(item, Unusable):
                notes.append(f"the attestation {item.digest} does not count: {item.reason}")
                continue
            if not item.labelled and is_about_something_else(item.statement):
                continue
            signers, rejected = await self._signers(item)
            if signers:
                self._add_trusted(subject, item, signers, by_source)
                digest = item.artifact.digest
                notes += [f"a signature of the attestation {digest} does not count: {reason}" for reason in rejected]
            else:
                rejections[item.artifact.digest] = None
                notes.append(self._add_untrusted(subject, item, rejected, by_source))
        unusable = [item for item in found if isinstance(item, Unusable)]
        _doubt_unread(by_source.values(), unusable, others=bool(rejections))
        missing = {name: self._missing(name, subject, found) for name in self._trusted}
        unique = tuple(dict.fromkeys(notes))
        observations = [source.observation(name, missing[name], unique) for name, source in by_source.items()]
        return [replace(observation, rejected=tuple(rejections)) for observation in observations]

    def _add_trusted(
        self,
        subject: Subject,
        statement: SignedStatement,
        signers: Mapping[str, str],
        by_source: Mapping[str, SourceStatements],
    ) -> None:
        for name, signer in signers.items():
            source, problem = by_source[name], statement.flaw
            try:
                assessment = from_statement(statement.statement, digest=subject.digest, source=name)
            except UnreadableAnswer as error:
                problem = problem or error.observed
            if not problem:
                scan = trusted_scan(assessment, signer, name, subject, self._policy, self._clock.now())
                source.scans.append(scan)
                continue
            source.doubts.append(f"a trusted attestation cannot be read: {problem}")
            source.findings.update(bad_news(statement.statement, digest=subject.digest, source=name).findings)

    def _add_untrusted(
        self,
        subject: Subject,
        statement: SignedStatement,
        rejected: Sequence[str],
        by_source: Mapping[str, SourceStatements],
    ) -> str:
        """Count the findings of a statement that no source trusts, and describe it."""
        name = FINDINGS_ARTIFACT if FINDINGS_ARTIFACT in by_source else next(iter(by_source))
        news = bad_news(statement.statement, digest=subject.digest, source=name)
        by_source[name].findings.update(news.findings)
        digest = statement.artifact.digest
        unread = news.unread or (statement.signers_unknown and self._unreadable(subject, statement))
        if unread:
            by_source[name].doubts.append(f"the attestation {digest} may hold findings, but cannot be read: {unread}")
        reason = "; ".join(filter(None, [statement.flaw, *rejected])) or "It has no readable signature."
        count = f" Its {len(news.findings)} findings do." if news.findings else ""
        return f"the attestation {digest} does not count as proof: {reason}{count}"

    def _unreadable(self, subject: Subject, statement: SignedStatement) -> str:
        """Why a statement, which a trusted signer may have made, cannot be read; empty when it can."""
        try:
            from_statement(statement.statement, digest=subject.digest, source="")
        except UnreadableAnswer as error:
            return error.observed
        return statement.flaw

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


def _doubt_unread(sources: Iterable[SourceStatements], unusable: Collection[Unusable], *, others: bool) -> None:
    """Put the sources in doubt about attestations that nobody read.

    Only what is older than a trusted scan that replaces it may be left out, unless there is anything else that may have
    been put there to hide it.

    :param others: whether any attestation that was read is anybody else's
    """
    hidden = others or len(unusable) > 1
    for source in sources:
        source.doubts += [
            f"an attestation may hold findings, but was not read: {item.digest}: {item.reason}"
            for item in unusable
            if item.unread and (hidden or not item.older or not source.replaces_older)
        ]
