"""A client for the OCI distribution API. Public and Azure registries differ only in their authentication.

::

    client = OciClient(http, Authenticator(http))
    image = await client.resolve(ImageReference.parse("docker.io/library/busybox:1.37.0"))
    image.digest, [platform.platform for platform in image.platforms]

Content that is requested by digest is hashed before it is used.

Facts: OCI distribution-spec v1.1; OCI image-spec v1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from pratique.errors import NotFound, NothingToRun, OperationFailed, PermissionDenied, UnreadableAnswer
from pratique.http_answers import is_web_page
from pratique.images import DIGEST_PATTERN, Descriptor, ImageReference, ResolvedImage, digest_of
from pratique.oci.auth import Authenticator, Login
from pratique.oci.documents import Ambiguous, NoImages
from pratique.oci.faults import other_digest, web_page
from pratique.oci.index import Content, read_image
from pratique.oci.media_types import ACCEPT, INDEXES, MANIFESTS, NONDISTRIBUTABLE
from pratique.oci.transport import ANY_TYPE, LARGEST_MANIFEST, Request, Transport, base_url

LARGEST_BLOB = 64 * 1024 * 1024  # bytes; enough for findings; layers are never read
LARGEST_CONFIG = 8 * 1024 * 1024  # bytes of an image's configuration


@dataclass(frozen=True)
class Manifest:
    """A manifest or index: its bytes and the parsed document.

    :ivar digest: SHA-256 of the bytes
    """

    media_type: str
    digest: str
    content: bytes
    document: dict[str, Any]

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.content))

    @property
    def blobs(self) -> tuple[str, ...]:
        """Digests of the configuration and the layers that a registry has to have; none for an index."""
        config, layers = self.document.get("config"), self.document.get("layers")
        if self.media_type in INDEXES:
            return ()
        named = [part for part in (config, *(layers if isinstance(layers, list) else ())) if isinstance(part, dict)]
        needed = [part.get("digest") for part in named if part.get("mediaType") not in NONDISTRIBUTABLE]
        return tuple(dict.fromkeys(digest for digest in needed if isinstance(digest, str)))


class OciClient:
    """Reads from any registry.

    :param http: shared by the process
    :ivar transport: for requests that write (:mod:`pratique.oci.pushing`)
    """

    def __init__(self, http: httpx.AsyncClient, auth: Authenticator) -> None:
        self.transport = Transport(http, auth)

    async def ping(self, registry: str) -> None:
        """Check that this worker can reach the registry and sign in.

        :raises PratiqueError: when it cannot
        """
        url = f"{base_url(registry)}/v2/"
        await self.transport.send(Request(attempted="reach the registry", subject=registry, registry=registry, url=url))

    async def docker_login(self, registry: str) -> Login:
        """A login for another program, valid for as long as a run takes; see :mod:`pratique.oci.auth`.

        :raises AuthenticationFailed: when there are no credentials for the registry
        """
        return await self.transport.docker_login(registry)

    async def resolve(self, reference: ImageReference, platforms: Collection[str] | None = None) -> ResolvedImage:
        """Resolve a reference to its current digest and its runnable images.

        :param platforms: as :func:`pratique.oci.index.read_image`: each manifest that is read may count as a pull
        :raises NotFound: when there is no such repository, tag or digest
        :raises DigestMismatch: when the bytes do not match the digest of the registry or of the reference
        :raises UnreadableAnswer: when it is not an image, or not the same image to every reader
        """
        found = await self.manifest(reference)
        try:
            contents = await read_image(
                _Repository(self, reference), found.digest, Content(found.media_type, found.content), platforms
            )
        except NoImages as error:
            raise _not_an_image(reference, str(error), NothingToRun) from None
        except Ambiguous as error:
            raise _not_an_image(reference, str(error)) from None
        return ResolvedImage(reference, found.digest, contents.platforms, contents.others, contents.digests)

    async def manifest(self, reference: ImageReference) -> Manifest:
        """The manifest or index of a tag, or of a digest where the reference has one.

        :raises DigestMismatch: when the bytes do not match the digest of the registry or of the reference
        """
        response = await self.transport.send(_manifest_request("read the manifest", reference))
        digest = digest_of(response.content)
        for claimed in (reference.digest, response.headers.get("Docker-Content-Digest")):
            if claimed and claimed != digest:
                raise other_digest(reference, claimed, response.content)
        media_type = response.headers.get("Content-Type", "").split(";")[0].strip()
        document = json_object(response, reference)
        if media_type not in INDEXES | MANIFESTS or document.get("mediaType", media_type) != media_type:
            raise _not_an_image(reference, f"It is of the type {media_type!r}.")
        return Manifest(media_type, digest, response.content, document)

    async def head(self, reference: ImageReference) -> str | None:
        """The digest of a tag, without its manifest; ``None`` when the registry has no such tag."""
        request = replace(_manifest_request("look up the image", reference), method="HEAD")
        try:
            response = await self.transport.send(request)
            digest = str(response.headers.get("Docker-Content-Digest", ""))
            if re.fullmatch(DIGEST_PATTERN, digest):
                return digest
        except NotFound:
            return None
        except (OperationFailed, PermissionDenied):
            pass  # a rejected HEAD has no body: only a GET tells a closed network, a missing right and a lock apart
        try:
            return (await self.manifest(reference)).digest
        except NotFound:
            return None

    async def blob(self, reference: ImageReference, digest: str, *, largest: int = LARGEST_BLOB) -> bytes:
        """A blob of the reference's repository.

        :param largest: number of bytes to read at most
        :raises UnreadableAnswer: when the blob is larger
        :raises DigestMismatch: when the bytes do not match the digest
        """
        request = _request("read the blob", reference, f"blobs/{digest}", accept=ANY_TYPE, largest=largest)
        response = await self.transport.send(request)
        if digest_of(response.content) != digest:
            if is_web_page(response):
                raise web_page(response, request.attempted, request.subject)
            raise other_digest(reference, digest, response.content)
        return response.content

    async def has_blob(self, reference: ImageReference, digest: str) -> bool:
        """Whether the reference's repository has a blob. Nothing of it is downloaded."""
        request = _request("look up the blob", reference, f"blobs/{digest}", accept=ANY_TYPE)
        try:
            # A registry that redirects, as to its storage, has the blob.
            await self.transport.send(replace(request, method="HEAD", follow=False))
        except NotFound:
            return False
        return True

    async def acr(
        self, attempted: str, reference: str, url: str, scope: str, *, changes: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], str | None]:
        """Call the API that only Azure's registries have. Return the response, and the URL of the next page.

        :param reference: subject of errors
        :param url: below ``https://<login server>/acr/v1/``
        :param changes: attributes to change
        """
        request = Request(attempted=attempted, subject=reference, registry=httpx.URL(url).host, url=url, scope=scope)
        if changes is not None:
            content = json.dumps(changes).encode()
            request = replace(request, method="PATCH", content=content, content_type="application/json")
        response = await self.transport.send(request)
        return json_object(response, reference), next_page(response, reference)


