"""Resource Graph's delay: it shows Azure as it was some time ago.

Azure publishes no figure ("Resource Graph: data freshness"); the scenario's ``timings.graph`` is the sandbox's choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from sandbox.azure import Azure
from sandbox.core.resources import Document, ResourceChanged

Value = TypeVar("Value")


class Late(Generic[Value]):
    """Values by key; each change becomes visible at a given time.

    The times are in Azure seconds and ascend for each key.
    """

    def __init__(self) -> None:
        self._changes: dict[str, list[tuple[float, Value | None]]] = {}

    def change(self, key: str, value: Value | None, visible: float) -> None:
        """Record a new value, or with ``None`` a deletion."""
        self._changes.setdefault(key, []).append((visible, value))

    def values(self, at: float) -> Iterator[Value]:
        """The visible values."""
        for key, changes in list(self._changes.items()):
            while len(changes) > 1 and changes[1][0] <= at:
                changes.pop(0)
            visible, value = changes[0]
            if visible <= at and value is not None:
                yield value
            elif visible <= at and len(changes) == 1:
                del self._changes[key]


class LateResources:
    """ARM's documents as Resource Graph shows them; those that exist at the start are visible from the start."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._documents: Late[Document] = Late()
        for document in azure.resources.list():
            self._documents.change(document["id"].lower(), document, azure.clock.elapsed())
        azure.events.on(ResourceChanged, self._note)

    def list(self) -> list[Document]:
        return list(self._documents.values(self._azure.clock.elapsed()))

    def _note(self, change: ResourceChanged) -> None:
        visible = self._azure.clock.after(self._azure.scenario.timings.graph)
        self._documents.change(change.id.lower(), change.after, visible)
