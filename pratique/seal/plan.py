"""What to lock and what to unlock in ``live/``, and what goes on record about it: pure decisions.

Everything on record with a verdict is locked, except images that nothing has needed for a number of days. A part that
several images share stays locked as long as one of them does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pratique.oci.locks import Content, Part
from pratique.records.seals import ImageKey, SealAction, SealRecord, Seals
from pratique.seal.images import PromotedImage, Recorded
from pratique.seal.needs import Needs


@dataclass(frozen=True, kw_only=True)
class ImageSeal:
    """One image, and its seal after this run.

    :ivar needed_by: why it stays locked
    :ivar unused_since: since when nothing needs it; ``None`` while something does
    :ivar retired: whether that is so long ago that it is unlocked
    """

    image: PromotedImage
    needed_by: tuple[str, ...]
    unused_since: datetime | None
    retired: bool


@dataclass(frozen=True, kw_only=True)
class SealPlan:
    """What a run does.

    :ivar lock: what is not locked, and is to be
    :ivar undone: what of it was on record as locked: somebody, or a replica, has lifted the lock
    :ivar unlock: locks of Pratique on what is retired
    :ivar records: of images that change, as they are while the locks are set
    :ivar unsealed: the records of images that are unlocked, once they are
    :ivar gone: images on record that are no longer in ``live/``
    """

    images: tuple[ImageSeal, ...]
    lock: tuple[Part, ...] = ()
    undone: frozenset[Part] = frozenset()
    unlock: tuple[Part, ...] = ()
    records: tuple[SealRecord, ...] = ()
    unsealed: tuple[SealRecord, ...] = ()
    gone: frozenset[ImageKey] = field(default=frozenset())


def plan_seal(
    registry: str,
    contents: Sequence[Content],
    recorded: Recorded,
    needs: Needs,
    seals: Seals,
    *,
    days: int,
    action: SealAction,
) -> SealPlan:
    """Plan a run.

    :param seals: as on record, of all registries
    :param days: for which nothing must have needed an image before it is unlocked
    :param action: this run
    """
    planner = _Planner({content.repository: content for content in contents}, seals, action, _ours(registry, seals))
    images = [_standing(image, needs, seals.by_key.get(image.key), days, action.at) for image in recorded.images]
    kept = [standing for standing in images if not standing.retired]
    needed = {part for image in (*(each.image for each in kept), *recorded.unassessed) for part in image.parts}
    sealed = [planner.seal(standing) for standing in kept]
    lifted = [planner.lift(standing.image, needed) for standing in images if standing.retired]
    to_lock = tuple(dict.fromkeys(part for _, lock in sealed for part in lock))
    return SealPlan(
        images=tuple(images),
        lock=to_lock,
        undone=planner.ours.intersection(to_lock),
        unlock=tuple(dict.fromkeys(part for _, unlock in lifted for part in unlock)),
        records=tuple(record for record, _ in sealed if seals.by_key.get(record.key) != record),
        unsealed=tuple(record for record, _ in lifted if seals.by_key.get(record.key) != record),
        gone=_gone(
            registry, planner.contents, {image.key for image in (*recorded.images, *recorded.unassessed)}, seals
        ),
    )


@dataclass(frozen=True)
class _Planner:
    """Plans the seals of single images.

    :ivar ours: what Pratique has locked, for whatever image
    """

    contents: Mapping[str, Content]
    seals: Seals
    action: SealAction
    ours: frozenset[Part]

    def seal(self, standing: ImageSeal) -> tuple[SealRecord, list[Part]]:
        """The record of an image that stays locked, and which of its parts are not."""
        image, before = standing.image, self.seals.by_key.get(standing.image.key)
        content = self.contents[image.repository]
        lock = [part for part in image.parts if not content.is_locked(part)]
        parts = tuple(sorted(part.name for part in image.parts if part in lock or part in self.ours))
        if before is None or before.unsealed is not None:
            return self._new(image, parts, standing.unused_since), lock
        return replace(before, parts=parts, unused_since=standing.unused_since), lock

    def lift(self, image: PromotedImage, needed: Collection[Part]) -> tuple[SealRecord, list[Part]]:
        """The record of a retired image once it is unlocked, and which locks to lift: Pratique's own.

        What another image still needs stays locked, and on this record as well, as Pratique's.
        """
        before, content = self.seals.by_key[image.key], self.contents[image.repository]
        shared = tuple(name for name in before.parts if Part(image.repository, name) in needed)
        own = [part for part in image.parts if part.name in before.parts and part not in needed]
        after = replace(before, parts=shared, unsealed=before.unsealed or self.action)
        return after, [part for part in own if content.is_locked(part)]

    def _new(self, image: PromotedImage, parts: tuple[str, ...], unused: datetime | None) -> SealRecord:
        return SealRecord(
            registry=image.registry,
            repository=image.repository,
            digest=image.digest,
            parts=parts,
            sealed=self.action,
            unused_since=unused,
        )


def _standing(image: PromotedImage, needs: Needs, before: SealRecord | None, days: int, at: datetime) -> ImageSeal:
    needed_by = needs.of(image)
    since = None if needed_by else (before.unused_since if before else None) or at.replace(microsecond=0)
    retired = since is not None and before is not None and at - since >= timedelta(days=days)
    return ImageSeal(image=image, needed_by=needed_by, unused_since=since, retired=retired)


def _ours(registry: str, seals: Seals) -> frozenset[Part]:
    """What Pratique has locked, for whatever image."""
    records = (record for record in seals.records if record.registry == registry)
    return frozenset(Part(record.repository, name) for record in records for name in record.parts)


def _gone(
    registry: str, contents: Mapping[str, Content], there: Collection[ImageKey], seals: Seals
) -> frozenset[ImageKey]:
    """Images on record of which the registry no longer has anything. A list that is empty does not say so."""

    def is_gone(record: SealRecord) -> bool:
        content = contents.get(record.repository)
        if content is None:
            return bool(contents)
        return bool(content.manifests) and not any(content.has(Part(content.repository, each)) for each in record.parts)

    candidates = (record for record in seals.records if record.registry == registry and record.key not in there)
    return frozenset(record.key for record in candidates if is_gone(record))
