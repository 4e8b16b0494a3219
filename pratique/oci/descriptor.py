"""OCI content descriptors: what a manifest says about a blob or another manifest.

Facts: OCI image-spec v1.1, "OCI Content Descriptors".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Descriptor:
    """Names bytes by their digest.

    :ivar media_type: of the bytes
    :ivar digest: ``sha256:`` and 64 hexadecimal digits
    :ivar size: of the bytes
    """

    media_type: str
    digest: str
    size: int
