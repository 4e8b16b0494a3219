"""Storage accounts: containers, their block blobs, and conditional requests.

Source: REST API, Azure Storage, "Specifying conditional headers for Blob service operations".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from itertools import count
from typing import Literal

from sandbox.azure import Azure
from sandbox.core.resources import Document, ResourceChanged
from sandbox.services.blobs.errors import blob_fault

ACCOUNT_TYPE = "Microsoft.Storage/storageAccounts"
SUFFIX = ".blob.core.windows.net"


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A whole block blob.

    :ivar created: when a blob of that name was first put; ``modified`` is the time of this content
    """

    content: bytes
    etag: str
    created: datetime
    modified: datetime
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode()


@dataclass
class Container:
    """A container and its blobs by name."""

    etag: str
    modified: datetime
    metadata: Mapping[str, str]
    blobs: dict[str, Blob] = field(default_factory=dict)


class Account:
    """The contents of a storage account."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._numbers = count(int(now().timestamp() * 1000))
        self.containers: dict[str, Container] = {}

    def create(self, name: str, metadata: Mapping[str, str]) -> Container:
        self.containers[name] = Container(self._etag(), self._now(), metadata)
        return self.containers[name]

    def put(
        self,
        container: Container,
        name: str,
        content: bytes,
        content_type: str,
        headers: Mapping[str, str],
        metadata: Mapping[str, str],
    ) -> Blob:
        """Create or replace a blob, including its headers and metadata."""
        now, before = self._now(), container.blobs.get(name)
        created = before.created if before else now
        blob = Blob(
            content=content,
            etag=self._etag(),
            created=created,
            modified=now,
            content_type=content_type,
            headers=headers,
            metadata=metadata,
        )
        container.blobs[name] = blob
        return blob

    def _etag(self) -> str:
        return f'"0x{next(self._numbers):015X}"'


class Accounts:
    """All storage accounts; the resources themselves are in ``azure.resources``.

    :ivar keys: keys of the accounts that allow Shared Key, in base64
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._accounts: dict[str, Account] = {}
        self.keys: dict[str, str] = {}
        azure.events.on(ResourceChanged, self._follow)

    def of_host(self, host: str) -> Document | None:
        """The account with this Blob endpoint."""
        return self._azure.resources.named(ACCOUNT_TYPE, host.removesuffix(SUFFIX))

    def account(self, name: str) -> Account:
        """The contents of the account with this name."""
        key = name.lower()
        if key not in self._accounts:
            self._accounts[key] = Account(self._azure.clock.now)
        return self._accounts[key]

    def _follow(self, change: ResourceChanged) -> None:
        if change.type.lower() == ACCOUNT_TYPE.lower() and change.after is None:
            name = change.id.rsplit("/", 1)[-1].lower()
            self._accounts.pop(name, None)
            self.keys.pop(name, None)


def check_conditions(headers: Mapping[str, str], blob: Blob | None, *, kind: Literal["read", "write"]) -> None:
    """Check the request's conditions against the current blob.

    :raises HttpFault: 304 or 412 ConditionNotMet; 409 BlobAlreadyExists for ``If-None-Match: *`` of a write
    """
    unwanted = headers.get("if-none-match")
    if kind == "write" and unwanted == "*" and blob is not None:
        raise blob_fault(409, "BlobAlreadyExists", "The specified blob already exists.")
    if _differs(headers, blob):
        raise _not_met(412)
    if blob is not None and _unchanged(headers, blob):
        raise _not_met(304 if kind == "read" else 412)


def http_date(time: datetime) -> str:
    """A time in HTTP header format (RFC 9110)."""
    return format_datetime(time.astimezone(UTC), usegmt=True)


def _differs(headers: Mapping[str, str], blob: Blob | None) -> bool:
    condition = headers.get("if-match")
    if condition is not None and (blob is None or (condition != "*" and blob.etag not in _etags(condition))):
        return True
    since = headers.get("if-unmodified-since")
    return since is not None and blob is not None and _second(blob.modified) > parsedate_to_datetime(since)


def _unchanged(headers: Mapping[str, str], blob: Blob) -> bool:
    condition = headers.get("if-none-match")
    if condition is not None and (condition == "*" or blob.etag in _etags(condition)):
        return True
    since = headers.get("if-modified-since")
    return since is not None and _second(blob.modified) <= parsedate_to_datetime(since)


def _etags(header: str) -> list[str]:
    return [etag.strip() for etag in header.split(",")]


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _not_met(status: int) -> Exception:
    return blob_fault(status, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
