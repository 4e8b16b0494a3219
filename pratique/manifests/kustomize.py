"""Finds the images that the manifests of a GitOps repository deploy, as kustomize renders them.

This implements as much of kustomize as images need: it reads resources, bases, components and patches, and applies each
kustomization's ``images:`` to the images collected below it. All files of a folder without a kustomization count, as
with Flux, whose kustomize-controller generates the missing ``kustomization.yaml``. What cannot be followed, such as
Helm charts and resources on other hosts, is reported and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

from pratique.errors import ManifestRejected
from pratique.images import LIVE, LiveImage
from pratique.manifests.files import exists_inside, is_inside
from pratique.manifests.yaml_editor import YamlText
from pratique.markdown import plain

# The three file names that kustomize looks for.
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_MANIFESTS = (".yaml", ".yml")
# Fields of a kustomization whose images only kustomize itself can render.
_UNSUPPORTED = ("helmCharts", "helmChartInflationGenerator", "generators", "transformers")
_DEEPEST = 200  # levels of lists and mappings inside each other
# Name, tag and digest, split like kustomize does: the tag starts at the last colon after the last slash.
_IMAGE = re.compile(r"(?P<name>[^@]+?)(?P<tag>:[^:/@]*)?(?P<digest>@.*)?")


@dataclass(frozen=True, order=True)
class UsedImage:
    """An image that a manifest names.

    :ivar file: path of the manifest below the root, with ``/``
    :ivar image: the image as the kubelet gets it; before a kustomization's ``images:`` are applied, as in the manifest
    """

    file: str
    image: str


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
    names = {used: _name(used.image).removeprefix(live) for used in images if _name(used.image).startswith(live)}
    unreleased = [
        used
        for used in images
        if used not in names
        or (names[used] in released and not _matches(used.image, released[names[used]]))
        or (names[used] not in released and not partial)
    ]
    unused = sorted(released.keys() - names.values())
    return Usage(tuple(images), tuple(unused), tuple(unreleased), tuple(sorted(set(renderer.unread))))


@dataclass
class Renderer:
    """Reads manifests below a root.

    :ivar unread: what could not be followed, each with the reason
    """

    root: Path
    unread: list[str] = field(default_factory=list)
    _in_progress: set[Path] = field(default_factory=set)

    def images(self, path: Path) -> list[UsedImage]:
        """The images of a manifest or of a folder: those of its kustomization, or of all manifests in it."""
        if not exists_inside(self.root, path):
            self._skip(path, "There is no such file in the repository.")
            return []
        if path.is_file():
            text = self._text(path)
            return list(_images(self._name(path), self._parse(path, text))) if "image" in text else []
        if (kustomization := _kustomization(path)) is not None:
            return self._kustomize(kustomization, [])
        entries = sorted(entry for entry in path.iterdir() if entry.is_dir() or entry.suffix in _MANIFESTS)
        return [image for entry in entries if not entry.name.startswith(".") for image in self.images(entry)]

    def base_images(self, kustomization: Path) -> list[UsedImage]:
        """The images of a kustomization before its ``images:`` are applied."""
        return self._collect(kustomization, self._document(kustomization), [])

    def _kustomize(self, file: Path, base: list[UsedImage]) -> list[UsedImage]:
        if file.resolve() in self._in_progress:
            self._skip(file, "It includes itself.")
            return base
        self._in_progress.add(file.resolve())
        try:
            document = self._document(file)
            return _apply_images(self._collect(file, document, base), document.get("images"))
        finally:
            self._in_progress.remove(file.resolve())

    def _collect(self, file: Path, document: dict[str, Any], base: list[UsedImage]) -> list[UsedImage]:
        images = list(base)
        for name in (*_strings(document.get("resources")), *_strings(document.get("bases"))):
            if _is_remote(name):
                self._skip(file, f"It includes {name} from outside the repository.")
            else:
                images += self.images(file.parent / name)
        for name in _strings(document.get("components")):
            folder = file.parent / name
            component = None if _is_remote(name) or not exists_inside(self.root, folder) else _kustomization(folder)
            if component is None:
                self._skip(file, f"It includes {name}, which is not a kustomization in the repository.")
            else:
                images = self._kustomize(component, images)
        for patch, inline in _patches(document):
            if inline:
                images += _images(self._name(file), self._parse(file, patch))
            else:
                images += self.images(file.parent / patch)
        for key in _UNSUPPORTED:
            if document.get(key):
                self._skip(file, f"Only kustomize can render its {key}.")
        return images

    def _document(self, file: Path) -> dict[str, Any]:
        """The kustomization in a file: its first document, as with kustomize."""
        try:
            documents = YamlText(self._name(file), self._text(file)).documents
        except ManifestRejected as error:
            self._skip(file, error.observed)
            return {}
        return next((document for document in documents if isinstance(document, dict)), {})

    def _text(self, file: Path) -> str:
        try:
            return file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            self._skip(file, f"{error}.")
            return ""

    def _parse(self, file: Path, text: str) -> list[Any]:
        reason = ""
        # The fast C parser comes first. It rejects {image: a:1}, and both parsers reject most tabs.
        for pure, source in ((False, text), (True, text), (True, text.replace("\t", " "))):
            try:
                if not pure:
                    _require_shallow(source)
                return list(YAML(typ="base", pure=pure).load_all(source))  # base: scalars are not converted
            except (YAMLError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
                reason = reason or f"{' '.join(str(error).split())}."
        self._skip(file, reason)
        return []

    def _skip(self, path: Path, reason: str) -> None:
        self.unread.append(f"{self._name(path)}: {reason}")

    def _name(self, path: Path) -> str:
        inside = is_inside(self.root, path)
        return plain(path.resolve().relative_to(self.root.resolve()).as_posix() if inside else path.name)


def kustomizations(root: Path, folder: str) -> list[Path]:
    """Every kustomization below a folder.

    :raises ManifestRejected: when the folder does not exist
    """
    top = root / folder
    if not top.is_dir():
        raise ManifestRejected(
            "find the manifests", folder, "The repository has no such folder.", "Correct manifests.folder."
        )
    paths = sorted(path for name in KUSTOMIZATIONS for path in top.rglob(name))
    return [path for path in paths if ".git" not in path.relative_to(top).parts]


def _require_shallow(text: str) -> None:
    """Check the nesting before the C parser composes values: it recurses on the C stack, which crashes the process.

    :raises YAMLError: when the text is nested too deeply
    """
    depth = 0
    for event in YAML(typ="base", pure=False).parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            raise YAMLError(f"It is nested more than {_DEEPEST} levels deep")


def _kustomization(folder: Path) -> Path | None:
    return next((folder / name for name in KUSTOMIZATIONS if (folder / name).is_file()), None)


def _images(file: str, documents: list[Any]) -> Iterator[UsedImage]:
    seen: dict[int, Any] = {}  # keeps the values alive, as ids of deleted objects are reused
    values = documents
    while values:
        value = values.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, dict):
            lists = [value[key] for key in _CONTAINERS if isinstance(value.get(key), list)]
            images = [container.get("image") for items in lists for container in items if isinstance(container, dict)]
            if str(value.get("path")).endswith("/image"):  # an operation of a JSON patch
                images.append(value.get("value"))
            yield from (UsedImage(file, image) for image in images if isinstance(image, str) and image)
            values += value.values()
        elif isinstance(value, list):
            values += value


def _apply_images(images: Iterable[UsedImage], entries: Any) -> list[UsedImage]:
    """Apply ``images:`` like kustomize's image transformer: a new tag or digest replaces both."""
    rendered = list(images)
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not entry.get("name"):
            continue
        tag, digest = entry.get("newTag") or "", entry.get("digest") or ""
        suffix = f"{':' * bool(tag)}{tag}{'@' * bool(digest)}{digest}"
        for index, used in enumerate(rendered):
            name = _name(used.image)
            if name == entry["name"]:
                image = (entry.get("newName") or name) + (suffix or used.image.removeprefix(name))
                rendered[index] = UsedImage(used.file, image)
    return rendered


def suffix(image: str, *, of: str | None) -> str | None:
    """Tag and digest of an image, with ``:`` and ``@``; ``None`` when the image has another name."""
    name = _name(image)
    return image.removeprefix(name) if name == of else None


def _name(image: str) -> str:
    match = _IMAGE.fullmatch(image)
    return match["name"] if match else image


def _matches(image: str, released: LiveImage) -> bool:
    tag, _, digest = image.removeprefix(_name(image)).partition("@")
    # A pull by digest ignores the tag.
    return digest == released.digest if digest else tag == f":{released.tag}"


def _patches(document: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Paths of patches and inline patches, each with whether it is inline."""
    patches = [patch for key in ("patches", "patchesJson6902") for patch in document.get(key) or []]
    for patch in patches:
        if isinstance(patch, dict):
            yield from ((path, False) for path in _strings([patch.get("path")]))
            yield from ((text, True) for text in _strings([patch.get("patch")]))
    yield from ((text, "\n" in text) for text in _strings(document.get("patchesStrategicMerge")))


def _strings(value: Any) -> Iterator[str]:
    yield from (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _is_remote(name: str) -> bool:
    return "://" in name or "?ref=" in name or name.startswith(("git@", "github.com/"))
