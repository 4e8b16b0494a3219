"""Verifies signatures as a registry returns them, and asks whether their certificates were revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import httpx

from pratique.errors import SignatureRejected
from pratique.evidence.revocation import RevocationChecker
from pratique.evidence.signature_artifacts import SignatureEnvelope
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.signatures.verify import Signer, verify
from pratique.images import Descriptor


@dataclass(frozen=True)
class VerifiedSignature:
    """A signature of a trusted signer.

    :ivar doubts: why the revocation status of certificates is unknown, in words
    """

    signer: Signer
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        timestamp = self.signer.timestamp
        stamped = f", timestamped {timestamp.earliest:%Y-%m-%d %H:%M} UTC" if timestamp is not None else ""
        return "; ".join([f"signed by {self.signer.subject}{stamped}", *self.doubts])


class SignatureVerifier:
    """Verifies signatures. Keep one for a whole run: it remembers what issuers said about their certificates.

    :param http: to ask the issuers; shared by the process
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._revocation = RevocationChecker(http)

    async def verify(
        self, envelope: SignatureEnvelope, artifact: Descriptor, trust: TrustStore, at: datetime
    ) -> VerifiedSignature:
        """Check one signature of an artifact.

        :raises SignatureRejected: when any check fails
        """
        signer = verify(envelope.content, media_type=envelope.media_type, artifact=artifact, trust=trust, at=at)
        doubts = await self._revocation.check(signer.chain, at)
        if signer.timestamp is not None:
            doubts += await self._revocation.check(signer.timestamp.chain, at)
        if doubts and trust.revocation == "strict":
            raise SignatureRejected(
                "verify the signature",
                artifact.digest,
                f"Revocation is unknown: {'; '.join(doubts)}.",
                "Allow this worker to reach the address, or set 'revocation: record' to accept and record it.",
            )
        return VerifiedSignature(signer, doubts)
