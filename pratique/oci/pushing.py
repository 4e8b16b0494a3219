"""Puts a small image into a registry, and takes a repository away again.

::

    digest = await push(client, place, empty_image())
    await delete_repository(client, place.registry, place.repository)

Only what proves that others could do the same has a use for it: the pipeline itself never pushes.

Facts: OCI distribution-spec v1.1, "Pushing a blob in chunks: POST then PUT"; azure-containerregistry 1.2 (``/acr/v1``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import httpx

from pratique.errors import AuthenticationFailed, DigestMismatch, NotFound, PermissionDenied, UnreadableAnswer
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_CONFIG, OCI_MANIFEST
from pratique.oci.transport import Request, base_url

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_EMPTY_TAR = bytes(1024)
_PUSH = "Microsoft.ContainerRegistry/registries/push/write"
_PULL = "Microsoft.ContainerRegistry/registries/pull/read"
_DELETE = "Microsoft.ContainerRegistry/registries/artifacts/delete"


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


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def empty_image(text: str) -> SmallImage:
    """An image with nothing in it to run; always the same bytes for the same text.

    :param text: says in a label what it is for
    """
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"org.opencontainers.image.description": text}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(_EMPTY_TAR)]},
        }
    )
    described = [
        {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}
        for media_type, blob in ((OCI_CONFIG, config), (_LAYER, _EMPTY_TAR))
    ]
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": described[1:]}
    return SmallImage(_json(manifest), (config, _EMPTY_TAR))


async def push(client: OciClient, place: ImageReference, image: SmallImage) -> str:
    """Push an image under a tag, as ``docker push`` would. Returns the digest that it got.

    :param place: with a tag
    :raises PermissionDenied: when the identity may not push
    :raises DigestMismatch: when the registry stored something else
    """
    scope = f"repository:{place.repository}:pull,push"
    with_right = Request("push the image", str(place), place.registry, "", scope)
    for blob in image.blobs:
        await _upload(client, place, with_right, blob)
    request = _to(with_right, f"{_v2(place)}/manifests/{place.tag}", "PUT", image.manifest, OCI_MANIFEST)
    stored = (await _allowed(client, request, _PUSH)).headers.get("Docker-Content-Digest", image.digest)
    if stored != image.digest:
        raise DigestMismatch("push the image", str(place), f"It is stored as {stored}.", "Do not use this registry.")
    return image.digest


async def delete_repository(client: OciClient, registry: str, repository: str) -> bool:
    """Delete a repository of an Azure registry with everything in it; ``False`` when there is none.

    :raises PermissionDenied: when the identity may not delete, whether or not there is one
    """
    subject = f"{registry}/{repository}"
    scope = f"repository:{repository}:delete"
    request = Request("delete the repository", subject, registry, _acr(registry, repository), scope, method="DELETE")
    try:
        await _allowed(client, request, _DELETE)
    except NotFound:
        return False
    return True


async def repository_exists(client: OciClient, registry: str, repository: str) -> bool:
    """Whether an Azure registry has a repository with anything in it, tagged or not."""
    scope = f"repository:{repository}:metadata_read"
    subject = f"{registry}/{repository}"
    request = Request("look up the repository", subject, registry, _acr(registry, repository), scope)
    try:
        await _allowed(client, request, _PULL)
    except NotFound:
        return False
    return True


async def _upload(client: OciClient, place: ImageReference, request: Request, blob: bytes) -> None:
    begun = await _allowed(client, _to(request, f"{_v2(place)}/blobs/uploads/", "POST", b""), _PUSH)
    location = httpx.URL(f"{_v2(place)}/").join(begun.headers.get("Location", ""))
    if location.scheme != "https" or location.host != httpx.URL(_v2(place)).host:
        observed = f"It wants the blob on another host, {location.host!r}."
        raise UnreadableAnswer("push the image", str(place), observed, "Report this.")
    url = str(location.copy_merge_params({"digest": digest_of(blob)}))
    await _allowed(client, _to(request, url, "PUT", blob), _PUSH)


async def _allowed(client: OciClient, request: Request, action: str) -> httpx.Response:
    """Azure's registries refuse a missing right like a missing login: say which right it is."""
    try:
        return await client.transport.send(request)
    except (AuthenticationFailed, PermissionDenied) as error:
        remedy = f"Give the worker's identity a role with {action} on the registry."
        raise PermissionDenied(error.attempted, error.subject, error.observed, remedy) from None


def _to(
    request: Request, url: str, method: str, content: bytes, content_type: str = "application/octet-stream"
) -> Request:
    return Request(
        request.attempted,
        request.subject,
        request.registry,
        url,
        request.scope,
        method=method,
        content=content,
        content_type=content_type,
    )


def _v2(place: ImageReference) -> str:
    return f"{base_url(place.registry)}/v2/{place.repository}"


def _acr(registry: str, repository: str) -> str:
    return f"{base_url(registry)}/acr/v1/{repository}"


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
