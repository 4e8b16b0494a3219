"""Reads the findings artifacts attached to an image: in-toto statements, and the signatures on them.

Nothing is trusted here: :mod:`.signatures` verifies, :mod:`.parsers` reads.

Anybody who can push can attach an artifact to an image. An unreadable artifact therefore does not hide any other, and
the amount that is read is limited. Artifacts are read newest first; where a limit leaves one out, all older ones are
left out too. A flood of artifacts can remove proof, but it cannot make an old statement look like the latest, and it
cannot hide findings: what was left out leaves a doubt.

Facts: Defender for Containers, gated deployment; in-toto attestation, predicate ``vulns`` v0.2; Notary Project
signature specification, "OCI Signatures".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pratique.errors import DigestMismatch, NotFound, OperationFailed, UnreadableAnswer
from pratique.evidence.signatures.envelope import ARTIFACT_TYPE as SIGNATURE
from pratique.evidence.signatures.envelope import LARGEST as LARGEST_ENVELOPE
from pratique.evidence.signatures.verify import ENVELOPE_TYPES
from pratique.images import DIGEST_PATTERN, Descriptor, ImageReference
from pratique.oci.client import OciClient, Referrer

IN_TOTO = "application/vnd.in-toto+json"
PREDICATE_ANNOTATION = "in-toto.io/predicate-type"
CREATED_ANNOTATION = "org.opencontainers.image.created"
VULNERABILITIES = "https://in-toto.io/attestation/vulns/v0.2"

MOST_ARTIFACTS = 200  # read of one image; Defender adds one a day
MOST_SIGNATURES = 16  # read of one artifact
LARGEST_STATEMENT = 8 * 1024 * 1024  # bytes
LARGEST_TOTAL = 64 * 1024 * 1024  # bytes of one image's statements and signatures; beyond this no more are read

_AT_ONCE = 8
_UNUSABLE = (UnreadableAnswer, DigestMismatch, NotFound, OperationFailed)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class SignatureEnvelope:
    """A signature as the registry returned it, unverified.

    :ivar media_type: one of :data:`pratique.evidence.signatures.verify.ENVELOPE_TYPES`
    :ivar digest: of its manifest
    """

    media_type: str
    content: bytes
    digest: str


@dataclass(frozen=True)
class SignedStatement:
    """A findings artifact.

    :ivar statement: the in-toto statement's bytes
    :ivar artifact: descriptor of the artifact's manifest, which the signatures sign
    :ivar signatures: unverified
    :ivar problem: why the statement's bytes could not be had; then there are none
    """

    statement: bytes
    artifact: Descriptor
    signatures: tuple[SignatureEnvelope, ...]
    problem: str = ""


@dataclass(frozen=True)
class Unusable:
    """An artifact, or a signature of one, that was left out.

    :ivar digest: of its manifest; where several were left out, of the newest
    :ivar unread: whether a limit left it out, so that nobody knows what it says
    """

    digest: str
    reason: str
    unread: bool = False


@dataclass(frozen=True)
class _Layer:
    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class _Artifact:
    """The outcome of reading one artifact.

    :ivar cut: a limit was reached, so older artifacts must not be read
    """

    found: tuple[SignedStatement | Unusable, ...]
    cut: bool = False

    @property
    def size(self) -> int:
        return sum(
            len(item.statement) + sum(len(signature.content) for signature in item.signatures)
            for item in self.found
            if isinstance(item, SignedStatement)
        )


async def fetch_findings(client: OciClient, reference: ImageReference) -> list[SignedStatement | Unusable]:
    """The findings artifacts of an image, and those that cannot be used; newest first by their own annotations.

    :param reference: with the digest that was assessed; artifacts are per repository
    :raises NotFound: when the image itself does not exist
    :raises NetworkDenied: when this worker cannot reach the registry
    :raises UnreadableAnswer: when the list of artifacts cannot be read
    :raises TransientError: when another attempt may help
    """
    listed = await client.referrers(reference, IN_TOTO)
    artifacts = _newest_first(
        [item for item in listed if item.annotations.get(PREDICATE_ANNOTATION) == VULNERABILITIES]
    )
    if not artifacts and await client.head(reference) is None:
        raise NotFound("read the findings artifacts", str(reference), "There is no such image.", "Import it again.")
    found: list[SignedStatement | Unusable] = []
    done = size = 0
    while done < len(artifacts):
        batch = artifacts[done : min(done + _AT_ONCE, MOST_ARTIFACTS)]
        for artifact in await asyncio.gather(*(_fetch(client, reference, item.descriptor.digest) for item in batch)):
            found += artifact.found
            done, size = done + 1, size + artifact.size
            if artifact.cut or size > LARGEST_TOTAL or done == MOST_ARTIFACTS:
                return [*found, *_left_out(artifacts[done:])]
    return found


def _newest_first(referrers: Sequence[Referrer]) -> list[Referrer]:
    """By the creation annotation, which the artifact's signature covers; those without a readable one come last."""
    return sorted(referrers, key=_created, reverse=True)


