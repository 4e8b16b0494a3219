"""Values that pass from task to task as a whole."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Whole(Generic[T]):
    """Something large. Prefect visits every part of an argument or result: with thousands of images, for seconds."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value
