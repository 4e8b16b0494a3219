"""Lets a service react to events in another one without importing it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

Event = TypeVar("Event")


class Events:
    """Synchronous publish and subscribe by event type."""

    def __init__(self) -> None:
        self._handlers: dict[type[Any], list[Callable[[Any], None]]] = defaultdict(list)

    def on(self, kind: type[Event], handler: Callable[[Event], None]) -> None:
        self._handlers[kind].append(handler)

    def emit(self, event: object) -> None:
        for handler in self._handlers[type(event)]:
            handler(event)