@dataclass(frozen=True)
class _Repository:
    """A :class:`pratique.oci.index.Source`: the repository of a reference."""

    client: OciClient
    reference: ImageReference

    async def manifest(self, digest: str) -> Content:
        found = await self.client.manifest(self.reference.at(digest))
        return Content(found.media_type, found.content)

    async def config(self, digest: str) -> bytes:
        return await self.client.blob(self.reference, digest, largest=LARGEST_CONFIG)


def _request(
    attempted: str, reference: ImageReference, path: str, *, accept: str, largest: int = LARGEST_MANIFEST
) -> Request:
    return Request(
        attempted=attempted,
        subject=str(reference),
        registry=reference.registry,
        url=f"{base_url(reference.registry)}/v2/{reference.repository}/{path}",
        scope=f"repository:{reference.repository}:pull",
        accept=accept,
        largest=largest,
    )


def _manifest_request(attempted: str, reference: ImageReference) -> Request:
    return _request(attempted, reference, f"manifests/{_version(reference)}", accept=ACCEPT)


def _version(reference: ImageReference) -> str:
    return reference.digest or reference.tag or ""


def json_object(response: httpx.Response, reference: ImageReference | str) -> dict[str, Any]:
    """The JSON object that a registry answered.

    :param reference: subject of errors
    :raises UnreadableAnswer: when it is none
    """
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _not_an_image(reference, "The registry's response is not a JSON object.")
    return document


def next_page(response: httpx.Response, reference: ImageReference | str) -> str | None:
    """The URL of the next page, if there is one.

    :param reference: subject of errors
    :raises UnreadableAnswer: when it is on another host: the token is sent with the request
    """
    link = response.links.get("next", {}).get("url")
    if link is None:
        return None
    try:
        url = response.request.url.join(link)
    except httpx.InvalidURL:
        raise _not_an_image(reference, f"The next page has no valid address: {link!r:.100}.") from None
    if (url.scheme, url.netloc) != (response.request.url.scheme, response.request.url.netloc):
        raise _not_an_image(reference, f"The next page is on another host, {url.host}.")
    return str(url)


def _not_an_image(
    reference: ImageReference | str, observed: str, error: type[UnreadableAnswer] = UnreadableAnswer
) -> UnreadableAnswer:
    return error(
        "read the image",
        str(reference),
        observed,
        "Check that the reference names an image. If its index is at fault, name the manifest of one platform by its "
        "digest in the catalogue (…:tag@sha256:…).",
    )
