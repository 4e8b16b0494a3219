"""The routes of the OCI distribution API v1.1 that write: uploads, manifests, deletions."""

from __future__ import annotations

import re

from starlette.responses import Response

from sandbox.core.routing import Call, Service
from sandbox.services.oci.distribution import API_VERSION, RegistryBackend
from sandbox.services.oci.errors import BlobUploadInvalid, DigestInvalid, ManifestInvalid
from sandbox.services.oci.manifests import Manifest, sha256


def add_pushing(service: Service, backend: RegistryBackend) -> None:
    """Add the routes for writing."""
    _Pushing(backend).add_to(service)


class _Pushing:
    """Pushes and deletions."""

    def __init__(self, backend: RegistryBackend) -> None:
        self._backend = backend

    def add_to(self, service: Service) -> None:
        upload = "/v2/{name:path}/blobs/uploads/{upload}"
        service.post("/v2/{name:path}/blobs/uploads")(self.begin_upload)
        service.get(upload)(self.upload_status)
        service.patch(upload)(self.append_upload)
        service.put(upload)(self.finish_upload)
        service.delete(upload)(self.cancel_upload)
        service.delete("/v2/{name:path}/blobs/{digest}")(self.delete_blob)
        service.put("/v2/{name:path}/manifests/{reference}")(self.put_manifest)
        service.delete("/v2/{name:path}/manifests/{reference}")(self.delete_manifest)

    async def begin_upload(self, call: Call) -> Response:
        """Start a session, or finish at once by ``mount`` from another repository, or by ``digest`` and a body."""
        name, query = call.params["name"], call.query
        await self._backend.authorize(call, "push", name)
        store = self._backend.store(call)
        if "mount" in query and "from" in query:
            await self._backend.authorize(call, "pull", query["from"])
            if store.mount_blob(name, query["mount"], query["from"]):
                return _blob_created(name, query["mount"])
        elif "digest" in query:
            return _blob_created(name, store.put_blob(name, call.body, query["digest"]))
        return _upload_answer(202, name, self._backend.uploads(call).begin(name), 0)

    async def upload_status(self, call: Call) -> Response:
        name, upload = call.params["name"], call.params["upload"]
        await self._backend.authorize(call, "push", name)
        return _upload_answer(204, name, upload, self._backend.uploads(call).append(name, upload, b""))

    async def append_upload(self, call: Call) -> Response:
        name, upload = call.params["name"], call.params["upload"]
        await self._backend.authorize(call, "push", name)
        received = self._backend.uploads(call).append(name, upload, call.body, _chunk_start(call))
        return _upload_answer(202, name, upload, received)

    async def finish_upload(self, call: Call) -> Response:
        name, upload = call.params["name"], call.params["upload"]
        await self._backend.authorize(call, "push", name)
        if "digest" not in call.query:
            raise DigestInvalid(None, "the digest parameter is missing")
        uploads = self._backend.uploads(call)
        if call.body:
            uploads.append(name, upload, call.body, _chunk_start(call))
        return _blob_created(name, uploads.finish(name, upload, call.query["digest"]))

    async def cancel_upload(self, call: Call) -> Response:
        name = call.params["name"]
        await self._backend.authorize(call, "push", name)
        self._backend.uploads(call).cancel(name, call.params["upload"])
        return Response(status_code=204, headers=API_VERSION)

    async def delete_blob(self, call: Call) -> Response:
        name = call.params["name"]
        await self._backend.authorize(call, "delete", name)
        self._backend.store(call).delete_blob(name, call.params["digest"])
        return Response(status_code=202, headers=API_VERSION)

    async def put_manifest(self, call: Call) -> Response:
        name, reference = call.params["name"], call.params["reference"]
        await self._backend.authorize(call, "push", name)
        media_type = call.headers.get("content-type", "").partition(";")[0].strip()
        if not media_type:
            raise ManifestInvalid(None, "the Content-Type header is missing")
        if ":" in reference and reference != sha256(call.body):
            raise DigestInvalid({"expected": reference, "actual": sha256(call.body)})
        manifest = Manifest.parse(call.body, media_type)
        self._backend.store(call).put_manifest(name, reference, manifest)
        self._backend.pushed(call, name, reference, manifest)
        headers = {"Location": f"/v2/{name}/manifests/{manifest.digest}", "Docker-Content-Digest": manifest.digest}
        if manifest.subject is not None:
            headers["OCI-Subject"] = manifest.subject.digest
        return Response(status_code=201, headers=API_VERSION | headers)

    async def delete_manifest(self, call: Call) -> Response:
        name, reference = call.params["name"], call.params["reference"]
        await self._backend.authorize(call, "delete", name)
        store = self._backend.store(call)
        if ":" in reference:
            store.delete_manifest(name, reference)
        else:
            store.delete_tag(name, reference)
        self._backend.deleted(call, name, reference)
        return Response(status_code=202, headers=API_VERSION)


def _chunk_start(call: Call) -> int | None:
    """Start of a chunk from its Content-Range; the spec's format has no unit: ``<start>-<end>``."""
    header = call.headers.get("content-range")
    if header is None:
        return None
    match = re.fullmatch(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?", header)
    if match is None or int(match[2]) - int(match[1]) + 1 != len(call.body):
        raise BlobUploadInvalid({"Content-Range": header}, "the Content-Range does not fit the chunk")
    return int(match[1])


def _upload_answer(status: int, name: str, upload: str, received: int) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{upload}",
        "Docker-Upload-UUID": upload,
        "Range": f"0-{max(0, received - 1)}",
    }
    return Response(status_code=status, headers=API_VERSION | headers)


def _blob_created(name: str, digest: str) -> Response:
    headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=API_VERSION | headers)
