"""Shows who signed what is attached to an image, whether the configuration trusts them, and how to trust them.

::

    report = await trust_report("acr.azurecr.io/quarantine/library/nginx:1.27", config)
    print(report.text())
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.config import Bootstrap, Gate
from pratique.errors import DigestMismatch, SignatureRejected, UnreadableAnswer
from pratique.evidence.setup import trust_store
from pratique.evidence.signature_artifacts import SignatureEnvelope, Unusable, fetch_signature, fetch_signatures
from pratique.evidence.signatures.envelope import ARTIFACT_TYPE as SIGNATURE
from pratique.evidence.signatures.trust import NOBODY, TrustStore
from pratique.evidence.signatures.verify import Claims, claims
from pratique.evidence.verifier import SignatureVerifier
from pratique.gate.policy import FINDINGS_ARTIFACT
from pratique.http_pool import open_http
from pratique.images import Descriptor, ImageReference
from pratique.oci.client import OciClient
from pratique.oci.referrers import Referrer, list_referrers
from pratique.preflight.trust_stanza import SignerToTrust, signer_to_trust, stanza, wrapped

MOST_REFERRERS = 50  # shown of one manifest


@dataclass(frozen=True)
class ShownCertificate:
    subject: str
    sha256: str
    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> ShownCertificate:
        return cls(
            certificate.subject.rfc4514_string(),
            certificate.fingerprint(hashes.SHA256()).hex(),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )


@dataclass(frozen=True)
class ShownSignature:
    """One signature.

    :ivar problem: why it cannot be read; empty when it can
    :ivar chain: from the signing certificate to the root
    :ivar signed_at: by the signer's own clock
    :ivar timestamped_at: by a timestamp authority, whose certificates are in ``timestamp_chain``
    :ivar results: by source of the gate, ``verifies``, or why it does not
    """

    digest: str
    envelope: str
    problem: str = ""
    chain: tuple[ShownCertificate, ...] = ()
    signed_at: datetime | None = None
    timestamped_at: datetime | None = None
    timestamp_chain: tuple[ShownCertificate, ...] = ()
    results: Mapping[str, str] | None = None

    def lines(self) -> Iterator[str]:
        yield "  signature:"
        yield f"    {self.digest}"
        yield f"    envelope: {self.envelope}"
        if self.problem:
            yield from wrapped(f"unreadable: {self.problem}", 4)
            return
        yield from wrapped(f"signer: {self.chain[0].subject}", 4)
        yield f"    signed at: {_time(self.signed_at)} (the signer's clock)"
        yield from _chain("chain", self.chain)
        if self.timestamped_at is None:
            yield "    timestamp: none"
        else:
            yield f"    timestamp: {_time(self.timestamped_at)}"
            yield from _chain("certificates of the timestamp", self.timestamp_chain)
        for source, result in (self.results or {}).items():
            yield from wrapped(f"{source}: {result}", 4)


@dataclass(frozen=True)
class ShownReferrer:
    """Something attached to the image, or to one of its platforms.

    :ivar subject: digest of the manifest that it is attached to
    :ivar problems: why signatures of it cannot be used
    """

    subject: str
    digest: str
    artifact_type: str
    annotations: Mapping[str, str]
    signatures: tuple[ShownSignature, ...]
    problems: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        yield f"referrer {self.digest}"
        yield f"  of {self.subject}"
        yield from wrapped(f"type: {self.artifact_type or '(not listed)'}", 2)
        for name, value in sorted(self.annotations.items()):
            yield from wrapped(f"{name}: {value[:200]}", 2)
        if not self.signatures:
            yield "  signature: none"
        for signature in self.signatures:
            yield from signature.lines()
        for problem in self.problems:
            yield from wrapped(f"not used: {problem}", 2)


@dataclass(frozen=True)
class TrustReport:
    """Who signed what is attached to an image.

    :ivar stanza: YAML for the configuration, which trusts the signers; empty when nothing is signed
    """

    image: str
    digest: str
    referrers: tuple[ShownReferrer, ...]
    stanza: str

    def text(self) -> str:
        """The report in lines of 80 columns."""
        lines = [*wrapped(f"image: {self.image.split('@')[0]}", 0), self.digest, ""]
        for referrer in self.referrers:
            lines += [*referrer.lines(), ""]
        if not self.referrers:
            lines += ["Nothing is attached to this image.", ""]
        return "\n".join([*lines, self.stanza or "There is no valid signature to trust."])


async def trust_report(image: str, config: Bootstrap | None = None) -> TrustReport:
    """Look at everything attached to an image and to its platforms.

    :param config: the configuration to verify under; without one, nobody is trusted
    :raises NotFound: when there is no such image
    :raises NetworkDenied: when this worker cannot reach the registry
    """
    subscription, cloud = (config.subscription_id, config.cloud) if config else (None, "public")
    identity = config.registries.identity if config else None
    async with (
        AzureSession.open(subscription, cloud, identity=identity) as session,
        open_http(30) as http,
    ):
        client = oci_client(session, http, {})
        return await show_trust(client, ImageReference.parse(image), config.gate if config else None)


async def show_trust(client: OciClient, image: ImageReference, gate: Gate | None) -> TrustReport:
    """See :func:`trust_report`."""
    resolved = await client.resolve(image)
    stores: dict[str, TrustStore] = {FINDINGS_ARTIFACT: trust_store(gate) if gate else NOBODY}
    stores |= {source.name: trust_store(source) for source in (gate.attestations if gate else ())}
    viewer = _Viewer(client, stores)
    digests = dict.fromkeys([resolved.digest, *(platform.digest for platform in resolved.platforms)])
    referrers = [shown for digest in digests for shown in await viewer.referrers(resolved.reference.at(digest))]
    return TrustReport(str(image), resolved.digest, tuple(referrers), stanza(viewer.signers))


class _Viewer:
    """Reads referrers and their signatures.

    :ivar signers: of the valid signatures
    """

    def __init__(self, client: OciClient, stores: Mapping[str, TrustStore]) -> None:
        self._client = client
        self._stores = stores
        self._verifier = SignatureVerifier(client.transport.http)
        self.signers: list[SignerToTrust] = []

    async def referrers(self, subject: ImageReference) -> list[ShownReferrer]:
        listed = await list_referrers(self._client, subject)
        return [await self._referrer(subject, item) for item in listed.found[:MOST_REFERRERS]]

    async def _referrer(self, subject: ImageReference, item: Referrer) -> ShownReferrer:
        digest, artifact = item.descriptor.digest, item.descriptor
        found: list[SignatureEnvelope | Unusable | None] = []
        try:
            if item.artifact_type == SIGNATURE:
                artifact = (await self._client.manifest(subject)).descriptor
                found = [await fetch_signature(self._client, subject, item)]
            else:
                envelopes, unusable = await fetch_signatures(self._client, subject.at(digest))
                found = [*envelopes, *unusable]
        except (UnreadableAnswer, DigestMismatch) as error:
            found = [Unusable(digest, error.observed)]
        problems = [part.reason for part in found if isinstance(part, Unusable)]
        envelopes = tuple(part for part in found if isinstance(part, SignatureEnvelope))
        shown = tuple([await self._signature(envelope, artifact, item.artifact_type) for envelope in envelopes])
        return ShownReferrer(subject.digest or "", digest, item.artifact_type, item.annotations, shown, tuple(problems))

    async def _signature(self, envelope: SignatureEnvelope, artifact: Descriptor, artifact_type: str) -> ShownSignature:
        try:
            said = claims(envelope.content, media_type=envelope.media_type, digest=artifact.digest)
        except SignatureRejected as error:
            return ShownSignature(envelope.digest, envelope.media_type, error.observed)
        results = {name: await self._result(envelope, artifact, store) for name, store in self._stores.items()}
        signer = signer_to_trust(envelope, artifact, said, about_findings=artifact_type != SIGNATURE)
        if signer is not None and signer not in self.signers:
            self.signers.append(signer)
        return _shown(envelope, said, results)

    async def _result(self, envelope: SignatureEnvelope, artifact: Descriptor, store: TrustStore) -> str:
        try:
            verified = await self._verifier.verify(envelope, artifact, store, datetime.now(UTC))
        except SignatureRejected as error:
            return f"does not verify: {error.observed}"
        return "; ".join(["verifies", *verified.doubts])


def _shown(envelope: SignatureEnvelope, said: Claims, results: Mapping[str, str]) -> ShownSignature:
    at, certificates = said.timestamp or (None, ())
    return ShownSignature(
        digest=envelope.digest,
        envelope=envelope.media_type,
        chain=tuple(map(ShownCertificate.of, said.chain)),
        signed_at=said.signed_at,
        timestamped_at=at,
        timestamp_chain=tuple(map(ShownCertificate.of, certificates)),
        results=results,
    )


def _chain(title: str, chain: Sequence[ShownCertificate]) -> Iterator[str]:
    yield f"    {title}:"
    for certificate in chain:
        yield from wrapped(certificate.subject, 6)
        yield f"        valid {_time(certificate.begins)} to {_time(certificate.ends)}; SHA-256:"
        yield f"        {certificate.sha256}"


def _time(moment: datetime | None) -> str:
    return "unknown" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
