"""ACR's data-plane API, ``/acr/v1``: repositories, tags and manifests with their times, sizes and locks.

Source: azure-containerregistry 1.2 (api-version 2021-07-01); "Lock a container image" (Microsoft Learn).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from sandbox.core.operations import Operation
from sandbox.core.routing import Call, Service, answer
from sandbox.services.oci.distribution import RegistryBackend, page
from sandbox.services.oci.errors import ManifestInvalid, ManifestUnknown
from sandbox.services.oci.repository import Attributes, Lockable, Repository, StoredManifest, Tag
from sandbox.services.oci.store import RegistryStore

_PAGE = 100
_FLAGS = {
    "deleteEnabled": "delete_enabled",
    "writeEnabled": "write_enabled",
    "listEnabled": "list_enabled",
    "readEnabled": "read_enabled",
}


def add_attributes(service: Service, backend: RegistryBackend) -> None:
    """Add the routes; longer paths come first, since repository names may contain slashes."""
    api = _Api(backend)
    service.get("/acr/v1/_catalog")(api.list_repositories)
    service.get("/acr/v1/{name:path}/_tags")(api.list_tags)
    service.get("/acr/v1/{name:path}/_tags/{tag}")(api.get_tag)
    service.patch("/acr/v1/{name:path}/_tags/{tag}")(api.patch_tag)
    service.delete("/acr/v1/{name:path}/_tags/{tag}")(api.delete_tag)
    service.get("/acr/v1/{name:path}/_manifests")(api.list_manifests)
    service.get("/acr/v1/{name:path}/_manifests/{digest}")(api.get_manifest)
    service.patch("/acr/v1/{name:path}/_manifests/{digest}")(api.patch_manifest)
    service.get("/acr/v1/{name:path}")(api.get_repository)
    service.patch("/acr/v1/{name:path}")(api.patch_repository)
    service.delete("/acr/v1/{name:path}")(api.delete_repository)


class _Api:
    def __init__(self, backend: RegistryBackend) -> None:
        self._backend = backend
        self._changed: set[tuple[int, str, str]] = set()

    async def list_repositories(self, call: Call) -> Response:
        await self._backend.authorize(call, "catalog")
        names, link = page(self._backend.store(call).repositories(), call, _PAGE)
        return answer({"repositories": names}, headers=link)

    async def get_repository(self, call: Call) -> Response:
        await self._backend.authorize(call, "metadata_read", call.params["name"])
        return self._show_repository(call)

    async def patch_repository(self, call: Call) -> Response:
        await self._backend.authorize(call, "metadata_write", call.params["name"])
        self._lock(self._backend.store(call).repository(call.params["name"]), call)
        return self._show_repository(call)

    async def delete_repository(self, call: Call) -> Response:
        name = call.params["name"]
        await self._backend.authorize(call, "delete", name)
        deleted = self._backend.store(call).delete_repository(name)
        for digest in deleted.manifests:
            self._backend.deleted(call, name, digest)
        return answer({"manifestsDeleted": sorted(deleted.manifests), "tagsDeleted": sorted(deleted.tags)}, 202)

    async def list_tags(self, call: Call) -> Response:
        name, digest = call.params["name"], call.query.get("digest")
        await self._backend.authorize(call, "metadata_read", name)
        repository = self._backend.store(call).repository(name)
        tags = {t.name: t for t in repository.tags.values() if t.attributes.list_enabled and digest in (None, t.digest)}
        document, link = page(_ordered(tags, call), call, _PAGE)
        return answer(_named(call, name) | {"tags": [_tag(tags[tag]) for tag in document]}, headers=link)

    async def get_tag(self, call: Call) -> Response:
        await self._backend.authorize(call, "metadata_read", call.params["name"])
        return self._show_tag(call)

    async def patch_tag(self, call: Call) -> Response:
        await self._backend.authorize(call, "metadata_write", call.params["name"])
        self._lock(self._tag(call), call)
        return self._show_tag(call)

    async def delete_tag(self, call: Call) -> Response:
        name, tag = call.params["name"], call.params["tag"]
        await self._backend.authorize(call, "delete", name)
        self._backend.store(call).delete_tag(name, tag)
        self._backend.deleted(call, name, tag)
        return Response(status_code=202)

    async def list_manifests(self, call: Call) -> Response:
        name = call.params["name"]
        await self._backend.authorize(call, "metadata_read", name)
        store = self._backend.store(call)
        repository = store.repository(name)
        listed = {digest: m for digest, m in repository.manifests.items() if m.attributes.list_enabled}
        document, link = page(_ordered(listed, call), call, _PAGE)
        manifests = [_manifest(store, repository, listed[digest]) for digest in document]
        return answer(_named(call, name) | {"manifests": manifests}, headers=link)

    async def get_manifest(self, call: Call) -> Response:
        await self._backend.authorize(call, "metadata_read", call.params["name"])
        return self._show_manifest(call)

    async def patch_manifest(self, call: Call) -> Response:
        await self._backend.authorize(call, "metadata_write", call.params["name"])
        self._lock(self._manifest(call), call)
        return self._show_manifest(call)

    def _show_repository(self, call: Call) -> Response:
        repository = self._backend.store(call).repository(call.params["name"])
        return answer(
            _named(call, repository.name)
            | _times(repository)
            | {
                "manifestCount": len(repository.manifests),
                "tagCount": len(repository.tags),
                "changeableAttributes": _flags(repository.attributes),
            }
        )

    def _show_tag(self, call: Call) -> Response:
        return answer(_named(call, call.params["name"]) | {"tag": _tag(self._tag(call))})

    def _show_manifest(self, call: Call) -> Response:
        store, name = self._backend.store(call), call.params["name"]
        document = _manifest(store, store.repository(name), self._manifest(call))
        return answer(_named(call, name) | {"manifest": document})

    def _tag(self, call: Call) -> Tag:
        name, tag = call.params["name"], call.params["tag"]
        found = self._backend.store(call).repository(name).tags.get(tag)
        if found is None:
            raise ManifestUnknown({"name": name, "tag": tag}, "the specified tag does not exist")
        return found

    def _manifest(self, call: Call) -> StoredManifest:
        name, digest = call.params["name"], call.params["digest"]
        found = self._backend.store(call).repository(name).manifests.get(digest)
        if found is None:
            raise ManifestUnknown({"name": name, "digest": digest})
        return found

    def _lock(self, target: Lockable, call: Call) -> None:
        """Apply the changeable attributes from a PATCH's body.

        :raises ManifestInvalid: for anything except the four flags
        """
        changes, before = call.json(), target.attributes
        if not all(key in _FLAGS and isinstance(value, bool) for key, value in changes.items()):
            raise ManifestInvalid(changes, f"only {', '.join(_FLAGS)} can be changed, to true or false")
        self._backend.store(call).set_attributes(target, **{_FLAGS[key]: value for key, value in changes.items()})
        self._replicate(target, before, call)

    def _replicate(self, target: Lockable, before: Attributes, call: Call) -> None:
        """Undo the first change of a target's attributes later, as a race between replicas does; by scenario."""
        delay, key = call.azure.scenario.registry_locks.undone_after, (id(call.azure), call.host, call.path)
        if delay is None or key in self._changed:
            return
        self._changed.add(key)

        async def undo(_: Operation) -> None:
            await call.azure.clock.sleep(delay)
            target.attributes = before

        call.azure.operations.start("replication", call.path, undo)


