"""Compares the images in the manifests with the released ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pratique.images import LIVE
from pratique.manifests.image_names import split
from pratique.manifests.kustomize import Renderer, UsedImage
from pratique.manifests.versions import Version, Versions


@dataclass(frozen=True)
class Usage:
    """The images in the manifests, compared with the released ones.

    :ivar images: every image that the manifests use
    :ivar unused: repositories (below ``live/``) of released images that no manifest uses; with the tag where the
        catalogue has several versions
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


def find_usage(root: Path, folder: str, registry: str, versions: Versions) -> Usage:
    """Compare the images in the manifests below a folder with the released ones.

    :param registry: login server of the live registry
    :param versions: of the catalogue, by the repository's name below ``live/``; if this run has not released all of
        them, images in ``live/`` that it has not released do not count as unreleased
    """
    renderer = Renderer(root)
    images = sorted(set(renderer.images(root / folder)))
    live = f"{registry}/{LIVE}"
    names = {used: name.removeprefix(live) for used in images if (name := split(used.image)[0]).startswith(live)}
    partial = any(not version.digest for known in versions.values() for version in known)

    def is_released(used: UsedImage) -> bool:
        if used not in names:
            return False
        known = versions.get(names[used], ())
        if any(version.digest and _matches(used.image, version) for version in known):
            return True
        return partial and not (known and all(version.digest for version in known))

    unreleased = [used for used in images if not is_released(used)]
    uses: dict[str, list[str]] = {}
    for used, name in names.items():
        uses.setdefault(name, []).append(used.image)
    unused = sorted(name for repository, known in versions.items() for name in _unused(repository, known, uses))
    return Usage(tuple(images), tuple(unused), tuple(unreleased), tuple(sorted(set(renderer.unread))))


def _unused(repository: str, versions: Sequence[Version], uses: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Released versions that no manifest uses. One without others counts as used with any tag."""
    used = uses.get(repository, ())
    for version in versions:
        if len(versions) == 1 and version.digest and not used:
            yield repository
        elif len(versions) > 1 and version.digest and not any(_matches(image, version) for image in used):
            yield f"{repository}:{version.tag}"


def _matches(image: str, released: Version) -> bool:
    tag, _, digest = split(image)[1].partition("@")
    # A pull by digest ignores the tag.
    return digest == released.digest if digest else tag == f":{released.tag}"
