"""What Pratique has locked in ``live/`` (its seal), since when no cluster uses it, and what was unlocked again.

A lock is on record from before it is set, so that the next run knows it for Pratique's own, and sets it again when it
is gone::

    seals = Seals.parse(text)
    seal = seals.by_key["acraks123.azurecr.io", "live/library/busybox", "sha256:…"]

Whoever can write to the records branch can write here: an earlier ``unused_since`` has an image unlocked earlier, if no
registered cluster uses it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from pratique.records.document import dump, format_time, load, parse_time

FILE = "seals.json"
VERSION = 1
_KEY = "seals"

#: Registry, repository and digest of an image in ``live/``.
ImageKey: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class SealAction:
    """Who did something, and when.

    :ivar by: the identity, for people
    :ivar run: id of the flow run
    """

    at: datetime
    by: str
    run: str

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> SealAction:
        """From its JSON form."""
        return cls(parse_time(entry["at"]), str(entry["by"]), str(entry["run"]))

    def entry(self) -> dict[str, str]:
        """Its JSON form."""
        return {"at": format_time(self.at), "by": self.by, "run": self.run}


@dataclass(frozen=True, kw_only=True)
class SealRecord:
    """One image whose tags and manifests Pratique has locked.

    :ivar registry: login server
    :ivar repository: with ``live/``
    :ivar digest: of the index or manifest that was promoted
    :ivar parts: tags and digests that Pratique locked, without what others had locked before; once the image is
        unlocked, those that another image still needs
    :ivar sealed: the first lock
    :ivar unused_since: when a run first found that nothing needs it; ``None`` while something does
    :ivar unsealed: when it was unlocked; ``None`` while it is locked
    """

    registry: str
    repository: str
    digest: str
    parts: tuple[str, ...]
    sealed: SealAction
    unused_since: datetime | None = None
    unsealed: SealAction | None = None

    @property
    def key(self) -> ImageKey:
        return self.registry, self.repository, self.digest

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> SealRecord:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError: when it is malformed
        """
        unused, unsealed = entry["unusedSince"], entry["unsealed"]
        return cls(
            registry=str(entry["registry"]),
            repository=str(entry["repository"]),
            digest=str(entry["digest"]),
            parts=tuple(map(str, entry["parts"])),
            sealed=SealAction.read(entry["sealed"]),
            unused_since=None if unused is None else parse_time(unused),
            unsealed=None if unsealed is None else SealAction.read(unsealed),
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "registry": self.registry,
            "repository": self.repository,
            "digest": self.digest,
            "parts": sorted(self.parts),
            "sealed": self.sealed.entry(),
            "unusedSince": format_time(self.unused_since) if self.unused_since else None,
            "unsealed": self.unsealed.entry() if self.unsealed else None,
        }


@dataclass(frozen=True)
class Seals:
    """All seals, of all registries, each image once."""

    records: tuple[SealRecord, ...] = ()

    @classmethod
    def parse(cls, text: str | None, name: str = FILE) -> Seals:
        """Read the file's text; without a file nothing was sealed.

        :param name: what errors call the file
        :raises UnreadableAnswer: when it has another version, or is malformed
        """
        return cls() if text is None else cls(tuple(load(text, name, _KEY, VERSION, SealRecord.read)))

    def text(self) -> str:
        """The file's text; equal seals always give equal text."""
        return dump(_KEY, VERSION, (record.entry() for record in sorted(self.records, key=lambda record: record.key)))

    @cached_property
    def by_key(self) -> Mapping[ImageKey, SealRecord]:
        return {record.key: record for record in self.records}

    def with_changes(self, records: Iterable[SealRecord], gone: Collection[ImageKey] = ()) -> Seals:
        """The seals with some in place of those of the same images, and without images that are gone."""
        together = {record.key: record for record in (*self.records, *records)}
        return Seals(tuple(record for key, record in sorted(together.items()) if key not in gone))
