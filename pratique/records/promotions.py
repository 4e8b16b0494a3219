"""What this project has put into ``live/``: one record for each digest under each tag, with the run that did it.

Kept in :data:`FILE` on the records' branch of the GitOps repository (:mod:`pratique.records.branch`)::

    promotions = Promotions.parse(text)
    record = promotions.explaining("live/library/busybox", "sha256:…")

Facts: an image that was found promoted already, without a record, is recorded as ``found``: its verdict is today's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, cast

from pratique.images import ImageReference, ImportedImage, PlatformManifest, ResolvedImage
from pratique.records.document import dump, instant, load, written

FILE = "promotions.json"
VERSION = 1
_KEY = "promotions"

How = Literal["promoted", "found"]


@dataclass(frozen=True)
class PromotionRecord:
    """One image that was let into ``live/``.

    :ivar source: the upstream reference, as the catalogue writes it
    :ivar digest: of what the tag names: an index, or a manifest
    :ivar registry: login server
    :ivar repository: as in the registry, with ``live/``
    :ivar platforms: the runnable manifests below the digest
    :ivar at: when it was recorded
    :ivar run: id of the flow run; empty outside of one
    :ivar policy: digest of the policy that let it pass
    :ivar how: ``promoted`` by that run, or ``found`` in ``live/`` by it, with a passing verdict
    """

    source: str
    digest: str
    registry: str
    repository: str
    tag: str
    platforms: tuple[PlatformManifest, ...]
    at: datetime
    run: str
    policy: str
    how: How

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two records one."""
        return (self.registry, self.repository, self.tag, self.digest)

    @property
    def reference(self) -> ImageReference:
        """Where it stands, with its digest."""
        return ImageReference(self.registry, self.repository, self.tag or None, self.digest)

    @property
    def image(self) -> ResolvedImage:
        """The image as the gate knew it, under its upstream reference."""
        return ResolvedImage(ImageReference.parse(self.source), self.digest, self.platforms)

    @property
    def digests(self) -> frozenset[str]:
        """Its own, and those of the manifests that came along with it."""
        return frozenset({self.digest, *(one.digest for one in self.platforms)})

    @classmethod
    def of(cls, moved: ImportedImage, *, policy: str, run: str, at: datetime) -> PromotionRecord:
        """The record of an image that was let into ``live/``, or found there, with a passing verdict.

        :param policy: digest of the policy
        """
        image, place = moved.image, moved.reference
        return cls(
            source=str(image.reference),
            digest=image.digest,
            registry=place.registry,
            repository=place.repository,
            tag=place.tag or "",
            platforms=image.platforms,
            at=at,
            run=run,
            policy=policy,
            how="promoted" if moved.outcome == "imported" else "found",
        )

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> PromotionRecord:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError: when it is malformed
        """
        if entry["how"] not in ("promoted", "found"):
            raise ValueError(f"how is {entry['how']!r}")
        return cls(
            platforms=tuple(PlatformManifest(one["platform"], one["digest"]) for one in entry["platforms"]),
            at=instant(entry["at"]),
            how=cast(How, entry["how"]),
            **{name: str(entry[name]) for name in _TEXTS},
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        platforms = [{"platform": one.platform, "digest": one.digest} for one in self.platforms]
        texts = {name: getattr(self, name) for name in _TEXTS}
        return texts | {"platforms": platforms, "at": written(self.at), "how": self.how}


_TEXTS = ("source", "digest", "registry", "repository", "tag", "run", "policy")


@dataclass(frozen=True)
class Promotions:
    """All records, in the order of their places."""

    records: tuple[PromotionRecord, ...] = ()

    @classmethod
    def parse(cls, text: str, name: str = FILE) -> Promotions:
        """From the file's text.

        :param name: what errors call the file
        :raises UnreadableAnswer: when it is of another version, or malformed
        """
        return cls(tuple(load(text, name, _KEY, VERSION, PromotionRecord.read)))

    def text(self) -> str:
        """The file's text: the same records always make the same."""
        return dump(_KEY, VERSION, (one.entry() for one in sorted(self.records, key=lambda one: one.key)))

    def including(self, records: Iterable[PromotionRecord]) -> Promotions:
        """With those that are new. What is on record stays as it was first told."""
        together = {one.key: one for one in records} | {one.key: one for one in self.records}
        return Promotions(tuple(together[key] for key in sorted(together)))

    def explaining(self, repository: str, digest: str, registry: str | None = None) -> PromotionRecord | None:
        """The record that explains why a digest stands in a repository, if there is one.

        :param repository: with ``live/``
        :param digest: of an image, or of a platform's manifest below one
        :param registry: login server; ``None`` for any
        """
        found = self._by_digest.get((repository, digest), ())
        return next((one for one in found if registry is None or one.registry == registry), None)

    @cached_property
    def _by_digest(self) -> Mapping[tuple[str, str], list[PromotionRecord]]:
        places: dict[tuple[str, str], list[PromotionRecord]] = {}
        for record in sorted(self.records, key=lambda one: (one.at, one.key)):
            for digest in record.digests:
                places.setdefault((record.repository, digest), []).append(record)
        return places
