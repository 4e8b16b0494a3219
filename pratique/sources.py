"""Where evidence comes from: Defender's findings in Resource Graph, and the signed artifact beside the image."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pratique.azure.defender import recommendations
from pratique.azure.session import AzureSession
from pratique.errors import NetworkDenied, NotFound, SignatureRejected, UnreadableAnswer
from pratique.findings import Assessment, from_recommendation, from_statement
from pratique.gate import Subject
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.oci.findings_artifact import SignedStatement, fetch_findings
from pratique.oci.notation import TrustStore, verify
from pratique.policy import Evidence

_AT_ONCE = 16


@dataclass(frozen=True)
class ResourceGraphFindings:
    """Individual recommendations (azure-facts §8.3). They tell of findings only: no row proves nothing."""

    session: AzureSession

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Evidence]:
        evidence: dict[Subject, Evidence] = {}
        for row in await recommendations(self.session, {subject.digest for subject in subjects}):
            found = from_recommendation(row)
            subject = Subject(found.registry_host, found.repository, found.digest)
            evidence[subject] = evidence.get(subject, Evidence()) | Evidence(frozenset(found.findings))
        return {subject: evidence[subject] for subject in subjects if subject in evidence}


@dataclass(frozen=True)
class ArtifactProof:
    """The findings artifact (azure-facts §8.5): the only positive proof that a digest was scanned.

    :ivar trust: whose signature counts; ``None`` believes unsigned artifacts, which anybody who may push can forge
    """

    client: OciClient
    trust: TrustStore | None

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Evidence]:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(subject: Subject) -> tuple[Subject, Evidence]:
            async with limit:
                return subject, await self._look(subject)

        return dict(await asyncio.gather(*map(one, subjects)))

    async def _look(self, subject: Subject) -> Evidence:
        reference = ImageReference(subject.registry, subject.repository, digest=subject.digest)
        try:
            statements = await fetch_findings(self.client, reference)
        except NetworkDenied:
            return Evidence(problems=("this worker cannot see the registry, so nothing can prove a clean scan",))
        except NotFound:
            return Evidence(problems=("the image is not in the quarantine repository",))
        except UnreadableAnswer as error:
            return Evidence(problems=(f"a findings artifact cannot be read: {error.observed}",))
        assessments: list[Assessment] = []
        problems: list[str] = []
        for signed in statements:
            try:
                self._verify(signed)
                assessments.append(from_statement(signed.statement, digest=subject.digest))
            except (SignatureRejected, UnreadableAnswer) as error:
                problems.append(f"a findings artifact does not count: {error.observed}")
        if not assessments:
            return Evidence(problems=tuple(problems))
        newest = max(assessments, key=lambda assessment: assessment.scanned_at)
        return Evidence(frozenset(newest.findings), scanned=True, problems=tuple(problems))

    def _verify(self, signed: SignedStatement) -> None:
        """:raises SignatureRejected: unless one of the signatures is good"""
        if self.trust is None:
            return
        rejected: SignatureRejected | None = None
        for envelope in signed.signatures:
            try:
                verify(envelope, artifact=signed.artifact, trust=self.trust)
            except SignatureRejected as error:
                rejected = error
            else:
                return
        raise rejected or SignatureRejected(
            "trust the findings artifact", signed.artifact.digest, "it is not signed", "Wait for Defender's signature."
        )
