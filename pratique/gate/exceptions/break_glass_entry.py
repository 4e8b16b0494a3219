"""The entries of ``break_glass`` in an exceptions file, as the file has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
    model_validator,
)

from pratique.gate.evidence import CLOCKS_DIFFER
from pratique.gate.exceptions.break_glass import BreakGlass, pinned_reference
from pratique.gate.exceptions.entry import Line
from pratique.gate.exceptions.exemption import moment
from pratique.images import ImageReference


def _time(value: object) -> datetime:
    if isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError("write a time with an offset, for example 2026-11-23T03:10:00Z")
    return moment(value).replace(microsecond=0)


def _image(value: object) -> ImageReference:
    if not isinstance(value, str):
        raise ValueError("an image's reference is text")
    return pinned_reference(value)


Time = Annotated[datetime, BeforeValidator(_time)]
PinnedImage = Annotated[InstanceOf[ImageReference], BeforeValidator(_image), PlainSerializer(str)]


class BreakGlassEntry(BaseModel):
    """An entry of ``break_glass`` as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: PinnedImage
    reason: Line = Field(min_length=10)
    incident: Line = Field(min_length=1)
    requested_by: Line = Field(min_length=1)
    opened: Time
    until: Time

    @model_validator(mode="after")
    def _bounded(self, info: ValidationInfo) -> Self:
        if self.until <= self.opened:
            raise ValueError("'until' is not after 'opened'")
        context: Mapping[str, Any] = info.context or {}
        now, hours = context.get("now", self.until), context.get("hours", 0)
        if now >= self.until:
            return self
        if self.opened - now > CLOCKS_DIFFER:
            raise ValueError(
                "'opened' is in the future: an entry is for now. Remove it, and run 'pratique break-glass' when it is "
                "needed"
            )
        if not hours:
            raise ValueError(
                "the policy allows no break glass: gate.policy.break_glass_hours is 0. Remove the entry, and wait for "
                "an assessment"
            )
        if self.until - self.opened > timedelta(hours=hours):
            raise ValueError(f"the policy's break_glass_hours allow {hours:g} hours from 'opened' to 'until'")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """Identifies the entry: no two may have the same key."""
        return "break_glass", self.image.digest or ""

    def value(self, origin: str) -> BreakGlass:
        """The entry as a value.

        :param origin: name of its file
        """
        return BreakGlass(
            origin=origin,
            image=self.image,
            requested_by=self.requested_by,
            reason=self.reason,
            incident=self.incident,
            opened=self.opened,
            until=self.until,
        )
