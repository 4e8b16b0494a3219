"""Compares the images in the manifests with the released ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pratique.images import LIVE, LiveImage
from pratique.manifests.image_names import split
from pratique.manifests.kustomize import Renderer, UsedImage


@dataclass(frozen=True)
class Usage:
    """The images in the manifests, compared with the released ones.

    :ivar images: every image that the manifests use
    :ivar unused: repositories (below ``live/``) of released images that no manifest uses
    :ivar unreleased: images of the manifests that were not released, or not with that tag or digest
    :ivar unread: what may deploy further images and could not be followed, each with the reason
    """

    images: tuple[UsedImage, ...] = ()
    unused: tuple[str, ...] = ()
    unreleased: tuple[UsedImage, ...] = ()
    unread: tuple[str, ...] = ()

    def warnings(self) -> Iterator[str]:
        """One line for each discrepancy."""
        for repository in self.unused:
            yield f"No manifest uses {LIVE}{repository}, which was released."
        for used in self.unreleased:
            yield f"{used.file} uses {used.image}, which was not released."
        for reason in self.unread:
            yield f"Could not find all images of {reason}"


def find_usage(
    root: Path, folder: str, registry: str, released: Mapping[str, LiveImage], *, partial: bool = False
) -> Usage:
    """Compare the images in the manifests below a folder with the released ones.

    :param registry: login server of the live registry
    :param released: by the repository's name below ``live/``
    :param partial: whether ``live/`` has more images than ``released``; then images in other repositories of ``live/``
        do not count as unreleased
    """
    renderer = Renderer(root)
    images = sorted(set(renderer.images(root / folder)))
    live = f"{registry}/{LIVE}"
    names = {used: name.removeprefix(live) for used in images if (name := split(used.image)[0]).startswith(live)}
    unreleased = [
        used
        for used in images
        if used not in names
        or (names[used] in released and not _matches(used.image, released[names[used]]))
        or (names[used] not in released and not partial)
    ]
    unused = sorted(released.keys() - names.values())
    return Usage(tuple(images), tuple(unused), tuple(unreleased), tuple(sorted(set(renderer.unread))))


def _matches(image: str, released: LiveImage) -> bool:
    tag, _, digest = split(image)[1].partition("@")
    # A pull by digest ignores the tag.
    return digest == released.digest if digest else tag == f":{released.tag}"
