"""Chooses the version of an image that an entry of ``images:`` gets, where the catalogue has several at once.

>>> old, new = Version(tag="1.14.0", manifests=("apps/legacy",)), Version(tag="1.15.0")
>>> choose([old, new], "apps/legacy/kustomization.yaml", Pins()).tag
'1.14.0'
>>> choose([old, new], "apps/web/kustomization.yaml", Pins()).tag
'1.15.0'

The versions that name an entry's file come first, then those that name no manifests. Of several, the entry keeps the
one whose tag or digest it has. Otherwise nothing is chosen: that is an error, and never a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeAlias

from pratique.errors import ConfigurationError
from pratique.images import LIVE, LiveImage

_ATTEMPTED = "choose the versions of images for the manifests"
_MOST_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of an image that the catalogue has.

    :ivar digest: empty if this run has not released it; then no manifest is changed to it
    :ivar manifests: patterns of files or folders, relative to the folder of the manifests, whose entries get it; empty
        for all that no other version names
    """

    tag: str
    digest: str = ""
    manifests: tuple[str, ...] = ()

    @property
    def image(self) -> LiveImage | None:
        """The image in ``live/``, if this run has released it."""
        return LiveImage(self.tag, self.digest) if self.digest else None

    def names(self, file: str) -> bool:
        """Whether one of its patterns names a file, or a folder above it."""
        return any(is_named(pattern, file) for pattern in self.manifests)


#: The catalogue's versions of each image, by the repository's name below ``live/``.
Versions: TypeAlias = Mapping[str, Sequence[Version]]


@dataclass(frozen=True)
class Pins:
    """What an entry says about its version now: its own tag and digest, or those of the images that it applies to."""

    tags: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Undecided:
    """No version could be chosen.

    :ivar candidates: that the entry could get
    :ivar is_open: whether the entry may have the digest of a version whose digest is not known; it stays unchanged
    """

    candidates: tuple[Version, ...]
    is_open: bool = False


def choose(versions: Sequence[Version], file: str, pins: Pins) -> Version | Undecided | None:
    """The version for an entry; ``None`` if all versions name other manifests.

    :param file: relative to the folder of the manifests
    """
    named = [version for version in versions if version.names(file)]
    candidates = named or [version for version in versions if not version.manifests]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    tagged = [version for version in candidates if pins.tags == {version.tag}]
    pinned = [version for version in candidates if pins.digests == {version.digest}]
    if tagged and (not pinned or tagged[0] in pinned):
        return tagged[0]
    if len(pinned) == 1 and not tagged:
        return pinned[0]
    unknown = any(not version.digest for version in candidates)
    return Undecided(tuple(candidates), is_open=unknown and not tagged and not pinned and bool(pins.digests))


def is_named(pattern: str, file: str) -> bool:
    """Whether a pattern names a file, or a folder above it. ``*`` stays within one name, ``**`` spans folders."""
    return _is_named(pattern.split("/"), file.split("/"))


def _is_named(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_is_named(pattern[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _is_named(pattern[1:], parts[1:])


@dataclass
class Choices:
    """Chooses versions for entries, and collects what cannot be chosen.

    :ivar versions: the catalogue's
    """

    versions: Versions
    _undecided: list[str] = field(default_factory=list)
    _files: dict[str, set[str]] = field(default_factory=dict)

    def image(self, repository: str, file: str, pins: Pins) -> LiveImage | None:
        """The released image for an entry; ``None`` if the entry stays unchanged."""
        self._files.setdefault(repository, set()).add(file)
        chosen = choose(self.versions.get(repository, ()), file, pins)
        if isinstance(chosen, Undecided):
            if not chosen.is_open:
                tags = " or ".join(version.tag for version in chosen.candidates)
                self._undecided.append(f"{file}: {LIVE}{repository} could be {tags}{_has(pins)}")
            return None
        return chosen.image if chosen else None

    def require_decided(self, folder: str) -> None:
        """:raises ConfigurationError: listing the entries without a choice, and patterns that name no entry

        :param folder: of the manifests
        """
        if self._undecided:
            raise ConfigurationError(
                _ATTEMPTED,
                folder,
                f"The catalogue has several versions: {_listed(self._undecided)}.",
                "Name these files in manifests of one of the versions in the catalogue, or set newTag of the entries "
                "to the version that they should have.",
            )
        if unused := sorted(self._unused()):
            raise ConfigurationError(
                _ATTEMPTED,
                folder,
                f"No entry for the image is there: {_listed(unused)}.",
                "Correct or remove these patterns in manifests of the catalogue's images.",
            )

    def _unused(self) -> Iterable[str]:
        for repository, versions in self.versions.items():
            files: Collection[str] = self._files.get(repository, ())
            for version in versions:
                for pattern in version.manifests:
                    if not any(is_named(pattern, file) for file in files):
                        yield f"{pattern} (of {LIVE}{repository}:{version.tag})"


def _listed(entries: Sequence[str]) -> str:
    more = len(entries) - _MOST_LISTED
    return "; ".join(entries[:_MOST_LISTED]) + (f"; and {more} more" if more > 0 else "")


def _has(pins: Pins) -> str:
    names = ", ".join(sorted({*pins.tags, *pins.digests}))
    return f" (it has {names})" if names else ""
