"""Asks for break glass: writes the entry by which one digest may come into ``live/`` before it is assessed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pratique.config import Bootstrap
from pratique.errors import ConfigurationError
from pratique.gate.exceptions.file import Entries
from pratique.gate.exceptions.stanza import NewBreakGlass
from pratique.images import ImageReference
from pratique.release.acceptance import chosen_file, write_entry

_ATTEMPTED = "write the break-glass entry"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the first person asks for.

    :ivar image: with its digest
    :ivar hours: how long it may last, in hours
    :ivar incident: the ticket
    :ivar requested_by: the first person's name
    """

    image: ImageReference
    hours: float
    reason: str
    incident: str
    requested_by: str

    def require_complete(self) -> None:
        """:raises ConfigurationError: naming what is missing"""
        if self.image.digest is None:
            raise ConfigurationError(
                _ATTEMPTED,
                str(self.image),
                "It has no digest, and a tag can move to an image that nobody looked at.",
                f"Write {self.image}@sha256:… with the digest, which 'pratique check' and 'pratique plan' show.",
            )
        values = {"--reason": self.reason, "--incident": self.incident, "--requested-by": self.requested_by}
        if missing := [name for name, value in values.items() if not value.strip()]:
            raise ConfigurationError(
                _ATTEMPTED,
                str(self.image),
                f"{', '.join(missing)} is missing.",
                "Say why it cannot wait, for which incident, and who asks for it. Another person approves it.",
            )

    def require_allowed(self, most: float) -> None:
        """Require that the policy allows it.

        :param most: hours that an entry may last
        :raises ConfigurationError: unless it does
        """
        if not most:
            raise ConfigurationError(
                _ATTEMPTED,
                str(self.image),
                "The policy allows no break glass: gate.policy.break_glass_hours is 0.",
                "Wait for an assessment. To allow it, set at most 24 hours and have that reviewed. Where clusters "
                "share the registry, its policy has to allow it as well.",
            )
        if not 0 < self.hours <= most:
            raise ConfigurationError(
                _ATTEMPTED,
                str(self.image),
                f"The policy's break_glass_hours allow up to {most:g} hours, and {self.hours:g} are asked for.",
                f"Ask for at most {most:g} with --hours.",
            )


def request_break_glass(config: Bootstrap, request: Request, file: Path | None = None) -> tuple[Path, NewBreakGlass]:
    """Write an entry that counts from now on into an exceptions file. Return the file and the entry.

    :param file: which file; needed when the configuration names several
    :raises ConfigurationError: when the request is incomplete or not allowed, or the file cannot be edited
    """
    request.require_complete()
    request.require_allowed(config.gate.policy.break_glass_hours)
    path, now = chosen_file(config, file), datetime.now(UTC)
    opened = now.replace(microsecond=0)
    new = NewBreakGlass(
        image=request.image,
        reason=request.reason,
        incident=request.incident,
        requested_by=request.requested_by,
        opened=opened,
        until=opened + timedelta(hours=request.hours),
    )

    def require_new(known: Entries) -> None:
        for entry in known.break_glass:
            if entry.digest == new.image.digest:
                ended = f"ended at {entry.until:%Y-%m-%d %H:%M} UTC" if entry.over(now) else "still counts"
                raise ConfigurationError(
                    _ATTEMPTED,
                    str(new.image),
                    f"{entry.origin} has an entry for this digest, which {ended}.",
                    "A digest has one entry at a time. Remove that one, which Git keeps, if a new one is needed.",
                )

    write_entry(config, path, new, now, require_new)
    return path, new
