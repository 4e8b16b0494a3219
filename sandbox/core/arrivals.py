"""The event that a registry emits for a new image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ImageArrived:
    """A manifest was imported or pushed into a registry.

    :ivar registry_id: ARM id of the registry
    :ivar digest: of the manifest, which may be an index
    """

    registry_id: str
    repository: str
    tag: str | None
    digest: str
    time: datetime
    kind: Literal["import", "push"]
