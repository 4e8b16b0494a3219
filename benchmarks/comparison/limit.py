"""The critical path: how long Azure alone takes to prepare a cluster, whoever asks it.

Facts: the local Azure's timings (``sandbox/scenario.py``), and the sizes of ARM's buckets
(``sandbox/core/throttling.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sandbox.core.throttling import SIZES
from sandbox.scenario import Timings


@dataclass(frozen=True)
class CriticalPath:
    """Seconds of Azure's time that each part takes at least. The certificate's access is open meanwhile.

    :ivar quarantine: until the last image is in quarantine; ``promotion`` the same for ``live/``
    :ivar scan: until the last image's findings artifact is there
    """

    deployment: float
    quarantine: float
    scan: float
    promotion: float

    @property
    def seconds(self) -> float:
        return self.deployment + self.quarantine + self.scan + self.promotion


def critical_path(images: int, timings: Timings | None = None) -> CriticalPath:
    """The path of a release whose images pass together.

    :param images: size of the release
    :param timings: the local Azure's; its defaults are real Azure's
    """
    given = timings or Timings()
    imports = _last_write(images) + given.import_image
    return CriticalPath(given.deployment, imports, given.scan + given.artifact, imports)


def walkthrough_path(images: int, at_once: int = 1, timings: Timings | None = None) -> float:
    """Seconds of Azure's time for the walkthrough's commands, with a wait for the scan.

    :param at_once: imports that it starts together, and waits for
    """
    given = timings or Timings()
    imports = 2 * math.ceil(images / at_once) * given.import_image
    return given.deployment + imports + given.scan + given.artifact + given.role_assignment


def _last_write(count: int) -> float:
    """When the bucket of writes, full at first, has given the last of so many tokens."""
    bucket = SIZES["writes"]
    return max(0.0, (count - bucket.capacity) / bucket.refill)
