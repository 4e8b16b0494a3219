"""Image names as kustomize reads them, and what an entry of ``images:`` makes of them.

Facts: kustomize, ``api/internal/image/image.go`` and ``api/filters/imagetag/updater.go``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pratique.manifests.documents import NotFollowed

# kustomize uses the name of an entry as a regular expression. A dot stands for any character there, too; other
# operators are used by nobody, and could keep the pattern busy for hours.
_SAFE_NAME = re.compile(r"[\w./:@-]+", re.ASCII)
_SUFFIX = r"(?::[a-zA-Z0-9_.{}-]*)?(?:@[a-zA-Z0-9]+(?:[.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?"


def split(image: str) -> tuple[str, str]:
    """The name of an image, and its tag and digest with ``:`` and ``@``. Both are empty when it has neither."""
    path = max(image.find("/"), 0)  # a colon before the first slash belongs to the registry's port
    positions = [found for separator in ":@" if (found := image.find(separator, path)) >= 0]
    end = min(positions, default=len(image))
    return image[:end], image[end:]


def is_matched(image: str, name: str) -> bool:
    """Whether an entry with this name applies to an image. The name may carry a tag and a digest.

    :raises NotFollowed: when the name is a pattern
    """
    if not _SAFE_NAME.fullmatch(name):
        raise NotFollowed(f"kustomize reads the name {name!r} in its images as a pattern.")
    return re.fullmatch(f"{name}{_SUFFIX}", image) is not None


def renamed(image: str, entry: Mapping[str, Any]) -> str:
    """The image that an entry of ``images:`` makes of an image: a new tag or digest replaces both.

    :raises NotFollowed: when the entry has a pattern as its name, or a field that only kustomize can render
    """
    if not is_matched(image, _text(entry, "name")):
        return image
    if _text(entry, "tagSuffix"):
        raise NotFollowed("Only kustomize can render a tagSuffix in its images.")
    name, suffix = split(image)
    tag, digest = _text(entry, "newTag"), _text(entry, "digest")
    new = f"{':' * bool(tag)}{tag}{'@' * bool(digest)}{digest}"
    return (_text(entry, "newName") or name) + (new or suffix)


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""
