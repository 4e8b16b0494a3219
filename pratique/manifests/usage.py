"""Finds the images of ``live/`` that the manifests of the GitOps repository refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pratique.images import DIGEST_PATTERN, LIVE, TAG_PATTERN
from pratique.manifests.images import live_images
from pratique.manifests.kustomize import KUSTOMIZATIONS

_SUFFIXES = (".yaml", ".yml", ".json")  # patches are JSON, too
_SIZE_LIMIT = 4 * 1024 * 1024  # bytes; larger files are not manifests


@dataclass(frozen=True, order=True)
class Use:
    """One reference to an image.

    :ivar file: path below the repository's root
    :ivar repository: including ``live/``
    :ivar tag: empty when the reference has none
    :ivar digest: empty when the reference has none; then the tag identifies the image, and without a tag as well it may
        be any image of the repository
    :ivar cluster: key of the cluster whose manifests it is in; empty for the configuration's own
    :ivar label: what reports call that cluster; empty for the configuration's own
    """

    file: str
    repository: str
    tag: str
    digest: str
    cluster: str = ""
    label: str = ""

    @property
    def place(self) -> str:
        """The file, after the cluster's name where it is another cluster's."""
        return f"{self.label}: {self.file}" if self.label else self.file


def references(root: Path, folder: str, registry: str) -> list[Use]:
    """References to ``live/`` below a folder of a checkout, in kustomizations' entries and in the text of manifests and
    patches.

    :param registry: login server
    :raises ManifestRejected: as :func:`pratique.manifests.images.live_images`
    """
    entries = live_images(root, folder, registry)
    found = {Use(file, LIVE + repository, image.tag, image.digest) for file, repository, image in entries}
    renamed = {(use.file, use.repository) for use in found}
    for path in _files(root, folder):
        file, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8", errors="replace")
        for repository, tag, digest in _in_text(text.replace("\\/", "/"), registry):  # as JSON may write it
            if tag or digest or (file, repository) not in renamed:  # without either, the text is that of an entry
                found.add(Use(file, repository, tag, digest))
    return sorted(found)


def _in_text(text: str, registry: str) -> Iterator[tuple[str, str, str]]:
    pattern = (
        rf"(?<![\w.-]){re.escape(registry)}/(?P<repository>{LIVE}[a-z0-9._/-]*[a-z0-9])"
        rf"(?::(?P<tag>{TAG_PATTERN}))?(?:@(?P<digest>{DIGEST_PATTERN}))?"
    )
    for match in re.finditer(pattern, text):
        yield match["repository"], match["tag"] or "", match["digest"] or ""


def _files(root: Path, folder: str) -> Iterator[Path]:
    for path in sorted((root / folder).rglob("*")):
        named = path.suffix in _SUFFIXES or path.name in KUSTOMIZATIONS
        inside = path.resolve().is_relative_to(root.resolve()) and ".git" not in path.relative_to(root).parts
        if named and inside and path.is_file() and path.stat().st_size <= _SIZE_LIMIT:
            yield path
