"""A client for the OCI distribution API: public registries and Azure's differ only in how they authenticate.

::

    client = OciClient(http, Authenticator(http))
    image = await client.resolve(ImageReference.parse("docker.io/library/busybox:1.37.0"))
    image.digest, [platform.platform for platform in image.platforms]

Whatever is asked for by digest is hashed before it is believed.

Facts: OCI distribution-spec v1.1; OCI image-spec v1.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from pratique.errors import DigestMismatch, NotFound, PermissionDenied, UnreadableAnswer
from pratique.images import DIGEST_PATTERN, Descriptor, ImageReference, PlatformManifest, ResolvedImage
from pratique.oci.auth import Authenticator, Login
from pratique.oci.media_types import ACCEPT, IMAGE_CONFIGS, INDEXES, MANIFESTS, OCI_INDEX, platform_name, runnable
from pratique.oci.transport import LARGEST_MANIFEST, Request, Transport, base_url

LARGEST_BLOB = 64 * 1024 * 1024  # bytes; configurations and findings, never layers
MOST_PAGES = 100  # of a list of referrers


@dataclass(frozen=True)
class Manifest:
    """A manifest or index, its bytes and what they say.

    :ivar digest: SHA-256 of the bytes
    """

    media_type: str
    digest: str
    content: bytes
    document: dict[str, Any]

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.content))


@dataclass(frozen=True)
class Referrer:
    """A manifest that refers to another one as its subject."""

    descriptor: Descriptor
    artifact_type: str
    annotations: dict[str, str]


class OciClient:
    """Reads from any registry.

    :param http: shared by the process
    :ivar transport: for what is more than reading (:mod:`pratique.oci.pushing`)
    """

    def __init__(self, http: httpx.AsyncClient, auth: Authenticator) -> None:
        self.transport = Transport(http, auth)

    async def ping(self, registry: str) -> None:
        """Check that the registry lets this worker in.

        :raises PratiqueError: when it does not
        """
        await self.transport.send(Request("reach the registry", registry, registry, f"{base_url(registry)}/v2/"))

    async def docker_login(self, registry: str) -> Login:
        """With what another program signs in to the registry, for as long as a run takes; see :mod:`pratique.oci.auth`.

        :raises AuthenticationFailed: when there is nothing to sign in with
        """
        return await self.transport.docker_login(registry)

    async def resolve(self, reference: ImageReference) -> ResolvedImage:
        """What a reference stands for now: its digest and the images that can be run.

        :raises NotFound: no such repository, tag or digest
        :raises DigestMismatch: the bytes are not what the registry, or the reference, says
        :raises UnreadableAnswer: it is no image
        """
        found = await self.manifest(reference)
        if found.media_type not in INDEXES:
            only = PlatformManifest(await self._platform(reference, found), found.digest)
            return ResolvedImage(reference, found.digest, (only,))
        entries = _descriptors(found.document, reference)
        platforms = tuple(filter(None, (_platform_manifest(entry, reference) for entry in entries)))
        if not platforms:
            raise _no_image(reference, "It lists nothing that can be run.")
        return ResolvedImage(reference, found.digest, platforms, len(entries) - len(platforms))

    async def manifest(self, reference: ImageReference) -> Manifest:
        """The manifest or index of a tag, or of a digest where the reference has one.

        :raises DigestMismatch: the bytes are not what the registry, or the reference, says
        """
        answer = await self.transport.send(_manifest_request("read the manifest", reference))
        digest = _digest(answer.content)
        for claimed in (reference.digest, answer.headers.get("Docker-Content-Digest")):
            if claimed and claimed != digest:
                raise _mismatch(reference, claimed, digest)
        media_type = answer.headers.get("Content-Type", "").split(";")[0].strip()
        document = _json(answer, reference)
        if media_type not in INDEXES | MANIFESTS or document.get("mediaType", media_type) != media_type:
            raise _no_image(reference, f"It is of the type {media_type!r}.")
        return Manifest(media_type, digest, answer.content, document)

    async def head(self, reference: ImageReference) -> str | None:
        """The digest of a tag, without its manifest; ``None`` when the registry has none of that name."""
        try:
            answer = await self.transport.send(
                replace(_manifest_request("look up the image", reference), method="HEAD")
            )
            digest = str(answer.headers.get("Docker-Content-Digest", ""))
            if re.fullmatch(DIGEST_PATTERN, digest):
                return digest
        except NotFound:
            return None
        except PermissionDenied:
            pass  # the refusal of a HEAD has no body, so only a GET tells a closed network from a missing right
        try:
            return (await self.manifest(reference)).digest
        except NotFound:
            return None

    async def referrers(self, reference: ImageReference, artifact_type: str) -> list[Referrer]:
        """What refers to a digest, of one artifact type.

        :param reference: with a digest
        :raises UnreadableAnswer: when the registry does not come to an end, or lists what is no descriptor
        """
        path = f"referrers/{_version(reference)}"
        request = _request("list the referrers", reference, path, accept=OCI_INDEX)
        url = str(httpx.URL(request.url, params={"artifactType": artifact_type}))
        entries: list[dict[str, Any]] = []
        for _ in range(MOST_PAGES):
            try:
                answer = await self.transport.send(replace(request, url=url))
            except NotFound:
                # A registry without the referrers API: the same index under a tag (distribution-spec, "Referrers Tag").
                entries += await self._tagged_referrers(reference)
                break
            entries += _descriptors(_json(answer, reference), reference)
            following = _next(answer, reference)
            if following is None:
                break
            url = following
        else:
            raise _no_image(reference, f"Its referrers fill more than {MOST_PAGES} pages.")
        return [_referrer(entry, reference) for entry in entries if entry.get("artifactType") == artifact_type]

    async def blob(self, reference: ImageReference, digest: str, *, largest: int = LARGEST_BLOB) -> bytes:
        """A blob of the reference's repository.

        :param largest: bytes that are read at most
        :raises UnreadableAnswer: when there are more
        :raises DigestMismatch: the bytes are something else
        """
        request = _request("read the blob", reference, f"blobs/{digest}", accept="*/*", largest=largest)
        content = (await self.transport.send(request)).content
        if _digest(content) != digest:
            raise _mismatch(reference, digest, _digest(content))
        return content

    async def acr(
        self, attempted: str, reference: str, url: str, scope: str, *, changes: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], str | None]:
        """Ask an Azure registry's own API, which others do not have: the answer, and the URL of its next page.

        :param reference: what errors call the subject
        :param url: below ``https://<login server>/acr/v1/``
        :param changes: attributes to change
        """
        request = Request(attempted, reference, httpx.URL(url).host, url, scope)
        if changes is not None:
            content = json.dumps(changes).encode()
            request = replace(request, method="PATCH", content=content, content_type="application/json")
        answer = await self.transport.send(request)
        return _json(answer, reference), _next(answer, reference)

    async def _tagged_referrers(self, reference: ImageReference) -> list[dict[str, Any]]:
        tag = _version(reference).replace(":", "-")
        fallback = ImageReference(reference.registry, reference.repository, tag)
        try:
            return _descriptors((await self.manifest(fallback)).document, reference)
        except NotFound:
            return []

    async def _platform(self, reference: ImageReference, found: Manifest) -> str:
        config = found.document.get("config") or {}
        if config.get("mediaType") not in IMAGE_CONFIGS:
            raise _no_image(reference, f"Its configuration is of the type {config.get('mediaType')!r}.")
        try:
            platform = platform_name(json.loads(await self.blob(reference, str(config.get("digest")))))
        except (ValueError, AttributeError, RecursionError):
            platform = None
        if platform is None:
            raise _no_image(reference, "Its configuration names no platform.")
        return platform


def _request(
    attempted: str, reference: ImageReference, path: str, *, accept: str, largest: int = LARGEST_MANIFEST
) -> Request:
    url = f"{base_url(reference.registry)}/v2/{reference.repository}/{path}"
    scope = f"repository:{reference.repository}:pull"
    return Request(attempted, str(reference), reference.registry, url, scope, accept, largest)


def _manifest_request(attempted: str, reference: ImageReference) -> Request:
    return _request(attempted, reference, f"manifests/{_version(reference)}", accept=ACCEPT)


def _version(reference: ImageReference) -> str:
    return reference.digest or reference.tag or ""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(answer: httpx.Response, reference: ImageReference | str) -> dict[str, Any]:
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _no_image(reference, "The registry did not answer with a JSON object.")
    return document


def _next(answer: httpx.Response, reference: ImageReference | str) -> str | None:
    """URL of the next page; on the same host only, because the token goes along."""
    link = answer.links.get("next", {}).get("url")
    if link is None:
        return None
    url = answer.request.url.join(link)
    if (url.scheme, url.netloc) != (answer.request.url.scheme, answer.request.url.netloc):
        raise _no_image(reference, f"The next page is on another host, {url.host}.")
    return str(url)


def _descriptors(index: Mapping[str, Any], reference: ImageReference) -> list[dict[str, Any]]:
    entries = index.get("manifests") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _no_image(reference, "It is no list of descriptors.")
    return entries


def _platform_manifest(entry: Mapping[str, Any], reference: ImageReference) -> PlatformManifest | None:
    try:
        platform = runnable(entry)
    except (AttributeError, TypeError):
        raise _no_image(reference, "Its index has an entry that is no descriptor.") from None
    if platform is None:
        return None
    digest = entry.get("digest")
    if not isinstance(digest, str) or not re.fullmatch(DIGEST_PATTERN, digest):
        raise _no_image(reference, f"Its index names {digest!r:.100} for {platform}.")
    return PlatformManifest(platform, digest)


def _referrer(entry: Mapping[str, Any], reference: ImageReference) -> Referrer:
    try:
        descriptor = Descriptor(str(entry["mediaType"]), str(entry["digest"]), int(entry["size"]))
        return Referrer(descriptor, str(entry["artifactType"]), _annotations(entry.get("annotations")))
    except (KeyError, TypeError, ValueError):
        raise _no_image(reference, "The list of referrers has an entry that is no descriptor.") from None


def _annotations(annotations: object) -> dict[str, str]:
    """Those that are as the specification wants them: what one pusher wrote must not make the others unreadable."""
    pairs = annotations.items() if isinstance(annotations, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}


def _no_image(reference: ImageReference | str, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer("read the image", str(reference), observed, "Check that the reference names an image.")


def _mismatch(reference: ImageReference, claimed: str, digest: str) -> DigestMismatch:
    return DigestMismatch(
        "verify the digest", str(reference), f"It should be {claimed} and is {digest}.", "Do not use this registry."
    )