def _ordered(entries: Mapping[str, Lockable], call: Call) -> list[str]:
    """Names in the order of the query's ``orderby``: by time, or alphabetical."""
    order = call.query.get("orderby", "")
    names = sorted(entries)
    if order in ("timeasc", "timedesc"):
        names.sort(key=lambda name: entries[name].updated, reverse=order == "timedesc")
    return names


def _named(call: Call, repository: str) -> dict[str, Any]:
    return {"registry": call.host, "imageName": repository}


def _tag(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "digest": tag.digest,
        **_times(tag),
        "signed": False,
        "changeableAttributes": _flags(tag.attributes),
    }


def _manifest(store: RegistryStore, repository: Repository, stored: StoredManifest) -> dict[str, Any]:
    manifest = stored.manifest
    system, architecture = store.platform(repository.name, manifest)
    document: dict[str, Any] = {
        "digest": manifest.digest,
        "imageSize": manifest.size + sum(blob.size for blob in manifest.blobs),
        **_times(stored),
        "mediaType": manifest.media_type,
        "tags": repository.tags_of(manifest.digest),
        "changeableAttributes": _flags(stored.attributes),
    }
    if manifest.is_index:
        document["references"] = [_reference(entry) for entry in manifest.body["manifests"]]
    else:
        document |= {"architecture": architecture, "os": system, "configMediaType": manifest.blobs[0].media_type}
    return document


def _reference(entry: dict[str, Any]) -> dict[str, Any]:
    platform = entry.get("platform", {})
    return {"digest": entry["digest"], "architecture": platform.get("architecture"), "os": platform.get("os")}


def _times(part: Lockable) -> dict[str, str]:
    return {"createdTime": _instant(part.created), "lastUpdateTime": _instant(part.updated)}


def _instant(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _flags(attributes: Attributes) -> dict[str, bool]:
    return {flag: getattr(attributes, name) for flag, name in _FLAGS.items()}
