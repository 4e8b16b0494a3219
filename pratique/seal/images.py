"""Which tags and manifests in ``live/`` Pratique has put there, by the records of promotions: pure decisions.

Only what is on record with a verdict is locked. Everything else is reported, and never locked as Pratique's own; what
break glass has let in is locked once it was assessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pratique.images import DRILL
from pratique.oci.locks import Content, Part
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.records.seals import ImageKey
from pratique.release.promotion import unique_tag
from pratique.rescan.stored import possible_images


@dataclass(frozen=True, kw_only=True)
class PromotedImage:
    """An image in ``live/`` that is on record, as far as it is there.

    :ivar registry: login server
    :ivar repository: with ``live/``
    :ivar digest: of the index or manifest that was promoted
    :ivar tags: under which it was promoted, and that name it
    :ivar names: every tag by which manifests may mean it: those that name it or anything below, and those on record
    :ivar below: digests of everything below its own that is there
    :ivar missing: digests below its own that are not there, although its record has them
    """

    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    names: tuple[str, ...]
    below: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def key(self) -> ImageKey:
        """As :attr:`pratique.records.seals.SealRecord.key`."""
        return self.registry, self.repository, self.digest

    @property
    def digests(self) -> tuple[str, ...]:
        """Its own digest, and those below it."""
        return self.digest, *self.below

    @property
    def parts(self) -> tuple[Part, ...]:
        """What to lock."""
        return tuple(Part(self.repository, name) for name in (*self.tags, *self.digests))

    @property
    def name(self) -> str:
        """For people: repository and tags."""
        return f"{self.repository}:{','.join(self.tags)}" if self.tags else f"{self.repository}@{self.digest}"


@dataclass(frozen=True)
class MovedTag:
    """A tag that names another digest than its promotion did.

    :ivar locked: whether it is locked, so that it was moved past its lock
    """

    part: Part
    promoted: str
    current: str
    locked: bool

    def __str__(self) -> str:
        lock = "although it is locked" if self.locked else "and is not locked"
        return f"{self.part} was promoted as {self.promoted} and names {self.current}, {lock}"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What is in ``live/``, by whether it is on record.

    :ivar images: on record, with a verdict
    :ivar unassessed: on record, let in by break glass, and not assessed since
    :ivar moved: tags on record that name something else
    :ivar unrecorded: tags, and images without one, that are not on record
    :ivar closed: repositories that are locked themselves, so that nothing can be promoted into them
    """

    images: tuple[PromotedImage, ...]
    unassessed: tuple[PromotedImage, ...] = ()
    moved: tuple[MovedTag, ...] = ()
    unrecorded: tuple[Part, ...] = ()
    closed: tuple[str, ...] = ()


def recorded_images(registry: str, contents: Sequence[Content], promotions: Promotions) -> Recorded:
    """Compare what is in a registry with the records of promotions. A drill's images are none of them.

    :param registry: login server
    """
    by_repository: dict[str, list[PromotionRecord]] = {}
    for record in sorted(promotions.records, key=lambda record: (record.at, record.key)):
        if record.registry == registry:
            by_repository.setdefault(record.repository, []).append(record)
    images: list[PromotedImage] = []
    moved: list[MovedTag] = []
    unrecorded: list[Part] = []
    looked_at = [content for content in contents if not content.repository.startswith(DRILL)]
    for content in looked_at:
        records = by_repository.get(content.repository, [])
        found = list(_images(registry, content, records))
        images += found
        moved += _moved(content, records)
        unrecorded += _unrecorded(content, found, {tag.part for tag in moved})
    unassessed = {image.key for image in images if promotions.break_glass(*image.key) is not None}
    closed = tuple(content.repository for content in looked_at if not content.flags.write)
    return Recorded(
        images=tuple(image for image in images if image.key not in unassessed),
        unassessed=tuple(image for image in images if image.key in unassessed),
        moved=tuple(moved),
        unrecorded=tuple(unrecorded),
        closed=closed,
    )


def _images(registry: str, content: Content, records: Sequence[PromotionRecord]) -> Iterator[PromotedImage]:
    """The recorded images whose own manifest is there."""
    names = _names(records)
    by_digest: dict[str, set[str]] = {}
    for record in records:
        by_digest.setdefault(record.digest, set()).update({*record.contents, *record.digests} - {record.digest})
    for digest, recorded in by_digest.items():
        if digest not in content.manifests:
            continue
        below = (recorded & content.manifests.keys()) | content.below(digest)
        named = {tag.name for tag in content.tags.values() if tag.digest in {digest, *below}}
        on_record = {name for name, promoted in names.items() if promoted == digest}
        tags = {name for name in named & on_record if content.tags[name].digest == digest}
        yield PromotedImage(
            registry=registry,
            repository=content.repository,
            digest=digest,
            tags=tuple(sorted(tags)),
            names=tuple(sorted(named | on_record)),
            below=tuple(sorted(below)),
            missing=tuple(sorted(recorded - content.manifests.keys())),
        )


def _names(records: Sequence[PromotionRecord]) -> Mapping[str, str]:
    """What each tag was promoted as last, the tags that make a digest's promotion unique included.

    :param records: of one repository, oldest first
    """
    named = {unique_tag(record.tag, record.digest): record.digest for record in records if record.tag}
    return named | {record.tag: record.digest for record in records if record.tag}


def _moved(content: Content, records: Sequence[PromotionRecord]) -> Iterator[MovedTag]:
    for name, promoted in _names(records).items():
        tag = content.tags.get(name)
        if tag is not None and tag.digest != promoted:
            part = Part(content.repository, name)
            yield MovedTag(part, promoted, tag.digest, content.is_locked(part))


def _unrecorded(content: Content, images: Sequence[PromotedImage], moved: set[Part]) -> Iterator[Part]:
    known = {part for image in images for part in image.parts} | moved
    tags = [Part(content.repository, name) for name in sorted(content.tags)]
    tagged = {tag.digest for tag in content.tags.values()}
    untagged = [
        Part(content.repository, manifest.digest)
        for manifest in possible_images(list(content.manifests.values()), ())
        if manifest.digest not in tagged
    ]
    return (part for part in (*tags, *untagged) if part not in known)