def _created(referrer: Referrer) -> datetime:
    try:
        created = datetime.fromisoformat(referrer.annotations.get(CREATED_ANNOTATION, ""))
        return created.replace(tzinfo=created.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return _LONG_AGO


def _left_out(rest: Sequence[Referrer]) -> list[Unusable]:
    if not rest:
        return []
    return [Unusable(rest[0].descriptor.digest, f"It and {len(rest) - 1} older findings artifacts are not read.", True)]


async def _fetch(client: OciClient, reference: ImageReference, digest: str) -> _Artifact:
    try:
        pinned = _at(reference, digest)
        manifest = await client.manifest(pinned)
        subject = manifest.document.get("subject")
        if not isinstance(subject, dict) or subject.get("digest") != reference.digest:
            raise _unreadable(pinned, "Its subject is not the image that it is attached to.")
        layer = _only_layer(manifest.document, pinned, {IN_TOTO})
    except _UNUSABLE as error:
        return _Artifact((Unusable(digest, error.observed),))
    if layer.size > LARGEST_STATEMENT:
        return _Artifact((Unusable(digest, f"It is larger than {LARGEST_STATEMENT} bytes.", True),), cut=True)
    statement, problem = b"", ""
    try:
        statement = await client.blob(pinned, layer.digest, largest=LARGEST_STATEMENT)
    except _UNUSABLE as error:
        problem = error.observed
    signatures, unusable = await fetch_signatures(client, pinned)
    return _Artifact((SignedStatement(statement, manifest.descriptor, signatures, problem), *unusable))


async def fetch_signatures(
    client: OciClient, artifact: ImageReference
) -> tuple[tuple[SignatureEnvelope, ...], tuple[Unusable, ...]]:
    """The signatures of an artifact, and those that cannot be used.

    They are looked for in the registry's list of referrers and under the referrers tag, which Notation writes for every
    registry. Registries have listed referrers without their type, so those are looked into as well.

    :param artifact: with its digest
    :raises TransientError: when another attempt may help
    """
    try:
        listed = await client.referrers(artifact, tagged=True)
    except _UNUSABLE as error:
        return (), (Unusable(artifact.digest or "", f"Its signatures cannot be listed. {error.observed}"),)
    known = [referrer for referrer in listed if referrer.artifact_type == SIGNATURE]
    candidates = [*known, *(referrer for referrer in listed if not referrer.artifact_type)]
    read = [await fetch_signature(client, artifact, item) for item in candidates[:MOST_SIGNATURES]]
    usable = tuple(item for item in read if isinstance(item, SignatureEnvelope))
    unusable = [item for item in read if isinstance(item, Unusable)]
    if len(candidates) > MOST_SIGNATURES:
        observed = f"It has more than {MOST_SIGNATURES} signatures. The others are not read."
        unusable.append(Unusable(artifact.digest or "", observed))
    return usable, tuple(unusable)


async def fetch_signature(
    client: OciClient, artifact: ImageReference, referrer: Referrer
) -> SignatureEnvelope | Unusable | None:
    """One signature among the referrers of an artifact; ``None`` for a referrer of another type.

    :raises TransientError: when another attempt may help
    """
    digest = referrer.descriptor.digest
    try:
        pinned = _at(artifact, digest)
        document = (await client.manifest(pinned)).document
        if not _is_signature(document):
            return Unusable(digest, "It is not a signature.") if referrer.artifact_type else None
        layer = _only_layer(document, pinned, ENVELOPE_TYPES)
        content = await client.blob(pinned, layer.digest, largest=LARGEST_ENVELOPE)
        return SignatureEnvelope(layer.media_type, content, digest)
    except _UNUSABLE as error:
        return Unusable(digest, f"This signature cannot be read. {error.observed}")


def _is_signature(document: Mapping[str, Any]) -> bool:
    """Whether a manifest is a signature, by its own type or, in the older form, by that of its configuration."""
    config = document.get("config")
    return SIGNATURE in (document.get("artifactType"), config.get("mediaType") if isinstance(config, dict) else None)


def _at(reference: ImageReference, digest: str) -> ImageReference:
    """The reference pinned to a digest. Anything but a digest could make the request's URL lead elsewhere."""
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise _unreadable(reference, "The registry lists it under something other than a SHA-256 digest.")
    return reference.at(digest)


def _only_layer(document: Mapping[str, Any], reference: ImageReference, media_types: Collection[str]) -> _Layer:
    match document.get("layers"):
        case [{"mediaType": str() as media_type, "digest": str() as digest, "size": int() as size}]:
            if media_type in media_types and re.fullmatch(DIGEST_PATTERN, digest):
                return _Layer(media_type, digest, size)
    raise _unreadable(reference, f"It should have one layer of the type {' or '.join(sorted(media_types))}.")


def _unreadable(reference: ImageReference, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer("read the findings artifact", str(reference), observed, "Wait for Defender's next scan.")
