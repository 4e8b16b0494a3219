"""Image names as kustomize reads them, and what an entry of ``images:`` makes of them.

Facts: kustomize, ``api/internal/image/image.go`` and ``api/filters/imagetag/updater.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pratique.manifests.documents import NotFollowed

# kustomize uses the name of an entry as a regular expression. A dot stands for any character there, too; other
# operators are used by nobody, and could keep the pattern busy for hours.
_SAFE_NAME = re.compile(r"[\w./:@-]+", re.ASCII)
_SUFFIX = re.compile(r"(?::[a-zA-Z0-9_.{}-]*)?(?:@[a-zA-Z0-9]+(?:[.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?")


def split(image: str) -> tuple[str, str]:
    """The name of an image, and its tag and digest with ``:`` and ``@``. Both are empty when it has neither."""
    path = max(image.find("/"), 0)  # a colon before the first slash belongs to the registry's port
    positions = [found for separator in ":@" if (found := image.find(separator, path)) >= 0]
    end = min(positions, default=len(image))
    return image[:end], image[end:]


class Matched:
    """Images, of which those are found to which an entry of ``images:`` applies.

    The name of an entry may carry a tag and a digest. A dot in it stands for any character, so images are looked up by
    what they have in the places of the others.
    """

    def __init__(self, images: Iterable[str]) -> None:
        self._by_length: dict[int, list[tuple[str, str]]] = {}
        for image in dict.fromkeys(images):
            for name in _names(image):
                self._by_length.setdefault(len(name), []).append((name, image))
        self._by_form: dict[_Form, dict[str, list[str]]] = {}

    def by(self, name: str) -> list[str]:
        """The images to which an entry with this name applies.

        :raises NotFollowed: when the name is a pattern
        """
        form = _form(name)
        if form not in self._by_form:
            found: dict[str, list[str]] = {}
            for own, image in self._by_length.get(form.length, ()):
                if (key := form.key(own)) is not None:
                    found.setdefault(key, []).append(image)
            self._by_form[form] = found
        return self._by_form[form].get(name, [])


class Entries:
    """The entries of ``images:``, by their names. Each image is renamed by those that apply to it, in order.

    :ivar problems: why entries could not be followed
    """

    def __init__(self, entries: Iterable[Any]) -> None:
        self._entries: list[Mapping[str, Any]] = []
        self._forms: dict[int, dict[_Form, dict[str, list[int]]]] = {}
        self.problems: list[str] = []
        for entry in entries:
            if isinstance(entry, dict) and (name := _text(entry, "name")):
                try:
                    form = _form(name)
                except NotFollowed as reason:
                    self.problems.append(str(reason))
                    continue
                by_name = self._forms.setdefault(form.length, {}).setdefault(form, {})
                by_name.setdefault(name, []).append(len(self._entries))
                self._entries.append(entry)

    def renamed(self, image: str) -> str:
        """The image that the entries make of an image."""
        following = 0
        while (number := min(self._applying(image, following), default=None)) is not None:
            try:
                image = _renamed(image, self._entries[number])
            except NotFollowed as reason:
                self.problems.append(str(reason))
            following = number + 1
        return image

    def _applying(self, image: str, first: int) -> Iterator[int]:
        for own in _names(image):
            for form, by_name in self._forms.get(len(own), {}).items():
                key = form.key(own)
                yield from (number for number in by_name.get(key or "", ()) if number >= first)


@dataclass(frozen=True)
class _Form:
    """The length of an entry's name, and where it has dots.

    :ivar length: characters
    """

    length: int
    dots: tuple[int, ...]

    def key(self, name: str) -> str | None:
        """An image's name with dots in these places; ``None`` if a dot does not stand for what is there."""
        if any(name[place] == "\n" for place in self.dots):
            return None
        parts = [
            name[start:end] for start, end in zip((0, *(d + 1 for d in self.dots)), (*self.dots, None), strict=True)
        ]
        return ".".join(parts)


def _form(name: str) -> _Form:
    if not _SAFE_NAME.fullmatch(name):
        raise NotFollowed(f"kustomize reads the name {name!r} in its images as a pattern.")
    return _Form(len(name), tuple(place for place, character in enumerate(name) if character == "."))


def _names(image: str) -> Iterator[str]:
    """The beginnings of an image that an entry's name has to be for it to apply: a tag and a digest may follow."""
    ends = {len(image), *(place for place, character in enumerate(image) if character in ":@")}
    return (image[:end] for end in sorted(ends) if _SUFFIX.fullmatch(image, end))


def _renamed(image: str, entry: Mapping[str, Any]) -> str:
    """The image that an entry of ``images:`` makes of one to which it applies: a new tag or digest replaces both.

    :raises NotFollowed: when the entry has a field that only kustomize can render
    """
    if _text(entry, "tagSuffix"):
        raise NotFollowed("Only kustomize can render a tagSuffix in its images.")
    name, suffix = split(image)
    tag, digest = _text(entry, "newTag"), _text(entry, "digest")
    new = f"{':' * bool(tag)}{tag}{'@' * bool(digest)}{digest}"
    return (_text(entry, "newName") or name) + (new or suffix)


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""
