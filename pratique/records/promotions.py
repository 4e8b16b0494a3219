"""What Pratique has put into ``live/``: one record for each digest under each tag, with the run that did it.

The records are in :data:`FILE` on the records branch of the GitOps repository (:mod:`pratique.records.branch`)::

    promotions = Promotions.parse(text)
    record = promotions.find("live/library/busybox", "sha256:…")

Facts: an image found in ``live/`` without a record is recorded as ``found``, with the verdict of the run that found it.
A digest that two people let in by break glass is on record before it is promoted, and it stays on its record that they
did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, cast

from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.images import LIVE, ImageReference, ImportedImage, PlatformManifest, ResolvedImage
from pratique.records.document import dump, format_time, load, parse_time
from pratique.replicas import ReplicaState

FILE = "promotions.json"
VERSION = 1
_KEY = "promotions"

How = Literal["promoted", "found"]


@dataclass(frozen=True, kw_only=True)
class PromotionRecord:
    """One image that was let into ``live/``.

    :ivar source: the upstream reference, as the catalogue writes it
    :ivar digest: of the index or manifest that the tag names
    :ivar registry: login server
    :ivar repository: as in the registry, with ``live/``
    :ivar platforms: the manifests of the image that a runtime could run
    :ivar contents: digests of all manifests and indexes below the digest; empty for an image without an index, and in
        records of versions that did not write it
    :ivar at: when it was recorded
    :ivar run: id of the flow run; empty outside of one
    :ivar policy: digest of the policy that let it pass
    :ivar how: ``promoted`` by that run, or ``found`` in ``live/`` by it, with a passing verdict
    :ivar verified: whether the run read it back from ``live/``, with everything below its digest; records of older
        versions do not say so
    :ivar replicas: what the newest run to look knows about it in the registry's replicas; ``None`` without replicas,
        before the first look, and in records of older versions
    :ivar break_glass: each time that two people let it in unassessed, the first first
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
    verified: bool = False
    contents: tuple[str, ...] = ()
    replicas: ReplicaState | None = None
    break_glass: tuple[BreakGlassUse, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identifies a record: two with the same key are the same."""
        return (self.registry, self.repository, self.tag, self.digest)

    @property
    def place(self) -> tuple[str, str, str]:
        """Registry, repository and digest, whatever the tag."""
        return (self.registry, self.repository, self.digest)

    @property
    def reference(self) -> ImageReference:
        """Its place in the registry, by tag and digest."""
        return ImageReference(self.registry, self.repository, self.tag or None, self.digest)

    @property
    def image(self) -> ResolvedImage:
        """The image as the gate knew it, under its upstream reference."""
        source = ImageReference.parse(self.source)
        target = source.target_at(self.repository.removeprefix(LIVE))
        return ResolvedImage(source, self.digest, self.platforms, contents=self.contents, target=target)

    @property
    def resolved(self) -> bool:
        """Whether the record holds all that a runtime could run. Earlier versions did not follow nested indexes."""
        return bool(self.contents) or [platform.digest for platform in self.platforms] == [self.digest]

    @property
    def digests(self) -> frozenset[str]:
        """Its own digest, and those of the manifests below it."""
        return frozenset({self.digest, *(platform.digest for platform in self.platforms)})

    @classmethod
    def of(
        cls, imported: ImportedImage, *, policy: str, run: str, at: datetime, break_glass: BreakGlassUse | None = None
    ) -> PromotionRecord:
        """The record of an image with a passing verdict that was promoted into ``live/``, or found there.

        :param policy: digest of the policy
        :param break_glass: who let it in, if its verdict rests on that
        """
        image, place = imported.image, imported.reference
        return cls(
            source=str(image.reference),
            digest=image.digest,
            registry=place.registry,
            repository=place.repository,
            tag=place.tag or "",
            platforms=image.platforms,
            contents=image.contents,
            at=at,
            run=run,
            policy=policy,
            how="promoted" if imported.outcome == "imported" else "found",
            verified=imported.verified,
            replicas=imported.replicas,
            break_glass=(replace(break_glass, run=run),) if break_glass else (),
        )

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> PromotionRecord:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError: when it is malformed
        """
        if entry["how"] not in ("promoted", "found"):
            raise ValueError(f"how is {entry['how']!r}")
        return cls(
            platforms=tuple(
                PlatformManifest(platform["platform"], platform["digest"], _texts(platform.get("also", ())))
                for platform in entry["platforms"]
            ),
            contents=_texts(entry.get("contents", ())),
            at=parse_time(entry["at"]),
            how=cast(How, entry["how"]),
            verified=entry.get("verified") is True,
            replicas=_read_replicas(entry.get("replicas")),
            break_glass=tuple(BreakGlassUse.read(use) for use in entry.get("breakGlass", ())),
            **{name: str(entry[name]) for name in _TEXTS},
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        platforms = [
            {"platform": platform.platform, "digest": platform.digest}
            | ({"also": list(platform.also)} if platform.also else {})
            for platform in self.platforms
        ]
        texts = {name: getattr(self, name) for name in _TEXTS}
        optional: dict[str, Any] = {"contents": list(self.contents)} if self.contents else {}
        if self.break_glass:
            optional["breakGlass"] = [use.entry() for use in self.break_glass]
        more = {"at": format_time(self.at), "how": self.how, "verified": self.verified}
        more |= _replicas_entry(self.replicas)
        return texts | optional | {"platforms": platforms} | more

    def with_record(self, other: PromotionRecord) -> PromotionRecord:
        """The record when another run, or the promotion of a digest that is on record before it, records the same.

        It stays as it is, but for another use of break glass, the newest look at replicas, and what its own run saw
        after the promotion.
        """
        known = self.break_glass
        together = (*known, *(use for use in other.break_glass if not any(map(use.same_as, known))))
        seen = bool(known) and self.run == other.run and other.verified
        replicas = other.replicas or self.replicas
        return replace(self, verified=self.verified or seen, break_glass=together, replicas=replicas)

    def with_verdict(self, state: str, at: datetime) -> PromotionRecord:
        """The record with the first verdict on an assessment since break glass."""
        judged = (
            use if use.verdict else replace(use, verdict=state, verdict_at=at.replace(microsecond=0))
            for use in self.break_glass
        )
        return replace(self, break_glass=tuple(judged))


_TEXTS = ("source", "digest", "registry", "repository", "tag", "run", "policy")


def _texts(entries: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(entry) for entry in entries)


def _replicas_entry(replicas: ReplicaState | None) -> dict[str, Any]:
    """The list of regions, or a text that says why nothing could be seen."""
    if replicas is None:
        return {}
    return {"replicas": str(replicas) if replicas.not_observable else list(replicas.regions)}


def _read_replicas(value: object) -> ReplicaState | None:
    """:raises TypeError: when it is malformed"""
    if value is None:
        return None
    if isinstance(value, str):
        return ReplicaState(not_observable=value.removeprefix("not observable: "))
    if not isinstance(value, list):
        raise TypeError(f"replicas is {value!r:.80}")
    return ReplicaState(regions=_texts(value))


@dataclass(frozen=True)
class Promotions:
    """All records, sorted by registry, repository, tag and digest."""

    records: tuple[PromotionRecord, ...] = ()

    @classmethod
    def parse(cls, text: str | None, name: str = FILE) -> Promotions:
        """Read the file's text; without a file nothing was promoted.

        :param name: what errors call the file
        :raises UnreadableAnswer: when it has another version, or is malformed
        """
        return cls() if text is None else cls(tuple(load(text, name, _KEY, VERSION, PromotionRecord.read)))

    def text(self) -> str:
        """The file's text; equal records always give equal text."""
        return dump(_KEY, VERSION, (record.entry() for record in sorted(self.records, key=lambda record: record.key)))

    def with_records(self, records: Iterable[PromotionRecord]) -> Promotions:
        """The records with new ones added. What is on record is not replaced: :meth:`PromotionRecord.with_record`."""
        together = {record.key: record for record in self.records}
        for record in records:
            known = together.get(record.key)
            together[record.key] = record if known is None else known.with_record(record)
        return Promotions(tuple(together[key] for key in sorted(together)))

    def with_verdicts(self, verdicts: Mapping[tuple[str, str, str], str], at: datetime) -> Promotions:
        """The records with the first verdicts on digests that came in by break glass.

        :param verdicts: states by registry, repository and digest
        """
        return Promotions(
            tuple(
                record.with_verdict(verdicts[record.place], at) if record.place in verdicts else record
                for record in self.records
            )
        )

    def break_glass(self, registry: str, repository: str, digest: str) -> BreakGlassUse | None:
        """The use of break glass that let a digest in, if nothing was assessed since; of several, the last to end.

        :param registry: login server
        :param repository: with ``live/``
        :param digest: of an image, as it was promoted
        """
        found = [use for use in self.break_glass_uses(registry, repository, digest) if not use.verdict]
        return max(found, key=lambda use: use.glass.until, default=None)

    def break_glass_uses(self, registry: str, repository: str, digest: str) -> Sequence[BreakGlassUse]:
        """Each use of break glass that let a digest in, as for :meth:`break_glass`, assessed since or not."""
        return self._break_glass.get((registry, repository, digest), ())

    def find(self, repository: str, digest: str, registry: str | None = None) -> PromotionRecord | None:
        """The record of a digest in a repository, or else the first of an image that it is a part of, if there is one.

        :param repository: with ``live/``
        :param digest: of an image, or of a platform's manifest below one
        :param registry: login server; ``None`` for any
        """
        found = self._by_digest.get((repository, digest), ())
        return next((record for record in found if registry is None or record.registry == registry), None)

    @cached_property
    def _break_glass(self) -> Mapping[tuple[str, str, str], list[BreakGlassUse]]:
        places: dict[tuple[str, str, str], list[BreakGlassUse]] = {}
        for record in self.records:
            if record.break_glass:
                places.setdefault(record.place, []).extend(record.break_glass)
        return places

    @cached_property
    def _by_digest(self) -> Mapping[tuple[str, str], list[PromotionRecord]]:
        places: dict[tuple[str, str], list[PromotionRecord]] = {}
        for record in sorted(self.records, key=lambda record: (record.at, record.key)):
            for digest in record.digests:
                places.setdefault((record.repository, digest), []).append(record)
        for (_, digest), records in places.items():
            records.sort(key=lambda record: record.digest != digest)
        return places
