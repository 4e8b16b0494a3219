"""Which images are scanned again, and when: once a day, those that were pushed or pulled in the last thirty days.

Source: "Agentless vulnerability assessment for Azure", Defender for Cloud (2026). UNVERIFIED: what becomes of the
findings of an image that is not scanned any more; here they stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.services.defender.images import ScannedImage

DAY = 86_400.0
IN_USE = 30 * DAY


@dataclass
class _Times:
    used: float
    scanned: float | None = None


class DailyScans:
    """The images that Defender knows, with their times in seconds of Azure's time since the start."""

    def __init__(self) -> None:
        self._images: dict[ScannedImage, _Times] = {}

    def arrived(self, image: ScannedImage, now: float) -> None:
        """It was pushed or imported."""
        self._images.setdefault(image, _Times(now)).used = now

    def pulled(self, image: ScannedImage, now: float) -> None:
        if image in self._images:
            self._images[image].used = now

    def scanned(self, image: ScannedImage, now: float) -> None:
        if image in self._images:
            self._images[image].scanned = now

    def forget(self, image: ScannedImage) -> None:
        self._images.pop(image, None)

    def images(self) -> list[ScannedImage]:
        return list(self._images)

    def due(self, now: float) -> list[ScannedImage]:
        """Those whose last scan is a day old; days that were missed are not made up for."""
        return [
            image
            for image, times in self._images.items()
            if times.scanned is not None and now - times.scanned >= DAY and now - times.used <= IN_USE
        ]
