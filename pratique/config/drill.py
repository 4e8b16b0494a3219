"""The drill that bypasses the quarantine."""

from __future__ import annotations

from pydantic import Field, field_validator

from pratique.config.base import Address, ClientId, Model
from pratique.config.catalogue import Image
from pratique.images import ImageReference

#: What a person types to start the drill.
CONFIRMATION = "bypass the quarantine"


class Drill(Model):
    """The drill that bypasses the quarantine on purpose, to check that the alert fires."""

    source: Address = Field(
        "docker.io/library/busybox:1.37.0", description="Harmless image to import. The drill removes it again."
    )
    push: bool = Field(True, description="Also push an image. The identity needs the permission to push.")
    rule: str = Field(
        "Image Imported into ACR from source other than approved Quarantine",
        description="Name of the alert rule in the resource group of the registry with live/, or its resource id if it "
        "is in another group.",
    )
    identity: ClientId | None = Field(
        None,
        description="Client id of the managed identity that drills use, on a work pool of their own. Leave empty for "
        "the worker's own.",
    )
    deadline: float = Field(
        20,
        gt=0,
        le=1440,
        description="Minutes to wait for the alert. Logs take 3 to 10, the rule's evaluation up to 10 more.",
    )
    interval: float = Field(15, gt=0, description="Seconds between two checks for the alert.")

    @field_validator("source")
    @classmethod
    def _fully_qualified(cls, source: str) -> str:
        return Image(source=source).source

    @property
    def image(self) -> ImageReference:
        return ImageReference.parse(self.source)
