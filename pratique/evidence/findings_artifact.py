"""Reads the findings artifacts attached to an image: in-toto statements, and the signatures on them.

Nothing is trusted here: :mod:`.signatures` verifies, :mod:`.parsers` reads.

Anybody who can push can attach an artifact to an image. An unreadable artifact therefore does not hide any other, and
the amount that is read is limited. Artifacts are read newest first; where a limit leaves one out, all older ones are
left out too. A flood of artifacts can remove proof, but it cannot make an old statement look like the latest, and it
cannot hide findings: whatever the registry lists and nobody could read leaves a doubt.

Registries have listed artifacts without type or annotations, or under the referrers tag only. Both are therefore taken
from the manifest where the list lacks them.

Facts: Defender for Containers, gated deployment; in-toto attestation, predicate ``vulns`` v0.2; Azure/acr 784.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pratique.errors import NotFound
from pratique.evidence.content_store import ContentStore, fetch_blob, fetch_manifest
from pratique.evidence.signature_artifacts import (
    UNUSABLE,
    Layer,
    SignatureEnvelope,
    Unusable,
    fetch_signatures,
    layers_of,
    only_layer,
    pin,
    types_of,
)
from pratique.images import Descriptor, ImageReference
from pratique.oci.client import Manifest, OciClient
from pratique.oci.media_types import IMAGE_CONFIGS
from pratique.oci.referrers import Referrer, Referrers, list_referrers

IN_TOTO = "application/vnd.in-toto+json"
PREDICATE_ANNOTATION = "in-toto.io/predicate-type"
CREATED_ANNOTATION = "org.opencontainers.image.created"
VULNERABILITIES = "https://in-toto.io/attestation/vulns/v0.2"

MOST_ARTIFACTS = 200  # read of one image; Defender adds one a day
MOST_LAYERS = 4  # read of one artifact
LARGEST_STATEMENT = 8 * 1024 * 1024  # bytes of one artifact's layers
LARGEST_TOTAL = 64 * 1024 * 1024  # bytes of one image's statements and signatures; beyond this no more are read

_AT_ONCE = 8
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
#: The annotation's beginning, in every version of the predicate.
_ANY_VERSION = VULNERABILITIES.rpartition("/")[0]
#: Listed types of artifacts that may be findings. A manifest without a type is listed with its configuration's.
_TYPES = frozenset({"", IN_TOTO, "application/vnd.oci.empty.v1+json", *IMAGE_CONFIGS})


@dataclass(frozen=True)
class SignedStatement:
    """A layer of a findings artifact.

    :ivar statement: the in-toto statement's bytes
    :ivar artifact: descriptor of the artifact's manifest, which the signatures sign
    :ivar signatures: unverified
    :ivar flaw: why it can prove nothing, whatever it says; empty for an artifact of the usual form
    :ivar labelled: whether an annotation says that it is about vulnerabilities; else only its content does
    :ivar signers_unknown: whether it has signatures that could not be read
    """

    statement: bytes
    artifact: Descriptor
    signatures: tuple[SignatureEnvelope, ...]
    flaw: str = ""
    labelled: bool = True
    signers_unknown: bool = False


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


async def fetch_findings(
    client: OciClient,
    reference: ImageReference,
    listed: Referrers | None = None,
    store: ContentStore | None = None,
) -> list[SignedStatement | Unusable]:
    """The findings artifacts of an image, and those that cannot be used; newest first by their own annotations.

    :param reference: with the digest that was assessed; artifacts are per repository
    :param listed: its referrers, from both lists; by default they are listed
    :param store: contents that need no download; which artifacts there are is always asked
    :raises NotFound: when the image itself does not exist
    :raises NetworkDenied: when this worker cannot reach the registry
    :raises UnreadableAnswer: when the list of artifacts cannot be read, or not to its end
    :raises TransientError: when another attempt may help
    """
    listed = listed or await list_referrers(client, reference)
    artifacts = sorted(filter(_may_be_findings, listed.found), key=_created, reverse=True)
    if not artifacts and await client.head(reference) is None:
        raise NotFound("read the findings artifacts", str(reference), "There is no such image.", "Import it again.")
    found: list[SignedStatement | Unusable] = []
    if listed.problem:
        observed = f"The list under the image's referrers tag cannot be read. {listed.problem}"
        found.append(Unusable(reference.digest or "", observed, unread=True))
    done = size = 0
    while done < len(artifacts):
        batch = artifacts[done : min(done + _AT_ONCE, MOST_ARTIFACTS)]
        for artifact in await asyncio.gather(*(_fetch(client, reference, item, store) for item in batch)):
            found += artifact.found
            done, size = done + 1, size + artifact.size
            if artifact.cut or size > LARGEST_TOTAL or done == MOST_ARTIFACTS:
                return [*found, *_left_out(artifacts[done:])]
    return found


def _may_be_findings(referrer: Referrer) -> bool:
    predicate = referrer.annotations.get(PREDICATE_ANNOTATION)
    return referrer.artifact_type in _TYPES if predicate is None else predicate.startswith(_ANY_VERSION)


def _created(referrer: Referrer) -> datetime:
    """The creation annotation, which the artifact's signature covers; long ago without a readable one."""
    try:
        created = datetime.fromisoformat(referrer.annotations.get(CREATED_ANNOTATION, ""))
        return created.replace(tzinfo=created.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return _LONG_AGO


def _is_dated(referrer: Referrer) -> bool:
    return _created(referrer) > _LONG_AGO


def _left_out(rest: Sequence[Referrer]) -> list[Unusable]:
    if not rest:
        return []
    observed = f"It and {len(rest) - 1} older findings artifacts are not read."
    return [Unusable(rest[0].descriptor.digest, observed, unread=True, older=all(map(_is_dated, rest)))]


async def _fetch(
    client: OciClient, reference: ImageReference, referrer: Referrer, store: ContentStore | None
) -> _Artifact:
    digest = referrer.descriptor.digest
    try:
        pinned = pin(reference, digest)
        manifest = await fetch_manifest(client, pinned, store)
    except UNUSABLE as error:
        return _Artifact((Unusable(digest, error.observed, unread=True),))
    labels = list(_labels(manifest.document))
    layers = layers_of(manifest.document)
    if not _is_about_findings(manifest.document, labels, layers):
        return _Artifact(())
    if sum(layer.size for layer in layers) > LARGEST_STATEMENT:
        observed = f"It is larger than {LARGEST_STATEMENT} bytes."
        return _Artifact((Unusable(digest, observed, unread=True, older=_is_dated(referrer)),), cut=True)
    contents, unread = await _contents(client, pinned, layers, store)
    signatures, unusable = await fetch_signatures(client, pinned, store)
    if not _names(manifest.document, reference):
        flaw, signatures = "Its subject is not the image that it is attached to.", ()
    else:
        flaw = _flaw(manifest)
    statements = [
        SignedStatement(content, manifest.descriptor, signatures, flaw, bool(labels), bool(unusable))
        for content in (contents if contents or unread else [b""])
    ]
    return _Artifact((*statements, *unread, *unusable))


def _labels(document: Mapping[str, Any]) -> Iterator[str]:
    """The types of predicate that the annotations of a manifest and of its layers name."""
    layers = document.get("layers")
    for part in (document, *(layers if isinstance(layers, list) else ())):
        annotations = part.get("annotations") if isinstance(part, dict) else None
        label = annotations.get(PREDICATE_ANNOTATION) if isinstance(annotations, dict) else None
        if isinstance(label, str):
            yield label


def _is_about_findings(document: Mapping[str, Any], labels: Sequence[str], layers: Sequence[Layer]) -> bool:
    """Whether a manifest is a findings artifact, as far as it says."""
    if labels:
        return any(label.startswith(_ANY_VERSION) for label in labels)
    return IN_TOTO in types_of(document) or any(layer.media_type == IN_TOTO for layer in layers)


def _names(document: Mapping[str, Any], reference: ImageReference) -> bool:
    """Whether the reference is the subject of the manifest."""
    subject = document.get("subject")
    return isinstance(subject, dict) and subject.get("digest") == reference.digest


def _flaw(manifest: Manifest) -> str:
    layer = only_layer(manifest.document)
    return "" if layer and layer.media_type == IN_TOTO else f"It should have one layer of the type {IN_TOTO}."


async def _contents(
    client: OciClient, artifact: ImageReference, layers: Sequence[Layer], store: ContentStore | None
) -> tuple[list[bytes], list[Unusable]]:
    """What the layers of an artifact hold, whatever their type, and those that could not be had."""
    contents: list[bytes] = []
    unread: list[Unusable] = []
    digest = artifact.digest or ""
    for layer in layers[:MOST_LAYERS]:
        try:
            largest = LARGEST_STATEMENT - sum(map(len, contents))
            contents.append(await fetch_blob(client, artifact, layer.digest, store, largest=largest))
        except UNUSABLE as error:
            unread.append(Unusable(digest, error.observed, unread=True))
    if len(layers) > MOST_LAYERS:
        unread.append(Unusable(digest, f"It has more than {MOST_LAYERS} layers.", unread=True))
    return contents, unread
