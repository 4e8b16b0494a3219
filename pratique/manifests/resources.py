"""Kubernetes resources of a manifest: what identifies them, and the images that their pods use.

Facts: kustomize, ``kyaml/resid/resid.go`` and ``api/filters/imagetag``; Kubernetes, ``PodSpec``, ``ImageVolumeSource``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pratique.manifests.documents import Value, is_null

_RENAMED = ("containers", "initContainers")  # by kustomize's images:, wherever they are
_CONTAINERS = (*_RENAMED, "ephemeralContainers")
_NOT_DEPLOYED = "config.kubernetes.io/local-config"
_DEFINITION = "CustomResourceDefinition"  # its schema may have fields of these names, but it runs nothing


class Id(NamedTuple):
    """What identifies a resource for kustomize."""

    group: str
    version: str
    kind: str
    name: str
    namespace: str

    @classmethod
    def of(cls, document: dict[str, Value]) -> Id:
        group, _, version = text(document, "apiVersion").rpartition("/")
        metadata = mapping(document, "metadata")
        namespace = text(metadata, "namespace") or "default"
        return cls(group, version, text(document, "kind"), text(metadata, "name"), namespace)


@dataclass
class Resource:
    """A resource on its way through kustomizations.

    :ivar document: replaced by every change, never changed itself
    :ivar file: that it comes from
    :ivar files: for images that come from another file, such as a patch
    :ivar ids: by which patches find it: the original one first, the current one last; none if no patch may find it
    """

    document: dict[str, Value]
    file: str
    files: dict[str, str] = field(default_factory=dict)
    ids: list[Id] = field(default_factory=list)

    @property
    def images(self) -> list[tuple[str, str]]:
        """The file and the image of every image that its pods use."""
        return [(self.files.get(image, self.file), image) for image in dict.fromkeys(images(self.document))]

    @property
    def is_deployed(self) -> bool:
        """Whether kustomize renders it: not if it is marked as configuration for local tools."""
        annotations = mapping(mapping(self.document, "metadata"), "annotations")
        return text(annotations, _NOT_DEPLOYED) in ("", "false")

    def change(self, document: dict[str, Value], file: str) -> None:
        """Set the document, whose new images come from a file."""
        known = {*images(self.document)}
        self.files |= {image: file for image in images(document) if image not in known}
        self.document = document
        if self.ids and document and (current := Id.of(document)) != self.ids[-1]:
            self.ids.append(current)

    def rename_images(self, names: Mapping[str, str]) -> None:
        """Rename images of containers, init containers and image volumes, as ``images:`` of a kustomization does."""
        for image, name in names.items():
            self.files.setdefault(name, self.files.get(image, self.file))
        self.document = _renamed(self.document, names)


def resources(file: str, documents: Iterable[Value]) -> Iterator[Resource]:
    """The resources in the documents of a file. Lists of resources count as their items."""
    for document in documents:
        if isinstance(document, dict):
            items = document.get("items")
            if text(document, "kind").endswith("List") and isinstance(items, list):
                yield from resources(file, items)
            else:
                yield Resource(document, file, ids=[Id.of(document)])


def images(document: Value) -> Iterator[str]:
    """The images of every pod in a document, whatever its kind: of all containers and of image volumes."""
    for pod in _mappings_within(document):
        containers = [container for key in _CONTAINERS for container in _mappings(pod.get(key))]
        yield from (image for container in containers if not is_null(image := text(container, "image")))
        yield from _mounted(pod)


def mounted_images(document: Value) -> Iterator[str]:
    """The images that pods in a document mount as volumes."""
    for pod in _mappings_within(document):
        yield from _mounted(pod)


def mapping(holder: Any, key: str) -> dict[str, Value]:
    """The mapping under a key, or an empty one."""
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def text(holder: Any, key: str) -> str:
    """The string under a key, or an empty one."""
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else ""


def _mounted(pod: dict[str, Value]) -> Iterator[str]:
    sources = [mapping(volume, "image") for volume in _mappings(pod.get("volumes"))]
    yield from (image for source in sources if not is_null(image := text(source, "reference")))


def _mappings_within(document: Value) -> Iterator[dict[str, Value]]:
    values = [document]
    while values:
        value = values.pop()
        if isinstance(value, list):
            values += value
        elif isinstance(value, dict) and text(value, "kind") != _DEFINITION:
            yield value
            values += value.values()


def _mappings(value: Value) -> list[dict[str, Value]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _renamed(value: Value, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, dict) or text(value, "kind") == _DEFINITION:
        return value
    result = {key: _renamed(item, names) for key, item in value.items()}
    for key in _RENAMED:
        if isinstance(result.get(key), list):
            result[key] = [_with(container, "image", names) for container in result[key]]
    if isinstance(result.get("volumes"), list):
        result["volumes"] = [
            volume | {"image": _with(volume["image"], "reference", names)} if mapping(volume, "image") else volume
            for volume in result["volumes"]
        ]
    return result


def _with(holder: Value, key: str, names: Mapping[str, str]) -> Value:
    """The holder with the image under a key renamed, if it has one."""
    return (
        holder | {key: names.get(holder[key], holder[key])}
        if isinstance(holder, dict) and text(holder, key)
        else holder
    )
