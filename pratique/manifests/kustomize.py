"""Which images the manifests of a GitOps repository bring to the cluster, as kustomize renders them.

Enough of kustomize to follow an image: resources, bases, components and patches are read, and each kustomization's
``images:`` applied to what came together below it. A folder without a kustomization is taken with everything in it, as
Flux does (its kustomize-controller generates the missing ``kustomization.yaml``). What cannot be followed, such as Helm
charts and resources on other hosts, is named and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pratique.errors import ManifestRejected
from pratique.images import LIVE, LiveImage
from pratique.manifests.yaml_editor import YamlText

# The three names that kustomize looks for.
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_MANIFESTS = (".yaml", ".yml")
# Fields of a kustomization that bring images which only kustomize itself could tell.
_UNFOLLOWED = ("helmCharts", "helmChartInflationGenerator", "generators", "transformers")
# Name, tag and digest, as kustomize splits them: the last colon after the last slash begins the tag.
_IMAGE = re.compile(r"(?P<name>[^@]+?)(?P<tag>:[^:/@]*)?(?P<digest>@.*)?")


@dataclass(frozen=True, order=True)
class UsedImage:
    """An image that a manifest names.

    :ivar file: the manifest, below the root, with ``/``
    :ivar image: what the kubelet would get to see, or before a kustomization's ``images:`` what the manifest says
    """

    file: str
    image: str


@dataclass(frozen=True)
class Usage:
    """How the manifests and the released images fit together.

    :ivar images: every image that the manifests use
    :ivar unused: repositories (below ``live/``) of released images that no manifest uses
    :ivar unreleased: images of the manifests that were not released, or not with that tag or digest
    :ivar unread: what may bring further images and could not be followed, each with the reason
    """

    images: tuple[UsedImage, ...] = ()
    unused: tuple[str, ...] = ()
    unreleased: tuple[UsedImage, ...] = ()
    unread: tuple[str, ...] = ()

    def warnings(self) -> Iterator[str]:
        """One line each for what somebody should look at."""
        for repository in self.unused:
            yield f"No manifest uses {LIVE}{repository}, which was released."
        for used in self.unreleased:
            yield f"{used.file} uses {used.image}, which was not released."
        for what in self.unread:
            yield f"Images could not be looked for in {what}"


def usage(root: Path, folder: str, registry: str, released: Mapping[str, LiveImage], *, partial: bool = False) -> Usage:
    """Compare the manifests below a folder with what was released.

    :param registry: login server of the live registry
    :param released: by the repository's name below ``live/``
    :param partial: whether ``live/`` holds more than ``released`` says; then only the images that are not in ``live/``
        at all are told
    """
    rendering = Rendering(root)
    images = sorted(set(rendering.of(root / folder)))
    live = f"{registry}/{LIVE}"
    names = {used: _name(used.image).removeprefix(live) for used in images if _name(used.image).startswith(live)}
    unreleased = [
        used
        for used in images
        if used not in names
        or (names[used] in released and not _is(used.image, released[names[used]]))
        or (names[used] not in released and not partial)
    ]
    unused = sorted(released.keys() - names.values())
    return Usage(tuple(images), tuple(unused), tuple(unreleased), tuple(sorted(set(rendering.unread))))


@dataclass
class Rendering:
    """Reads manifests below a root.

    :ivar unread: what was met and could not be followed
    """

    root: Path
    unread: list[str] = field(default_factory=list)
    _under_way: set[Path] = field(default_factory=set)

    def of(self, path: Path) -> list[UsedImage]:
        """The images of a manifest, or of a folder: as its kustomization says, or of all that lies in it."""
        if not path.resolve().is_relative_to(self.root.resolve()) or not path.exists():
            self._skip(path, "There is no such file in the repository.")
            return []
        if path.is_file():
            text = self._text(path)
            return list(_used(self._name(path), self._parsed(path, text))) if "image" in text else []
        if (kustomization := _kustomization(path)) is not None:
            return self._kustomized(kustomization, [])
        inside = sorted(one for one in path.iterdir() if one.is_dir() or one.suffix in _MANIFESTS)
        return [image for one in inside if not one.name.startswith(".") for image in self.of(one)]

    def before(self, kustomization: Path) -> list[UsedImage]:
        """What comes together in a kustomization before its own ``images:`` are applied."""
        return self._gathered(kustomization, self._document(kustomization), [])

    def _kustomized(self, file: Path, base: list[UsedImage]) -> list[UsedImage]:
        if file.resolve() in self._under_way:
            self._skip(file, "It includes itself.")
            return base
        self._under_way.add(file.resolve())
        try:
            document = self._document(file)
            return _transformed(self._gathered(file, document, base), document.get("images"))
        finally:
            self._under_way.remove(file.resolve())

    def _gathered(self, file: Path, document: dict[str, Any], base: list[UsedImage]) -> list[UsedImage]:
        images = list(base)
        for name in (*_strings(document.get("resources")), *_strings(document.get("bases"))):
            if _is_remote(name):
                self._skip(file, f"It takes {name} from elsewhere.")
            else:
                images += self.of(file.parent / name)
        for name in _strings(document.get("components")):
            component = None if _is_remote(name) else _kustomization(file.parent / name)
            if component is None:
                self._skip(file, f"It takes {name} from elsewhere.")
            else:
                images = self._kustomized(component, images)
        for patch, inline in _patches(document):
            images += _used(self._name(file), self._parsed(file, patch)) if inline else self.of(file.parent / patch)
        for key in _UNFOLLOWED:
            if document.get(key):
                self._skip(file, f"Only kustomize can tell what its {key} bring.")
        return images

    def _document(self, file: Path) -> dict[str, Any]:
        """A kustomization: the first document, as kustomize takes it."""
        try:
            documents = YamlText(self._name(file), self._text(file)).documents
        except ManifestRejected as error:
            self._skip(file, error.observed)
            return {}
        return next((one for one in documents if isinstance(one, dict)), {})

    def _text(self, file: Path) -> str:
        try:
            return file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            self._skip(file, f"{error}.")
            return ""

    def _parsed(self, file: Path, text: str) -> list[Any]:
        reason = ""
        # In C, as other people's manifests may be long; but that refuses {image: a:1}, and both refuse most tabs.
        for pure, written in ((False, text), (True, text), (True, text.replace("\t", " "))):
            try:
                return list(YAML(typ="base", pure=pure).load_all(written))  # base: every scalar as it is written
            except (YAMLError, ValueError, RecursionError) as error:
                reason = reason or f"{' '.join(str(error).split())}."
        self._skip(file, reason)
        return []

    def _skip(self, path: Path, reason: str) -> None:
        self.unread.append(f"{self._name(path)}: {reason}")

    def _name(self, path: Path) -> str:
        path, root = path.resolve(), self.root.resolve()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def kustomizations(root: Path, folder: str) -> list[Path]:
    """Every kustomization below a folder.

    :raises ManifestRejected: when there is no such folder
    """
    top = root / folder
    if not top.is_dir():
        raise ManifestRejected(
            "find the manifests", folder, "The repository has no such folder.", "Correct the folder in the manifests."
        )
    paths = sorted(path for name in KUSTOMIZATIONS for path in top.rglob(name))
    return [path for path in paths if ".git" not in path.relative_to(top).parts]


def _kustomization(folder: Path) -> Path | None:
    return next((folder / name for name in KUSTOMIZATIONS if (folder / name).is_file()), None)


def _used(file: str, documents: list[Any]) -> Iterator[UsedImage]:
    seen: dict[int, Any] = {}  # holds what it has seen: otherwise an id might come again
    rest = documents
    while rest:
        value = rest.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, dict):
            lists = [value[key] for key in _CONTAINERS if isinstance(value.get(key), list)]
            images = [one.get("image") for found in lists for one in found if isinstance(one, dict)]
            if str(value.get("path")).endswith("/image"):  # an operation of a JSON patch
                images.append(value.get("value"))
            yield from (UsedImage(file, image) for image in images if isinstance(image, str) and image)
            rest += value.values()
        elif isinstance(value, list):
            rest += value


def _transformed(images: Iterable[UsedImage], entries: Any) -> list[UsedImage]:
    """What kustomize's image transformer makes of images: a new tag or digest takes the place of both."""
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
    """Tag and digest of an image, with ``:`` and ``@``; ``None`` when its name is another."""
    name = _name(image)
    return image.removeprefix(name) if name == of else None


def _name(image: str) -> str:
    match = _IMAGE.fullmatch(image)
    return match["name"] if match else image


def _is(image: str, released: LiveImage) -> bool:
    suffix = image.removeprefix(_name(image))
    tag, _, digest = suffix.partition("@")
    # With a digest the tag is not looked at when the image is pulled.
    return digest == released.digest if digest else tag == f":{released.tag}"


def _patches(document: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Paths of patches, and patches themselves: these are inline."""
    patches = [one for key in ("patches", "patchesJson6902") for one in document.get(key) or []]
    for patch in patches:
        if isinstance(patch, dict):
            yield from ((path, False) for path in _strings([patch.get("path")]))
            yield from ((text, True) for text in _strings([patch.get("patch")]))
    yield from ((text, "\n" in text) for text in _strings(document.get("patchesStrategicMerge")))


def _strings(value: Any) -> Iterator[str]:
    yield from (one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _is_remote(name: str) -> bool:
    return "://" in name or "?ref=" in name or name.startswith(("git@", "github.com/"))
