"""A change that an edit made, for commit messages and plans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One changed value.

    :ivar file: path below the root, with ``/``
    :ivar field: where in the file
    :ivar before: ``None`` when the field was added
    :ivar after: ``None`` when it was removed
    """

    file: str
    field: str
    before: str | None
    after: str | None
