"""Blob Storage's data plane: containers, and block blobs uploaded in one request.

Wire shape: REST API, Blob service; azure-storage-blob 12.31. Everything else (blocks, leases, tiers, snapshots,
versions, copies, SAS) is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from urllib.parse import unquote

from starlette.responses import Response

from sandbox.core.errors import HttpFault, NotSupported, not_supported
from sandbox.core.routing import Call, Service
from sandbox.services.blobs.auth import BLOBS, CONTAINERS, account_of, blob_caller, require
from sandbox.services.blobs.errors import blob_envelope, blob_fault, elements, xml_answer, xml_refusal
from sandbox.services.blobs.store import SUFFIX, Account, Accounts, Blob, Container, check_conditions, http_date

_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_META = "x-ms-meta-"
#: Blob properties: the request's header, and the response's.
_KEPT = {
    "x-ms-blob-content-encoding": "Content-Encoding",
    "x-ms-blob-content-language": "Content-Language",
    "x-ms-blob-content-disposition": "Content-Disposition",
    "x-ms-blob-cache-control": "Cache-Control",
}
#: Query parameters of a list that the response repeats.
_REPEATED = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults"}
_PAGE = 5000
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_KEY = "or the account's key"

blobs = Service(
    "blobs",
    (f"*{SUFFIX}",),
    authenticate=blob_caller,
    envelope=blob_envelope,
    api_versions=("2026-04-06",),
    render=xml_refusal,
)


@blobs.put("/{container}", unchecked=f"checked: `{CONTAINERS}/write`, {_KEY}")
async def create_container(call: Call) -> Response:
    """Create Container."""
    _only(call, "restype=container")
    name, account = call.params["container"], _account(call)
    require(call, f"{CONTAINERS}/write", data=False, container=name)
    if not _NAME.fullmatch(name):
        raise blob_fault(400, "InvalidResourceName", "The specified resource name contains invalid characters.")
    if name in account.containers:
        raise blob_fault(409, "ContainerAlreadyExists", "The specified container already exists.")
    return Response(status_code=201, headers=_identity(account.create(name, _metadata(call))))


@blobs.get("/{container}", unchecked=f"checked: `{CONTAINERS}/read`, for the list `{BLOBS}/read` (data), {_KEY}")
async def read_container(call: Call) -> Response:
    """Get Container Properties, or List Blobs."""
    if call.query.get("comp") == "list":
        return _list(call)
    return _container_properties(call)


@blobs.head("/{container}", unchecked=f"checked: `{CONTAINERS}/read`, {_KEY}")
async def head_container(call: Call) -> Response:
    """Get Container Properties."""
    return _container_properties(call)


@blobs.delete("/{container}", unchecked=f"checked: `{CONTAINERS}/delete`, {_KEY}")
async def delete_container(call: Call) -> Response:
    """Delete Container. The name is free immediately; Azure takes half a minute."""
    _only(call, "restype=container")
    require(call, f"{CONTAINERS}/delete", data=False, container=call.params["container"])
    _container(call)
    del _account(call).containers[call.params["container"]]
    return Response(status_code=202)


@blobs.put("/{container}/{blob:path}", unchecked=f"checked: `{BLOBS}/write`, or `…/add/action` for a new blob, {_KEY}")
async def put_blob(call: Call) -> Response:
    """Put Blob: a whole block blob."""
    _only(call, "")
    if call.headers.get("x-ms-blob-type") != "BlockBlob" or "x-ms-copy-source" in call.headers:
        raise _gap(call)
    name = _blob_name(call)
    found = _account(call).containers.get(call.params["container"])
    before = found.blobs.get(name) if found is not None else None
    ways = (f"{BLOBS}/write",) if before is not None else (f"{BLOBS}/write", f"{BLOBS}/add/action")
    require(call, *ways, data=True, container=call.params["container"], blob=name)
    container = _container(call)
    check_conditions(call.headers, before, kind="write")
    _check_md5(call)
    kind = call.headers.get("x-ms-blob-content-type") or call.headers.get("content-type") or "application/octet-stream"
    kept = {answer: call.headers[requested] for requested, answer in _KEPT.items() if requested in call.headers}
    blob = _account(call).put(container, name, call.body, kind, kept, _metadata(call))
    headers = {**_identity(blob), "Content-MD5": blob.md5, "x-ms-request-server-encrypted": "true"}
    return Response(status_code=201, headers=headers)


@blobs.get("/{container}/{blob:path}", unchecked=f"checked: `{BLOBS}/read` (data), {_KEY}")
async def get_blob(call: Call) -> Response:
    """Get Blob, whole or a range."""
    blob = _readable(call)
    requested = call.headers.get("x-ms-range") or call.headers.get("range")
    if requested is None:
        return Response(blob.content, headers=_shown(blob) | {"Content-MD5": blob.md5})
    start, end = _bounds(requested, len(blob.content))
    headers = _shown(blob) | {
        "Content-Range": f"bytes {start}-{end - 1}/{len(blob.content)}",
        "x-ms-blob-content-md5": blob.md5,
    }
    return Response(blob.content[start:end], 206, headers)


@blobs.head("/{container}/{blob:path}", unchecked=f"checked: `{BLOBS}/read` (data), {_KEY}")
async def head_blob(call: Call) -> Response:
    """Get Blob Properties."""
    blob = _readable(call)
    length = {"Content-Length": str(len(blob.content)), "Content-MD5": blob.md5}
    return Response(headers=_shown(blob) | length)


@blobs.delete("/{container}/{blob:path}", unchecked=f"checked: `{BLOBS}/delete` (data), {_KEY}")
async def delete_blob(call: Call) -> Response:
    """Delete Blob, permanently."""
    _only(call, "")
    name = _blob_name(call)
    require(call, f"{BLOBS}/delete", data=True, container=call.params["container"], blob=name)
    container, blob = _container(call), _blob(call)
    check_conditions(call.headers, blob, kind="write")
    del container.blobs[name]
    return Response(status_code=202, headers={"x-ms-delete-type-permanent": "true"})


def _list(call: Call) -> Response:
    """List Blobs, flat: by name, starting at the marker."""
    name, query = call.params["container"], call.query
    if query.get("delimiter") or query.get("include", "metadata") not in ("", "metadata"):
        raise _gap(call)
    require(call, f"{BLOBS}/read", data=True, container=name)
    found, prefix, marker = _container(call).blobs, query.get("prefix", ""), query.get("marker", "")
    names = sorted(blob for blob in found if blob.startswith(prefix) and blob >= marker)
    size = min(int(query["maxresults"]), _PAGE) if query.get("maxresults", "").isdigit() else _PAGE
    shown, rest = names[:size], names[size:]
    with_metadata = query.get("include") == "metadata"
    entries = "".join(_entry(blob, found[blob], with_metadata) for blob in shown)
    place = f'ServiceEndpoint="https://{call.host}/" ContainerName="{name}"'
    head = elements({element: query[key] for key, element in _REPEATED.items() if query.get(key)})
    tail = elements({"NextMarker": rest[0] if rest else ""})
    return xml_answer(f"<EnumerationResults {place}>{head}<Blobs>{entries}</Blobs>{tail}</EnumerationResults>")


def _entry(name: str, blob: Blob, with_metadata: bool) -> str:
    properties = {
        "Creation-Time": http_date(blob.created),
        "Last-Modified": http_date(blob.modified),
        "Etag": blob.etag.strip('"'),
        "Content-Length": len(blob.content),
        "Content-Type": blob.content_type,
        "Content-MD5": blob.md5,
        "BlobType": "BlockBlob",
        "LeaseStatus": "unlocked",
        "LeaseState": "available",
        "ServerEncrypted": "true",
    }
    metadata = f"<Metadata>{elements(dict(blob.metadata))}</Metadata>" if with_metadata else ""
    return f"<Blob>{elements({'Name': name})}<Properties>{elements(properties)}</Properties>{metadata}</Blob>"


def _container_properties(call: Call) -> Response:
    _only(call, "restype=container")
    require(call, f"{CONTAINERS}/read", data=False, container=call.params["container"])
    container = _container(call)
    lease = {"x-ms-lease-status": "unlocked", "x-ms-lease-state": "available"}
    metadata = {f"{_META}{key}": value for key, value in container.metadata.items()}
    return Response(headers=_identity(container) | lease | metadata)


def _readable(call: Call) -> Blob:
    _only(call, "")
    require(call, f"{BLOBS}/read", data=True, container=call.params["container"], blob=_blob_name(call))
    blob = _blob(call)
    check_conditions(call.headers, blob, kind="read")
    return blob


def _account(call: Call) -> Account:
    return call.azure.state(Accounts).account(account_of(call)["name"])


def _container(call: Call) -> Container:
    """:raises HttpFault: 404 ContainerNotFound"""
    found = _account(call).containers.get(call.params["container"])
    if found is None:
        raise blob_fault(404, "ContainerNotFound", "The specified container does not exist.")
    return found


def _blob(call: Call) -> Blob:
    """:raises HttpFault: 404 BlobNotFound"""
    found = _container(call).blobs.get(_blob_name(call))
    if found is None:
        raise blob_fault(404, "BlobNotFound", "The specified blob does not exist.")
    return found


def _blob_name(call: Call) -> str:
    """The name as sent: blob names may contain what other paths may not, such as two slashes in a row."""
    return unquote(call.raw_path.lstrip("/").partition("/")[2])


def _only(call: Call, operation: str) -> None:
    """:raises NotSupported: for another operation on the same path"""
    requested = "&".join(
        f"{key}={call.query[key]}" for key in ("restype", "comp", "snapshot", "versionid") if key in call.query
    )
    if requested != operation:
        raise _gap(call)


def _gap(call: Call) -> NotSupported:
    return not_supported(call.method, call.host, f"{call.path}?{call.query_string}")


def _metadata(call: Call) -> dict[str, str]:
    return {name.removeprefix(_META): value for name, value in call.headers.items() if name.startswith(_META)}


def _identity(holder: Blob | Container) -> dict[str, str]:
    return {"ETag": holder.etag, "Last-Modified": http_date(holder.modified)}


def _shown(blob: Blob) -> dict[str, str]:
    return {
        **_identity(blob),
        **blob.headers,
        **{f"{_META}{key}": value for key, value in blob.metadata.items()},
        "Content-Type": blob.content_type,
        "Accept-Ranges": "bytes",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-creation-time": http_date(blob.created),
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
    }


def _bounds(requested: str, size: int) -> tuple[int, int]:
    """:raises HttpFault: 416 InvalidRange"""
    found = _RANGE.fullmatch(requested.strip())
    if found is None or int(found[1]) >= size:
        message = "The range specified is invalid for the current size of the resource."
        raise blob_fault(416, "InvalidRange", message, {"Content-Range": f"bytes */{size}"})
    return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size


def _check_md5(call: Call) -> None:
    """:raises HttpFault: 400 when the body does not match the Content-MD5 header"""
    expected = call.headers.get("content-md5")
    if expected is None:
        return
    try:
        same = base64.b64decode(expected, validate=True) == hashlib.md5(call.body, usedforsecurity=False).digest()
    except binascii.Error:
        raise _bad_md5("InvalidMd5", "The MD5 value specified in the request is invalid.") from None
    if not same:
        raise _bad_md5("Md5Mismatch", "The MD5 value specified in the request did not match with the calculated value.")


def _bad_md5(code: str, message: str) -> HttpFault:
    return blob_fault(400, code, message)
