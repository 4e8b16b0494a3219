"""Registry errors, with the codes and statuses of the OCI distribution spec v1.1 ("Error Codes").

Each is a response in the spec's own envelope, ``{"errors": [{"code", "message", "detail"}]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sandbox.core.errors import HttpFault


class OciError(HttpFault):
    """A registry error.

    :param detail: the subject of the error; any JSON value, or None
    :param message: overrides the code's default message
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    default_message: ClassVar[str]

    def __init__(
        self, detail: object = None, message: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.message = message or self.default_message
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if detail is not None:
            error["detail"] = detail
        super().__init__(self.http_status, {"errors": [error]}, headers)


class BlobUnknown(OciError):
    code, http_status, default_message = "BLOB_UNKNOWN", 404, "blob unknown to registry"


class BlobUploadInvalid(OciError):
    code, http_status, default_message = "BLOB_UPLOAD_INVALID", 416, "blob upload invalid"


class BlobUploadUnknown(OciError):
    code, http_status, default_message = "BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry"


class Denied(OciError):
    code, http_status, default_message = "DENIED", 403, "requested access to the resource is denied"


class DigestInvalid(OciError):
    code, http_status, default_message = "DIGEST_INVALID", 400, "provided digest did not match uploaded content"


class ManifestBlobUnknown(OciError):
    code, http_status, default_message = (
        "MANIFEST_BLOB_UNKNOWN",
        404,
        "manifest references a manifest or blob unknown to registry",
    )


class ManifestInvalid(OciError):
    code, http_status, default_message = "MANIFEST_INVALID", 400, "manifest invalid"


class ManifestUnknown(OciError):
    code, http_status, default_message = "MANIFEST_UNKNOWN", 404, "manifest unknown"


class NameInvalid(OciError):
    code, http_status, default_message = "NAME_INVALID", 400, "invalid repository name"


class NameUnknown(OciError):
    code, http_status, default_message = "NAME_UNKNOWN", 404, "repository name not known to registry"


class TagInvalid(OciError):
    code, http_status, default_message = "TAG_INVALID", 400, "manifest tag did not match the tag grammar"


class TooManyRequests(OciError):
    code, http_status, default_message = "TOOMANYREQUESTS", 429, "too many requests"


class Unauthorized(OciError):
    code, http_status, default_message = "UNAUTHORIZED", 401, "authentication required"


class Locked(OciError):
    """An attribute of the repository, manifest or tag forbids the operation.

    Code and message are those of Azure's registries, as users have published them.
    """

    code, http_status, default_message = (
        "REGISTRY_DISALLOWED_OPERATION",
        405,
        "The operation is disallowed on this registry, repository or image. View troubleshooting steps at "
        "https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation-",
    )
