"""Selects the images for the daily rescan: those pushed or pulled in the last thirty days.

Source: "Agentless vulnerability assessment for Azure", Defender for Cloud (2026). UNVERIFIED: what happens to the
findings of an image that is no longer scanned; here they stay.
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
    """The images that Defender knows, with their times in Azure seconds since the start."""

    def __init__(self) -> None:
        self._images: dict[ScannedImage, _Times] = {}

    def arrived(self, image: ScannedImage, at: float) -> None:
        """Record a push or import."""
        self._images.setdefault(image, _Times(at)).used = at

    def pulled(self, image: ScannedImage, at: float) -> None:
        if image in self._images:
            self._images[image].used = at

    def scanned(self, image: ScannedImage, at: float) -> None:
        if image in self._images:
            self._images[image].scanned = at

    def forget(self, image: ScannedImage) -> None:
        self._images.pop(image, None)

    def images(self) -> list[ScannedImage]:
        return list(self._images)

    def due(self, at: float) -> list[ScannedImage]:
        """Images whose last scan is a day old; missed days are not made up."""
        return [
            image
            for image, times in self._images.items()
            if times.scanned is not None and at - times.scanned >= DAY and at - times.used <= IN_USE
        ]
