"""Finds the images that the manifests of a GitOps repository deploy, as kustomize renders them.

This implements as much of kustomize as images need: it reads resources, bases, components and patches, and applies each
kustomization's ``images:`` to the images collected below it. All files of a folder without a kustomization count, as
with Flux, whose kustomize-controller generates the missing ``kustomization.yaml``. What cannot be followed, such as
Helm charts, resources on other hosts and symbolic links, is reported and not guessed.

Facts: kustomize, ``api/internal/target/kusttarget.go`` and ``kusttarget_configplugin.go`` for the order of steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pratique.errors import ManifestRejected
from pratique.manifests import patches
from pratique.manifests.documents import NOT_A_MANIFEST, NotFollowed, Value, is_null, is_text_only, load
from pratique.manifests.files import exists_inside, is_inside
from pratique.manifests.image_names import Entries
from pratique.manifests.resources import Resource, mapping, mounted_images, resources, text
from pratique.markdown import plain

# The three file names that kustomize looks for.
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")

_MANIFESTS = (".yaml", ".yml")
# Fields of a kustomization whose images only kustomize itself can render.
_UNSUPPORTED = ("helmCharts", "helmChartInflationGenerator", "generators", "transformers", "openapi")
_MOUNTED = "It depends on kustomize's version whether images: applies to {}, which a pod mounts as a volume."


@dataclass(frozen=True, order=True)
class UsedImage:
    """An image that a manifest names.

    :ivar file: path of the manifest below the root, with ``/``
    :ivar image: the image as the kubelet gets it; before a kustomization's ``images:`` are applied, as in the manifest
    """

    file: str
    image: str


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
        return _images(self._resources(path, whole=False))

    def base_images(self, kustomization: Path) -> list[UsedImage]:
        """The images of a kustomization before its ``images:`` are applied."""
        return _images(self._collect(kustomization, self._document(kustomization), [], whole=False))

    def _resources(self, path: Path, *, whole: bool) -> list[Resource]:
        """The resources of a manifest or of a folder.

        :param whole: whether those without an image count as well, because a patch could give them one
        """
        if not exists_inside(self.root, path):
            self._skip(path, "There is no such file in the repository.")
            return []
        if path.is_file():
            content = self._text(path)
            if not whole and "image" not in content:
                return []
            return list(resources(self._name(path), self._load(path, content)))
        if (kustomization := _kustomization(path)) is not None:
            return self._kustomize(kustomization, [], whole=whole)
        paths = sorted(entry for entry in path.iterdir() if entry.is_dir() or entry.suffix in _MANIFESTS)
        visible = [entry for entry in paths if not entry.name.startswith(".")]
        return [resource for entry in visible for resource in self._resources(entry, whole=whole)]

    def _kustomize(self, file: Path, base: list[Resource], *, whole: bool) -> list[Resource]:
        if file.resolve() in self._in_progress:
            self._skip(file, "It includes itself.")
            return base
        self._in_progress.add(file.resolve())
        try:
            document = self._document(file)
            collected = self._collect(file, document, base, whole=whole)
            self._apply_images(file, document.get("images"), collected)
            return collected
        finally:
            self._in_progress.remove(file.resolve())

    def _collect(self, file: Path, document: dict[str, Any], base: list[Resource], *, whole: bool) -> list[Resource]:
        """The resources of a kustomization, patched and named, in kustomize's order of steps."""
        whole = whole or any(document.get(key) for key in ("components", *patches.PATCHES))
        collected = list(base)
        for name in (*_strings(document.get("resources")), *_strings(document.get("bases"))):
            if _is_remote(name):
                self._skip(file, f"It includes {name} from outside the repository.")
            else:
                collected += self._resources(file.parent / name, whole=whole)
        for name in _strings(document.get("components")):
            folder = file.parent / name
            component = None if _is_remote(name) or not exists_inside(self.root, folder) else _kustomization(folder)
            if component is None:
                self._skip(file, f"It includes {name}, which is not a kustomization in the repository.")
            else:
                collected = self._kustomize(component, collected, whole=whole)
        for key in _UNSUPPORTED:
            if document.get(key) and not is_null(document[key]):
                self._skip(file, f"Only kustomize can render its {key}.")
        if self._replaces_images(file, document):
            self._skip(file, "Only kustomize can render its replacements.")
        for key in ("patchesStrategicMerge", "patches"):
            self._apply_patches(file, document, key, collected)
        _apply_names(document, collected)
        self._apply_patches(file, document, "patchesJson6902", collected)
        return [resource for resource in collected if resource.document]

    def _apply_patches(self, file: Path, document: dict[str, Any], key: str, collected: list[Resource]) -> None:
        for entry in patches.entries(document, key):
            path = file if entry.is_inline else file.parent / entry.text
            if not entry.is_inline and (_is_remote(entry.text) or not exists_inside(self.root, path)):
                self._skip(file, f"There is no patch {entry.text} in the repository.")
                continue
            documents = self._load(path, entry.text if entry.is_inline else self._text(path))
            try:
                # A patch may mean a resource that could not be read: then its own images count.
                is_applied = patches.apply(documents, entry, collected, self._name(path)) or not self.unread
            except NotFollowed as reason:
                self._skip(path, str(reason))
                is_applied = False
            if not is_applied:
                collected += patches.own_resources(documents, self._name(path))

    def _replaces_images(self, file: Path, document: dict[str, Any]) -> bool:
        replacements = document.get("replacements")
        entries = replacements if isinstance(replacements, list) else []
        paths = [file.parent / path for entry in entries if (path := text(entry, "path"))]
        texts = [str(entries), *(self._text(path) for path in paths if exists_inside(self.root, path))]
        return any("image" in replacement or "containers" in replacement for replacement in texts)

    def _apply_images(self, file: Path, entries: Any, collected: Iterable[Resource]) -> None:
        if not isinstance(entries, list):
            return
        by_name, used = Entries(entries), False
        for resource in collected:
            names = {image: by_name.renamed(image) for _, image in resource.images}
            for image in mounted_images(resource.document):
                if names[image] != image:
                    self._skip(file, _MOUNTED.format(image))
            resource.rename_images(names)
            used = used or bool(names)
        for reason in by_name.problems if used else ():
            self._skip(file, reason)

    def _document(self, file: Path) -> dict[str, Any]:
        """The kustomization in a file: its first document, as with kustomize."""
        documents = self._load(file, self._text(file))
        return next((document for document in documents if isinstance(document, dict)), {})

    def _text(self, file: Path) -> str:
        try:
            content = file.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            self._skip(file, f"{error}.")
            return ""
        if is_text_only(content):
            self._skip(file, NOT_A_MANIFEST)
        return content

    def _load(self, file: Path, content: str) -> list[Value]:
        try:
            return load(content)
        except NotFollowed as reason:
            self._skip(file, str(reason))
            return []

    def _skip(self, path: Path, reason: str) -> None:
        self.unread.append(f"{self._name(path)}: {plain(reason)}")

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


