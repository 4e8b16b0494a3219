"""The OCI distribution API v1.1 that all registries of the sandbox share: common parts, and the routes that read.

A :class:`RegistryBackend` supplies what differs between registries: content, authorization and logging. Routes are
added to a service once (those that write: :mod:`sandbox.services.oci.pushing`)::

    service = Service("ghcr", ("ghcr.io",))
    add_pulling(service, Ghcr())

Blobs and manifests are served directly, without the redirects to storage hosts of large registries.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from starlette.responses import Response

from sandbox.core.routing import Call, Handler, Service, answer
from sandbox.services.oci.errors import ManifestUnknown
from sandbox.services.oci.manifests import OCI_INDEX, Manifest
from sandbox.services.oci.store import RegistryStore
from sandbox.services.oci.uploads import Uploads

Action = Literal["pull", "push", "delete", "metadata_read", "metadata_write", "catalog"]

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
REFERRERS_PAGE = 100
CATALOG_PAGE = 100


class RegistryBackend:
    """The registry-specific part of the API."""

    def store(self, call: Call) -> RegistryStore:
        """The content behind the requested host."""
        raise NotImplementedError

    def uploads(self, call: Call) -> Uploads:
        """The open uploads to that content, for registries that accept pushes."""
        raise NotImplementedError

    async def authorize(self, call: Call, action: Action | None, repository: str = "") -> None:
        """Authorize the call, or raise the registry's error.

        :param action: None for the API's root, which requires only valid credentials
        """

    def count_pull(self, call: Call) -> dict[str, str]:
        """Called once for each manifest request; returns response headers, or raises when there are too many."""
        return {}

    def pulled(self, call: Call, repository: str, reference: str, manifest: Manifest) -> None:
        """A manifest was read with GET."""

    def pushed(self, call: Call, repository: str, reference: str, manifest: Manifest) -> None:
        """A manifest was put."""

    def deleted(self, call: Call, repository: str, reference: str) -> None:
        """A manifest or tag was deleted."""


def add_pulling(service: Service, backend: RegistryBackend) -> None:
    """Add the routes for reading."""
    _Pulling(backend).add_to(service)


def page(entries: Sequence[str], call: Call, size: int | None = None) -> tuple[list[str], dict[str, str]]:
    """One page of `entries` for the query's ``n`` and ``last``, with the ``Link`` header to the next page.

    :param size: page size without ``n``; None for all entries
    """
    query = call.query
    if query.get("n", "").isdecimal():
        size = int(query["n"])
    rest = _after(entries, query["last"]) if "last" in query else list(entries)
    if size is None or len(rest) <= size:
        return rest, {}
    if size == 0:
        return [], {}
    page_entries = rest[:size]
    others = "".join(f"&{key}={quote(value, safe='')}" for key, value in query.items() if key not in ("n", "last"))
    link = f'<{call.path}?last={quote(page_entries[-1])}&n={size}{others}>; rel="next"'
    return page_entries, {"Link": link}


def _after(entries: Sequence[str], last: str) -> list[str]:
    """The entries after `last`; if `last` no longer exists, those that sort after it."""
    if last in entries:
        return list(entries[entries.index(last) + 1 :])
    return [entry for entry in entries if entry > last]


class _Pulling:
    """Pulls and listings."""

    def __init__(self, backend: RegistryBackend) -> None:
        self._backend = backend

    def add_to(self, service: Service) -> None:
        routes: list[tuple[str, Handler]] = [
            ("/v2", self.api_root),
            ("/v2/_catalog", self.list_repositories),
            ("/v2/{name:path}/tags/list", self.list_tags),
            ("/v2/{name:path}/referrers/{digest}", self.list_referrers),
            ("/v2/{name:path}/blobs/{digest}", self.get_blob),
            ("/v2/{name:path}/manifests/{reference}", self.get_manifest),
        ]
        for template, handler in routes:
            service.get(template)(handler)
            service.head(template)(handler)

    async def api_root(self, call: Call) -> Response:
        await self._backend.authorize(call, None)
        return answer({}, headers=API_VERSION)

    async def list_repositories(self, call: Call) -> Response:
        await self._backend.authorize(call, "catalog")
        names, link = page(self._backend.store(call).repositories(), call, CATALOG_PAGE)
        return answer({"repositories": names}, headers=API_VERSION | link)

    async def list_tags(self, call: Call) -> Response:
        name = call.params["name"]
        await self._backend.authorize(call, "pull", name)
        tags, link = page(self._backend.store(call).tags(name), call)
        return answer({"name": name, "tags": tags}, headers=API_VERSION | link)

    async def list_referrers(self, call: Call) -> Response:
        name, artifact_type = call.params["name"], call.query.get("artifactType")
        await self._backend.authorize(call, "pull", name)
        found = self._backend.store(call).referrers(name, call.params["digest"], artifact_type)
        by_digest = {descriptor["digest"]: descriptor for descriptor in found}
        page_entries, headers = page(sorted(by_digest), call, REFERRERS_PAGE)
        if artifact_type is not None:
            headers["OCI-Filters-Applied"] = "artifactType"
        headers["Content-Type"] = OCI_INDEX
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [by_digest[digest] for digest in page_entries],
        }
        return answer(index, headers=API_VERSION | headers)

    async def get_blob(self, call: Call) -> Response:
        name, digest = call.params["name"], call.params["digest"]
        await self._backend.authorize(call, "pull", name)
        content = self._backend.store(call).blob(name, digest)
        headers = API_VERSION | {"Docker-Content-Digest": digest, "Accept-Ranges": "bytes", "ETag": f'"{digest}"'}
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("range", ""))
        if match is None or not (match[1] or match[2]):
            return Response(content, 200, headers, "application/octet-stream")
        first, last = _range(match[1], match[2], len(content))
        if first >= len(content) or first > last:
            return Response(b"", 416, headers | {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Response(content[first : last + 1], 206, headers, "application/octet-stream")

    async def get_manifest(self, call: Call) -> Response:
        name, reference = call.params["name"], call.params["reference"]
        await self._backend.authorize(call, "pull", name)
        headers = self._backend.count_pull(call)
        manifest = self._backend.store(call).manifest(name, reference).manifest
        _check_accepted(call, manifest)
        if call.method == "GET":
            self._backend.pulled(call, name, reference, manifest)
        headers |= {"Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
        return Response(manifest.content, 200, API_VERSION | headers, manifest.media_type)


def _check_accepted(call: Call, manifest: Manifest) -> None:
    """Require the manifest's media type in the Accept header; ``*/*`` is not enough.

    :raises ManifestUnknown: otherwise, as registries do
    """
    accepted = {part.partition(";")[0].strip() for part in call.headers.get("accept", "").split(",")}
    if manifest.media_type not in accepted:
        raise ManifestUnknown(
            {"mediaType": manifest.media_type},
            f"{manifest.media_type} found, but the Accept header does not support it",
        )


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    """The inclusive byte range of a Range header (RFC 9110, section 14.1.2)."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1
