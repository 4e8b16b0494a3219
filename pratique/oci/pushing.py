"""Pushes a small image to a registry, and deletes a repository, a tag or a manifest.

::

    digest = await push(client, reference, empty_image("an example"))
    await delete_repository(client, reference.registry, reference.repository)

Only the drill uses it, to show that an image can bypass the quarantine: the pipeline itself never pushes.

Facts: OCI distribution-spec v1.1, "Pushing a blob in chunks: POST then PUT"; azure-containerregistry 1.2 (``/acr/v1``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx

from pratique.errors import DigestMismatch, NotFound, UnreadableAnswer
from pratique.images import ImageReference, digest_of
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_CONFIG, OCI_MANIFEST
from pratique.oci.transport import Request, base_url

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_EMPTY_TAR = bytes(1024)


@dataclass(frozen=True)
class SmallImage:
    """An image that fits into memory.

    :ivar blobs: configuration and layers
    """

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def empty_image(text: str) -> SmallImage:
    """An image without anything to run. The same text always gives the same bytes.

    :param text: purpose of the image, for its description label
    """
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"org.opencontainers.image.description": text}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(_EMPTY_TAR)]},
        }
    )
    descriptors = [
        {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}
        for media_type, blob in ((OCI_CONFIG, config), (_LAYER, _EMPTY_TAR))
    ]
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptors[0], "layers": descriptors[1:]}
    return SmallImage(_json(manifest), (config, _EMPTY_TAR))


async def push(client: OciClient, reference: ImageReference, image: SmallImage) -> str:
    """Push an image under a tag, as ``docker push`` would. Return its digest.

    :param reference: with a tag
    :raises PermissionDenied: when the identity lacks the right to push
    :raises DigestMismatch: when the registry stored something else
    """
    for blob in image.blobs:
        await _upload(client, reference, blob)
    url = f"{_v2(reference)}/manifests/{reference.tag}"
    request = _push_request(reference, url, method="PUT", content=image.manifest, content_type=OCI_MANIFEST)
    stored = (await client.transport.send(request)).headers.get("Docker-Content-Digest", image.digest)
    if stored != image.digest:
        observed = f"The registry stored it as {stored}."
        raise DigestMismatch("push the image", str(reference), observed, "Do not use this registry.")
    return image.digest


async def delete_repository(client: OciClient, registry: str, repository: str) -> bool:
    """Delete a repository of an Azure registry with everything in it; ``False`` when it does not exist.

    :raises PermissionDenied: when the identity lacks the right to delete, whether or not the repository exists
    :raises Prohibited: when a lock on it, or on anything in it, forbids that
    """
    url = _acr(registry, repository)
    try:
        await client.transport.send(_deletion("repository", f"{registry}/{repository}", registry, repository, url))
    except NotFound:
        return False
    return True


async def delete_tag(client: OciClient, reference: ImageReference) -> None:
    """Delete a tag of an Azure registry, and leave its manifest.

    :param reference: with the tag
    :raises PermissionDenied: when the identity lacks the right to delete
    :raises Prohibited: when a lock forbids it
    """
    url = f"{_acr(reference.registry, reference.repository)}/_tags/{reference.tag}"
    request = _deletion("tag", str(reference), reference.registry, reference.repository, url)
    await client.transport.send(request)


async def delete_manifest(client: OciClient, reference: ImageReference) -> None:
    """Delete a manifest with its tags.

    :param reference: with the digest
    :raises PermissionDenied: when the identity lacks the right to delete
    :raises Prohibited: when a lock forbids it
    """
    url = f"{_v2(reference)}/manifests/{reference.digest}"
    request = _deletion("manifest", str(reference), reference.registry, reference.repository, url)
    await client.transport.send(request)


async def repository_exists(client: OciClient, registry: str, repository: str) -> bool:
    """Whether an Azure registry has a repository with anything in it, tagged or not."""
    request = Request(
        attempted="look up the repository",
        subject=f"{registry}/{repository}",
        registry=registry,
        url=_acr(registry, repository),
        scope=f"repository:{repository}:metadata_read",
    )
    try:
        await client.transport.send(request)
    except NotFound:
        return False
    return True


def _deletion(what: str, subject: str, registry: str, repository: str, url: str) -> Request:
    return Request(
        attempted=f"delete the {what}",
        subject=subject,
        registry=registry,
        url=url,
        scope=f"repository:{repository}:delete",
        method="DELETE",
    )


async def _upload(client: OciClient, reference: ImageReference, blob: bytes) -> None:
    start = _push_request(reference, f"{_v2(reference)}/blobs/uploads/", method="POST", content=b"")
    response = await client.transport.send(start)
    location = httpx.URL(f"{_v2(reference)}/").join(response.headers.get("Location", ""))
    if location.scheme != "https" or location.host != httpx.URL(_v2(reference)).host:
        observed = f"The registry asks to send the blob to another host, {location.host!r}."
        raise UnreadableAnswer("push the image", str(reference), observed, "Report this.")
    url = str(location.copy_merge_params({"digest": digest_of(blob)}))
    await client.transport.send(_push_request(reference, url, method="PUT", content=blob))


def _push_request(
    reference: ImageReference,
    url: str,
    *,
    method: str,
    content: bytes,
    content_type: str = "application/octet-stream",
) -> Request:
    return Request(
        attempted="push the image",
        subject=str(reference),
        registry=reference.registry,
        url=url,
        scope=f"repository:{reference.repository}:pull,push",
        method=method,
        content=content,
        content_type=content_type,
    )


def _v2(reference: ImageReference) -> str:
    return f"{base_url(reference.registry)}/v2/{reference.repository}"


def _acr(registry: str, repository: str) -> str:
    return f"{base_url(registry)}/acr/v1/{repository}"


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