def _kustomization(folder: Path) -> Path | None:
    return next((folder / name for name in KUSTOMIZATIONS if (folder / name).is_file()), None)


def _images(deployed: Iterable[Resource]) -> list[UsedImage]:
    return [UsedImage(*used) for resource in deployed if resource.is_deployed for used in resource.images]


def _apply_names(document: dict[str, Any], collected: Iterable[Resource]) -> None:
    """Set names, namespace, labels and annotations, by which patches of further kustomizations find the resources."""
    labels = mapping(document, "commonLabels")
    entries = document.get("labels")
    for entry in entries if isinstance(entries, list) else []:
        labels = labels | mapping(entry, "pairs")
    prefix, suffix, namespace = (text(document, key) for key in ("namePrefix", "nameSuffix", "namespace"))
    for resource in collected:
        metadata = mapping(resource.document, "metadata")
        named: dict[str, Any] = {"name": f"{prefix}{text(metadata, 'name')}{suffix}"} if prefix or suffix else {}
        named |= {"namespace": namespace} if namespace else {}
        for key, pairs in (("labels", labels), ("annotations", mapping(document, "commonAnnotations"))):
            named |= {key: mapping(metadata, key) | pairs} if pairs else {}
        if named and resource.document:
            resource.change(resource.document | {"metadata": metadata | named}, resource.file)


def _strings(value: Any) -> Iterator[str]:
    yield from (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _is_remote(name: str) -> bool:
    return "://" in name or "?ref=" in name or name.startswith(("git@", "github.com/"))
