"""The drill that goes past the quarantine."""

from __future__ import annotations

from pydantic import Field, field_validator

from pratique.config.base import Model
from pratique.config.catalogue import Image
from pratique.images import ImageReference


class Drill(Model):
    """The drill that goes past the quarantine on purpose, to hear whether the alarm rings."""

    source: str = Field(
        "docker.io/library/busybox:1.37.0", description="Harmless image that is imported; nothing of it stays."
    )
    push: bool = Field(True, description="Push an image as well; takes the right to push.")
    rule: str = Field(
        "Image Imported into ACR from source other than approved Quarantine",
        description="Name of the alert rule, in the cluster's resource group.",
    )
    deadline: float = Field(
        20, gt=0, le=1440, description="Minutes in which it must fire: logs take 3 to 10, the evaluation up to 10 more."
    )
    interval: float = Field(15, gt=0, description="Seconds between two looks.")

    @field_validator("source")
    @classmethod
    def _fully_qualified(cls, source: str) -> str:
        return Image(source=source).source

    @property
    def image(self) -> ImageReference:
        return ImageReference.parse(self.source)
