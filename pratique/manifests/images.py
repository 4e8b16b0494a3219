"""Points the kustomizations of a GitOps repository at the released images.

It only edits files below a folder; :mod:`pratique.git` clones the repository and pushes the changes::

    point_images(root, "cluster-manifests", "acraks123.azurecr.io", {"kubereboot/kured": LiveImage("1.14.0", digest)})

The sample's placeholders are filled in first, with exactly the bytes that the walkthrough's ``sed`` writes. Everything
else is found by its YAML path, so the values of another cluster or of the next release replace the previous ones, and
a second run changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pratique.change import Change
from pratique.images import LIVE, ImageReference, LiveImage
from pratique.manifests.documents import NotFollowed
from pratique.manifests.files import mapping, path_inside, read_yaml, scalar, write_yaml
from pratique.manifests.image_names import Matched, split
from pratique.manifests.kustomize import Renderer, kustomizations
from pratique.manifests.release_check import Usage, find_usage
from pratique.manifests.versions import Choices, Pins, Version, Versions
from pratique.manifests.yaml_editor import Path as YamlPath
from pratique.manifests.yaml_editor import Plain, YamlText

#: What identifies the image in an entry of ``images:``. ``both`` renders as ``name:tag@digest``: the digest is pulled.
Pin: TypeAlias = Literal["tag", "digest", "both"]

#: An entry of ``images:``: its path, its fields, and the repository below ``live/`` that it resolves to.
_Entry: TypeAlias = tuple[YamlPath, dict[str, Plain], str]

#: A kustomization: its path, its text, and its entries with the image that each gets.
_Chosen: TypeAlias = tuple[Path, YamlText, list[tuple[_Entry, LiveImage | None]]]

REGISTRY_PLACEHOLDER = "REPLACE_ME_WITH_YOUR_ACRNAME"

# The placeholder contains underscores, which host names do not.
_AZURE_REGISTRY = re.compile(r"[A-Za-z0-9_-]+\.azurecr\.(?:io|us|cn)")


@dataclass(kw_only=True)
class ImagesEdit:
    """:func:`point_images` as an edit of a checkout. It also compares the released images with those in use.

    :ivar versions: all of the catalogue, whether released by this run or not
    :ivar usage: set by each call
    """

    folder: str
    registry: str
    versions: Versions
    pin: Pin = "both"
    usage: Usage = field(default_factory=Usage)

    def __call__(self, root: Path) -> list[Change]:
        changes = point_versions(root, self.folder, self.registry, self.versions, pin=self.pin)
        self.usage = find_usage(root, self.folder, self.registry, self.versions)
        return changes


def point_images(
    root: Path, folder: str, registry: str, images: Mapping[str, LiveImage], *, pin: Pin = "both"
) -> list[Change]:
    """As :func:`point_versions`, with one version of each image for all entries.

    :param images: released images, by the repository's name below ``live/`` (``library/busybox``)
    """
    versions = {name: (Version(tag=image.tag, digest=image.digest),) for name, image in images.items()}
    return point_versions(root, folder, registry, versions, pin=pin)


def point_versions(root: Path, folder: str, registry: str, versions: Versions, *, pin: Pin = "both") -> list[Change]:
    """Set registry, tag and digest of every released image that a kustomization below a folder names.

    Entries for other images stay unchanged, including placeholders. Nothing is written if any file is rejected.

    :param root: the checkout
    :param folder: the manifests, below the root
    :param registry: login server of the live registry, for example ``acraks123.azurecr.io``
    :param versions: of the catalogue; those that are not released have no digest, and change no entry
    :param pin: ``tag`` sets only the tag, and adds none if the manifests already have that tag; ``digest`` sets only
        the digest; ``both`` sets both
    :raises ConfigurationError: for an invalid registry, repository, tag or digest, or an entry that could get several
        versions
    :raises ManifestRejected: for a missing folder, or a file that cannot be edited
    """
    _require_valid(registry, versions)
    path_inside(root, folder)
    edits: list[tuple[Path, YamlText]] = []
    changes: list[Change] = []
    bases = _Bases(root)
    for path, before, entries in _chosen_entries(root, folder, registry, versions):
        registry_name = registry.partition(".")[0]
        text = before.replaced(REGISTRY_PLACEHOLDER, registry_name, but=_unchanged_values(entries))
        values: dict[YamlPath, str | None] = {}
        for (place, entry, repository), image in entries:
            if image is None:
                continue
            wanted = _wanted(f"{registry}/{LIVE}{repository}", image, pin)
            if pin == "tag" and "newTag" not in entry and _has_tag(bases, path, entry, image.tag):
                del wanted["newTag"]
            for key, value in wanted.items():
                values[*place, key] = value
                if (old := scalar(entry.get(key))) != value:
                    changes.append(Change(text.file, f"images.{repository}.{key}", old, value))
        text = text.edited(values)
        if text.text != before.text and not any(change.file == text.file for change in changes):
            changes.append(Change(text.file, "placeholders", REGISTRY_PLACEHOLDER, registry_name))
        edits.append((path, text))
    for path, text in edits:
        write_yaml(path, text)
    return changes


def _require_valid(registry: str, versions: Versions) -> None:
    for repository, known in versions.items():
        for image in filter(None, (version.image for version in known)):
            ImageReference.parse(f"{registry}/{LIVE}{repository}:{image.tag}@{image.digest}")


def require_decided(root: Path, folder: str, versions: Versions) -> int:
    """The number of entries for images of the catalogue, each of which gets one version at most.

    :raises ConfigurationError: when an entry could get several
    :raises ManifestRejected: as :func:`point_versions`
    """
    path_inside(root, folder)
    chosen = _chosen_entries(root, folder, "", versions)
    return sum(repository in versions for _, _, entries in chosen for (_, _, repository), _ in entries)


def _chosen_entries(root: Path, folder: str, registry: str, versions: Versions) -> list[_Chosen]:
    """The entries of each kustomization, with the image that each gets.

    :raises ConfigurationError: when an entry could get several
    """
    choices, bases, found = Choices(versions), _Bases(root), list[_Chosen]()
    for path in kustomizations(root, folder):
        text, file = read_yaml(root, path), path.relative_to(root / folder).as_posix()
        entries = []
        for entry in _live_entries(text, registry):
            repository = entry[2]
            pins = _pins(bases, path, entry[1], registry) if len(versions.get(repository, ())) > 1 else Pins()
            entries.append((entry, choices.image(repository, file, pins)))
        found.append((path, text, entries))
    choices.require_decided(folder)
    return found


class _Bases:
    """The images of kustomizations before their ``images:`` are applied. Each kustomization is rendered once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rendered: dict[Path, tuple[Matched, bool]] = {}

    def images(self, kustomization: Path, entry: Mapping[str, Plain]) -> tuple[list[str], bool]:
        """The images to which an entry applies, and whether all could be read.

        :raises NotFollowed: when the entry's name is a pattern
        """
        if kustomization not in self._rendered:
            renderer = Renderer(self._root)
            images = Matched(base.image for base in renderer.base_images(kustomization))
            self._rendered[kustomization] = images, not renderer.unread
        matched, is_complete = self._rendered[kustomization]
        return matched.by(scalar(entry.get("name")) or ""), is_complete


