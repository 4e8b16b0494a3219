"""Defender's findings as they hang on an image: an in-toto statement, and the signatures on it.

Nothing is believed here: :mod:`pratique.oci.notation` verifies, :mod:`pratique.findings` reads.

Facts: Defender for Containers, gated deployment; in-toto attestation, predicate ``vulns`` v0.2; Notary Project
signature specification, "OCI Signatures".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pratique.errors import UnreadableAnswer
from pratique.images import ImageReference
from pratique.oci.client import Manifest, OciClient
from pratique.oci.descriptor import Descriptor

IN_TOTO = "application/vnd.in-toto+json"
PREDICATE_ANNOTATION = "in-toto.io/predicate-type"
VULNERABILITIES = "https://in-toto.io/attestation/vulns/v0.2"
SIGNATURE = "application/vnd.cncf.notary.signature"
JWS_ENVELOPE = "application/jose+json"


@dataclass(frozen=True)
class SignedStatement:
    """A findings artifact.

    :ivar statement: the in-toto statement's bytes
    :ivar artifact: descriptor of the artifact's manifest: what the signatures sign
    :ivar signatures: envelopes, each a JWS in JSON; unverified. Signatures of other forms are left out
    """

    statement: bytes
    artifact: Descriptor
    signatures: tuple[bytes, ...]


async def fetch_findings(client: OciClient, reference: ImageReference) -> list[SignedStatement]:
    """The findings artifacts of an image.

    :param reference: with the digest that was assessed; artifacts are per repository
    :raises NetworkDenied: the registry cannot be seen from here
    :raises UnreadableAnswer: an artifact that does not belong to this digest, or is not of one layer
    """
    found = await client.referrers(reference, IN_TOTO)
    wanted = [one.descriptor for one in found if one.annotations.get(PREDICATE_ANNOTATION) == VULNERABILITIES]
    return list(await asyncio.gather(*(_fetch(client, reference, descriptor.digest) for descriptor in wanted)))


async def _fetch(client: OciClient, reference: ImageReference, digest: str) -> SignedStatement:
    place = reference.at(digest)
    manifest, signatures = await asyncio.gather(client.manifest(place), _signatures(client, place))
    _check_subject(manifest, reference)
    statement = await client.blob(place, _only_layer(manifest, place))
    return SignedStatement(statement, manifest.descriptor, signatures)


async def _signatures(client: OciClient, artifact: ImageReference) -> tuple[bytes, ...]:
    found = await client.referrers(artifact, SIGNATURE)

    async def envelopes(digest: str) -> list[bytes]:
        place = artifact.at(digest)
        layers = (await client.manifest(place)).document.get("layers") or []
        return [
            await client.blob(place, str(layer["digest"])) for layer in layers if layer.get("mediaType") == JWS_ENVELOPE
        ]

    listed = await asyncio.gather(*(envelopes(one.descriptor.digest) for one in found))
    return tuple(envelope for some in listed for envelope in some)


def _check_subject(manifest: Manifest, reference: ImageReference) -> None:
    subject: Mapping[str, Any] = manifest.document.get("subject") or {}
    if subject.get("digest") != reference.digest:
        raise _unreadable(reference, f"The artifact {manifest.digest} is about {subject.get('digest')}.")


def _only_layer(manifest: Manifest, place: ImageReference) -> str:
    layers = manifest.document.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or layers[0].get("mediaType") != IN_TOTO:
        raise _unreadable(place, f"It should have one layer of the type {IN_TOTO}.")
    return str(layers[0].get("digest"))


def _unreadable(reference: ImageReference, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer("read the findings artifact", str(reference), observed, "Wait for Defender's next scan.")
