"""ARM resources, as the JSON documents that ARM shows.

Services keep what ARM does not show (blobs, certificates) in state of their own, and receive changes made by others,
such as a deployment that replaces a vault, as :class:`ResourceChanged`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.core.events import Events
from sandbox.core.rbac import contains

Document = dict[str, Any]


@dataclass(frozen=True)
class ResourceChanged:
    """A resource was put, patched or deleted.

    :ivar before: the previous document, ``None`` for a new resource
    :ivar after: the new document, ``None`` for a deleted resource
    """

    id: str
    type: str
    before: Document | None
    after: Document | None


class Resources:
    """All resources of the subscription by id (case-insensitive)."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._documents: dict[str, Document] = {}

    def get(self, resource_id: str) -> Document | None:
        """A copy of the document."""
        found = self._documents.get(resource_id.lower().rstrip("/"))
        return None if found is None else _copy(found)

    def put(self, document: Document) -> Document:
        """Store a whole document (``id``, ``name``, ``type``, …), replacing the previous one."""
        key = str(document["id"]).lower()
        before = self._documents.get(key)
        self._documents[key] = _copy(document)
        self._events.emit(ResourceChanged(document["id"], document["type"], before, _copy(document)))
        return document

    def delete(self, resource_id: str) -> Document | None:
        before = self._documents.pop(resource_id.lower().rstrip("/"), None)
        if before is not None:
            self._events.emit(ResourceChanged(before["id"], before["type"], before, None))
        return before

    def list(self, resource_type: str | None = None, scope: str = "") -> list[Document]:
        """Documents of a type (case-insensitive; ``None`` for all) at or below a scope."""
        return [_copy(document) for document in self._select(resource_type, scope)]

    def named(self, resource_type: str, name: str) -> Document | None:
        """The resource of a type with this globally unique name."""
        key = name.lower()
        return next((_copy(d) for d in self._select(resource_type, "") if d["name"].lower() == key), None)

    def _select(self, resource_type: str | None, scope: str) -> Iterator[Document]:
        key = resource_type and resource_type.lower()
        for document in self._documents.values():
            if key in (None, document["type"].lower()) and contains(scope, document["id"]):
                yield document


def _copy(value: Any) -> Any:
    """A deep copy of a JSON value; ``copy.deepcopy`` takes six times as long."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
