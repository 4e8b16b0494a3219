"""Waivers, and what reading them from exceptions files and from OpenVEX documents has in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pratique.errors import ConfigurationError
from pratique.images import ResolvedImage
from pratique.markdown import one_line
from pratique.named_files import located

Document = TypeVar("Document", bound=BaseModel)

#: Bytes of one file; real OpenVEX documents have some hundred thousand.
LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Why a finding or a missing scan does not count.

    :ivar origin: the file that has it, as the configuration names it
    :ivar kind: ``exception`` (a finding), ``vex`` (a finding) or ``acceptance`` (an image without a scan)
    :ivar subject: the vulnerability's identifier, or the image
    :ivar owner: who is responsible for it; for an OpenVEX document its author
    :ivar approver: who approved it; empty for OpenVEX
    :ivar expires: the first moment (UTC) at which it no longer counts
    """

    origin: str
    kind: str
    subject: str
    reason: str
    owner: str
    approver: str
    expires: datetime

    @property
    def until(self) -> str:
        """Its end as people write it: the last day, or the time."""
        if self.expires.time() == datetime.min.time():
            return f"{self.expires - timedelta(days=1):%Y-%m-%d}"
        return f"{self.expires:%Y-%m-%d %H:%M} UTC"

    @property
    def order(self) -> tuple[datetime, str, str, str, str, str, str]:
        """Sorts by expiry, and waivers with the same expiry always in the same way."""
        return (self.expires, self.origin, self.kind, self.subject, self.reason, self.owner, self.approver)


def longest(waivers: Iterable[Waiver]) -> Waiver | None:
    """The waiver that expires last."""
    return max(waivers, key=lambda waiver: waiver.order, default=None)


def covers_image(digest: str, image: ResolvedImage) -> bool:
    """Whether a digest is the image's, or the digest of the only manifest below it.

    One platform's digest does not cover another platform: pass an image with ``platforms`` narrowed to one.
    """
    return digest == image.digest or {manifest.digest for manifest in image.platforms} == {digest}


def moment(text: str) -> datetime:
    """Read a timestamp with an offset (RFC 3339), as UTC.

    :raises ValueError: when it is not one
    """
    try:
        stamp = datetime.fromisoformat(text.upper())
        if stamp.tzinfo is None:
            raise ValueError("a time needs an offset, for example 2027-01-31T12:00:00Z")
        return stamp.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def later(start: datetime, days: int) -> datetime:
    """The time that many days later, or the latest possible time."""
    try:
        return start + timedelta(days=days)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def read(path: Path) -> bytes:
    """Read a file that the configuration names.

    :raises ConfigurationError: when it cannot be read, or is too large
    """
    try:
        with located(path).open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"It is larger than {LARGEST} bytes")
        return content
    except (OSError, ValueError) as error:
        observed = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            "read the exceptions file", str(path), f"{observed}.", "Fix the path in 'gate.exceptions' or 'gate.vex'."
        ) from None


def unreadable(name: str, observed: str) -> ConfigurationError:
    """The error for an invalid file."""
    return ConfigurationError(
        "read the exceptions file",
        name,
        observed,
        "Fix the file; see examples/gate-exceptions.yaml and examples/vex/.",
    )


def validated(model: type[Document], document: object, name: str, **context: Any) -> Document:
    """Validate a file's document.

    :param name: the file's name in errors
    :raises ConfigurationError: naming each wrong entry and field
    """
    try:
        return model.model_validate(document, context=context)
    except ValidationError as error:
        raise unreadable(name, _explain(error)) from None


def _explain(error: ValidationError, most: int = 10) -> str:
    problems = error.errors(include_url=False)
    lines = []
    for problem in problems[:most]:
        field = one_line(".".join(str(step) for step in problem["loc"])) or "the file"
        value = problem["input"]
        shown = f" is {value!r:.80}" if isinstance(value, str | int | float | bool) else ""
        lines.append(f"{field}{shown}: {problem['msg']}")
    rest = len(problems) - most
    return "; ".join(lines) + (f"; and {rest} more." if rest > 0 else ".")