def _pins(bases: _Bases, kustomization: Path, entry: Mapping[str, Plain], registry: str) -> Pins:
    """The tag and digest that an entry sets; without either, those of the manifests that it applies to.

    These say nothing if one of them has no tag, or cannot be read, or was renamed into ``live/`` by an entry of another
    kustomization, which this run may change.
    """
    tag, digest = scalar(entry.get("newTag")), scalar(entry.get("digest"))
    if tag or digest:
        return Pins(frozenset(filter(None, [tag])), frozenset(filter(None, [digest])))
    try:
        images, is_complete = bases.images(kustomization, entry)
    except NotFollowed:
        return Pins()
    names = {split(image) for image in images}
    if not is_complete or any(not suffix or _below_live(base, registry) for base, suffix in names):
        return Pins()
    suffixes = [suffix.partition("@") for _, suffix in names]
    return Pins(
        frozenset(tag[1:] for tag, _, _ in suffixes if tag), frozenset(digest for _, _, digest in suffixes if digest)
    )


def _unchanged_values(entries: Sequence[tuple[_Entry, LiveImage | None]]) -> list[YamlPath]:
    """Values whose placeholder stays: a ``name`` selects the images of an entry, and other images are not released."""
    names = [(*place, "name") for (place, entry, _), _ in entries if "name" in entry]
    return names + [(*place, "newName") for (place, entry, _), image in entries if image is None and "newName" in entry]


def _wanted(name: str, image: LiveImage, pin: Pin) -> dict[str, str | None]:
    # An unwanted field has to be removed: the node would pull an old digest, and an old tag would mislead people.
    tag = None if pin == "digest" else image.tag
    digest = None if pin == "tag" else image.digest
    return {"newName": name, "newTag": tag, "digest": digest}


def _has_tag(bases: _Bases, kustomization: Path, entry: Mapping[str, Plain], tag: str) -> bool:
    """Whether the manifests to which an entry applies already have that tag."""
    try:
        return {split(image)[1] for image in bases.images(kustomization, entry)[0]} == {f":{tag}"}
    except NotFollowed:
        return False


def live_images(root: Path, folder: str, registry: str) -> list[tuple[str, str, LiveImage]]:
    """The ``live/`` images of a registry in the kustomizations below a folder: file, repository below ``live/``, image.

    :raises ManifestRejected: as :func:`point_images`
    """
    return [
        (text.file, repository, _pinned(entry))
        for text in (read_yaml(root, path) for path in kustomizations(root, folder))
        for _, entry, repository in _live_entries(text, registry)
        if _resolved(entry).startswith(f"{registry}/")
    ]


def _pinned(entry: Mapping[str, Plain]) -> LiveImage:
    """Tag and digest that an entry sets, or that its name carries when it sets neither."""
    tag, digest = scalar(entry.get("newTag")) or "", scalar(entry.get("digest")) or ""
    if not tag and not digest:
        tag, _, digest = split(_resolved(entry))[1].removeprefix(":").partition("@")
    return LiveImage(tag, digest)


def _resolved(entry: Mapping[str, Plain]) -> str:
    return scalar(entry.get("newName") or entry.get("name")) or ""


def _live_entries(text: YamlText, registry: str) -> Iterator[_Entry]:
    """Entries of ``images:`` that resolve to ``live/``."""
    for number, document in enumerate(text.documents):
        images = mapping(document).get("images")
        for index, item in enumerate(images if isinstance(images, list) else []):
            entry = mapping(item)
            if repository := _below_live(split(_resolved(entry))[0], registry):
                yield (number, "images", index), entry, repository


def _below_live(name: str, registry: str) -> str:
    """The repository below ``live/`` of that registry, or of any in Azure; empty for other images."""
    host, _, repository = name.partition("/")
    known = host == registry or _AZURE_REGISTRY.fullmatch(host)
    return repository.removeprefix(LIVE) if known and repository.startswith(LIVE) else ""
