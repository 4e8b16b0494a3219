"""Blob storage shared by all registries of one sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.azure import Azure


class BlobPool(dict[str, bytes]):
    """Blobs by digest. Part of the :class:`~sandbox.azure.Azure` state, so that imports copy references, not bytes."""

    def __init__(self, azure: Azure) -> None:
        super().__init__()
