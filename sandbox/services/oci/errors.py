"""What a registry refuses, with the error codes and statuses of the OCI distribution spec v1.1 ("Error Codes").

Each is an answer in the spec's own envelope, ``{"errors": [{"code", "message", "detail"}]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sandbox.core.errors import HttpFault


class OciError(HttpFault):
    """A refusal that a client may read.

    :param detail: what the refusal is about; any JSON value, or None when the registry says nothing more
    :param message: in place of the code's usual one
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    usual: ClassVar[str]

    def __init__(
        self, detail: object = None, message: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.message = message or self.usual
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if detail is not None:
            error["detail"] = detail
        super().__init__(self.http_status, {"errors": [error]}, headers)


class BlobUnknown(OciError):
    code, http_status, usual = "BLOB_UNKNOWN", 404, "blob unknown to registry"


class BlobUploadInvalid(OciError):
    code, http_status, usual = "BLOB_UPLOAD_INVALID", 416, "blob upload invalid"


class BlobUploadUnknown(OciError):
    code, http_status, usual = "BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry"


class Denied(OciError):
    code, http_status, usual = "DENIED", 403, "requested access to the resource is denied"


class DigestInvalid(OciError):
    code, http_status, usual = "DIGEST_INVALID", 400, "provided digest did not match uploaded content"


class ManifestBlobUnknown(OciError):
    code, http_status, usual = (
        "MANIFEST_BLOB_UNKNOWN",
        404,
        "manifest references a manifest or blob unknown to registry",
    )


class ManifestInvalid(OciError):
    code, http_status, usual = "MANIFEST_INVALID", 400, "manifest invalid"


class ManifestUnknown(OciError):
    code, http_status, usual = "MANIFEST_UNKNOWN", 404, "manifest unknown"


class NameInvalid(OciError):
    code, http_status, usual = "NAME_INVALID", 400, "invalid repository name"


class NameUnknown(OciError):
    code, http_status, usual = "NAME_UNKNOWN", 404, "repository name not known to registry"


class TagInvalid(OciError):
    code, http_status, usual = "TAG_INVALID", 400, "manifest tag did not match the tag grammar"


class TooManyRequests(OciError):
    code, http_status, usual = "TOOMANYREQUESTS", 429, "too many requests"


class Unauthorized(OciError):
    code, http_status, usual = "UNAUTHORIZED", 401, "authentication required"


class Locked(OciError):
    """The repository, manifest or tag carries an attribute that forbids the operation."""

    code, http_status, usual = "UNSUPPORTED", 405, "The operation is disallowed on this registry, repository or image."
