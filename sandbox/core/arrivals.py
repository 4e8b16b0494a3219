"""What a registry tells the rest of Azure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class ImageArrived:
    """A manifest stands in a registry, by import or by push.

    :ivar registry_id: ARM id of the registry
    :ivar digest: of what arrived, which may be an index
    """

    registry_id: str
    repository: str
    tag: str | None
    digest: str
    time: datetime
    kind: Literal["import", "push"]
