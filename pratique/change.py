"""A change made by an edit, for commit messages and plans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A change of one value.

    :ivar file: path relative to the root, with ``/`` as separator
    :ivar field: location of the value in the file
    :ivar before: ``None`` when the value was added
    :ivar after: ``None`` when the value was removed
    """

    file: str
    field: str
    before: str | None
    after: str | None
