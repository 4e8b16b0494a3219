"""Reads the signatures of an artifact in a registry, unverified (:mod:`.signatures` verifies them).

Anybody who can push can attach one. An unreadable signature therefore does not hide any other, and the number that is
read is limited.

Facts: Notary Project signature specification, "OCI Signatures".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pratique.errors import DigestMismatch, NotFound, OperationFailed, UnreadableAnswer
from pratique.evidence.content_store import ContentStore, fetch_blob, fetch_manifest
from pratique.evidence.signatures.envelope import ARTIFACT_TYPE as SIGNATURE
from pratique.evidence.signatures.envelope import LARGEST as LARGEST_ENVELOPE
from pratique.evidence.signatures.verify import ENVELOPE_TYPES
from pratique.images import DIGEST_PATTERN, ImageReference
from pratique.oci.client import OciClient
from pratique.oci.referrers import Referrer, list_referrers

MOST_SIGNATURES = 16  # read of one artifact

#: What a registry may answer for one part of what it lists, so that this part cannot be used.
UNUSABLE = (UnreadableAnswer, DigestMismatch, NotFound, OperationFailed)


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
class Unusable:
    """An artifact, or a signature of one, that was left out.

    :ivar digest: of its manifest; where several were left out, of the newest
    :ivar unread: whether nobody knows what it says
    :ivar older: whether it is older than everything that was read
    """

    digest: str
    reason: str
    unread: bool = False
    older: bool = False


@dataclass(frozen=True)
class Layer:
    media_type: str
    digest: str
    size: int


async def fetch_signatures(
    client: OciClient, artifact: ImageReference, store: ContentStore | None = None
) -> tuple[tuple[SignatureEnvelope, ...], tuple[Unusable, ...]]:
    """The signatures of an artifact, and those that cannot be used.

    Registries have listed referrers without their type, so those are looked into as well.

    :param artifact: with its digest
    :param store: contents that need no download
    :raises TransientError: when another attempt may help
    """
    own = artifact.digest or ""
    try:
        listed = await list_referrers(client, artifact)
    except UNUSABLE as error:
        return (), (Unusable(own, f"Its signatures cannot be listed. {error.observed}"),)
    known = [referrer for referrer in listed.found if referrer.artifact_type == SIGNATURE]
    candidates = [*known, *(referrer for referrer in listed.found if not referrer.artifact_type)]
    read = [await fetch_signature(client, artifact, item, store) for item in candidates[:MOST_SIGNATURES]]
    usable = tuple(item for item in read if isinstance(item, SignatureEnvelope))
    unusable = [item for item in read if isinstance(item, Unusable)]
    if listed.problem:
        unusable.append(Unusable(own, f"Its signatures under the referrers tag cannot be listed. {listed.problem}"))
    if len(candidates) > MOST_SIGNATURES:
        unusable.append(Unusable(own, f"It has more than {MOST_SIGNATURES} signatures. The others are not read."))
    return usable, tuple(unusable)


async def fetch_signature(
    client: OciClient, artifact: ImageReference, referrer: Referrer, store: ContentStore | None = None
) -> SignatureEnvelope | Unusable | None:
    """One signature among the referrers of an artifact; ``None`` for a referrer of another type.

    :param store: contents that need no download
    :raises TransientError: when another attempt may help
    """
    digest = referrer.descriptor.digest
    try:
        pinned = pin(artifact, digest)
        document = (await fetch_manifest(client, pinned, store)).document
        if SIGNATURE not in types_of(document):
            return Unusable(digest, "It is not a signature.") if referrer.artifact_type else None
        layer = only_layer(document)
        if layer is None or layer.media_type not in ENVELOPE_TYPES:
            observed = f"It should have one layer of the type {' or '.join(sorted(ENVELOPE_TYPES))}."
            return Unusable(digest, f"This signature cannot be read. {observed}")
        content = await fetch_blob(client, pinned, layer.digest, store, largest=LARGEST_ENVELOPE)
        return SignatureEnvelope(layer.media_type, content, digest)
    except UNUSABLE as error:
        return Unusable(digest, f"This signature cannot be read. {error.observed}")


def pin(reference: ImageReference, digest: str) -> ImageReference:
    """The reference pinned to a digest. Anything but a digest could make the request's URL lead elsewhere.

    :raises UnreadableAnswer: when it is not a digest
    """
    if re.fullmatch(DIGEST_PATTERN, digest):
        return reference.at(digest)
    observed = "The registry lists it under something other than a SHA-256 digest."
    raise UnreadableAnswer("read an attestation", str(reference), observed, "Wait for the next scan.")


def types_of(document: Mapping[str, Any]) -> tuple[object, object]:
    """The types that a manifest states: its own and, in the older form, that of its configuration."""
    config = document.get("config")
    return document.get("artifactType"), config.get("mediaType") if isinstance(config, dict) else None


def layers_of(document: Mapping[str, Any]) -> list[Layer]:
    """The layers of a manifest whose descriptors can be used."""
    listed = document.get("layers")
    found: list[Layer] = []
    for layer in listed if isinstance(listed, list) else ():
        match layer:
            case {"mediaType": str() as media_type, "digest": str() as digest, "size": int() as size}:
                if re.fullmatch(DIGEST_PATTERN, digest) and size >= 0:
                    found.append(Layer(media_type, digest, size))
    return found


def only_layer(document: Mapping[str, Any]) -> Layer | None:
    """The layer of a manifest that lists nothing else."""
    layers = layers_of(document)
    listed = document.get("layers")
    return layers[0] if isinstance(listed, list) and len(listed) == len(layers) == 1 else None
