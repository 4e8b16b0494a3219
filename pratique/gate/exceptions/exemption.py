"""Why something does not count, and what exceptions files and OpenVEX documents need in common to say so.

>>> Excuse("accepted.yaml", "exception", "CVE-2024-6119", "…", "a", "b", datetime(2027, 2, 1, tzinfo=UTC)).until
'2027-01-31'
"""

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

Document = TypeVar("Document", bound=BaseModel)


@dataclass(frozen=True)
class Waiver:
    """Why something does not count.

    :ivar origin: the file that says so, as the configuration names it
    :ivar kind: ``exception`` (a finding), ``vex`` (a finding) or ``acceptance`` (an image that nobody assessed)
    :ivar subject: the vulnerability's identifier, or the image
    :ivar owner: who answers for it; of an OpenVEX document its author
    :ivar approver: empty for OpenVEX
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
        """Its end as people write it: the last day, or the moment."""
        if self.expires.time() == datetime.min.time():
            return f"{self.expires - timedelta(days=1):%Y-%m-%d}"
        return f"{self.expires:%Y-%m-%d %H:%M} UTC"

    @property
    def order(self) -> tuple[datetime, str, str, str, str, str, str]:
        """Sorts by end, and what ends together always in the same way."""
        return (self.expires, self.origin, self.kind, self.subject, self.reason, self.owner, self.approver)


def longest(waivers: Iterable[Waiver]) -> Waiver | None:
    """The one that ends last."""
    return max(waivers, key=lambda waiver: waiver.order, default=None)


def names_all_of(digest: str, image: ResolvedImage) -> bool:
    """Whether a digest is the image's, or that of the only manifest below it.

    One platform's digest says nothing of another platform: judge a platform with ``platforms`` narrowed to it.
    """
    return digest == image.digest or {one.digest for one in image.platforms} == {digest}


def moment(text: str) -> datetime:
    """A timestamp with an offset (RFC 3339), in UTC.

    :raises ValueError: when it is none
    """
    try:
        stamp = datetime.fromisoformat(text.upper())
        if stamp.tzinfo is None:
            raise ValueError("a time needs an offset, for example 2027-01-31T12:00:00Z")
        return stamp.astimezone(UTC)
    except OverflowError:
        raise ValueError("no calendar has this time") from None


def later(start: datetime, days: int) -> datetime:
    """So many days after a moment, or the end of all time."""
    try:
        return start + timedelta(days=days)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def read(path: Path) -> bytes:
    """A file that the configuration names.

    :raises ConfigurationError: when it cannot be read
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        observed = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            "read what does not count", str(path), f"{observed}.", "Mend the path in 'gate.exceptions' or 'gate.vex'."
        ) from None


def unreadable(name: str, observed: str) -> ConfigurationError:
    """The error for a file that is not what it should be."""
    return ConfigurationError(
        "read what does not count",
        name,
        observed,
        "Mend the file; examples/gate-exceptions.yaml and examples/vex/ show the forms.",
    )


def validated(model: type[Document], document: object, name: str, **context: Any) -> Document:
    """A document of a file in its validated form.

    :param name: what errors call the file
    :raises ConfigurationError: names each wrong entry and field
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
