"""The patches of a kustomization: read from its fields, and applied to resources as kustomize does.

Facts: kustomize, ``api/types/kustomization.go``, ``api/internal/builtins/PatchTransformer.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pratique.manifests.documents import NotFollowed, Value
from pratique.manifests.json_patch import applied, as_document
from pratique.manifests.patch_targets import identified, selected
from pratique.manifests.resources import Resource, mapping
from pratique.manifests.strategic_merge import merged

#: Fields of a kustomization that hold patches.
PATCHES = ("patches", "patchesStrategicMerge", "patchesJson6902")


@dataclass(frozen=True)
class PatchEntry:
    """An entry of one of these fields.

    :ivar text: the patch, or the path of its file
    :ivar target: ``None`` when the patch itself says which resource it means
    """

    text: str
    is_inline: bool
    target: dict[str, Value] | None = None
    options: dict[str, Value] = field(default_factory=dict)


def entries(kustomization: dict[str, Any], key: str) -> Iterator[PatchEntry]:
    """The entries of a field that holds patches."""
    items = kustomization.get(key)
    for item in items if isinstance(items, list) else []:
        if isinstance(item, str):
            yield PatchEntry(item, is_inline="\n" in item or item.lstrip().startswith("{"))
        elif isinstance(item, dict):
            target = mapping(item, "target") if isinstance(item.get("target"), dict) else None
            for source in ("patch", "path"):
                if isinstance(text := item.get(source), str):
                    yield PatchEntry(text, source == "patch", target, mapping(item, "options"))


def apply(documents: list[Value], entry: PatchEntry, resources: Sequence[Resource], file: str) -> bool:
    """Apply the documents of one patch; whether there is a resource that it applies to.

    :param file: from which new images come
    :raises NotFollowed: when kustomize refuses the patch, or only kustomize knows what it does
    """
    if any(isinstance(document, list) for document in documents):
        return _apply_operations(documents, entry, resources, file)
    patches = [document for document in documents if isinstance(document, dict)]
    if entry.target is not None and len(patches) > 1:
        raise NotFollowed("kustomize refuses its patch: several documents, and a target.")
    keep_id = not {"allowNameChange", "allowKindChange"} & entry.options.keys()
    found = False
    for patch in patches:
        targets = selected(resources, entry.target) if entry.target is not None else [identified(resources, patch)]
        for resource in targets:
            resource.change(merged(resource.document, patch, keep_id=keep_id), file)
        found = found or bool(targets)
    return found


def _apply_operations(documents: list[Value], entry: PatchEntry, resources: Sequence[Resource], file: str) -> bool:
    if entry.target is None or len(documents) > 1:
        raise NotFollowed("kustomize refuses its patch: a JSON patch needs a target, and is one document.")
    targets = selected(resources, entry.target)
    for resource in targets:
        resource.change(applied(resource.document, documents[0]), file)
    return bool(targets)


def own_resources(documents: Iterable[Value], file: str) -> list[Resource]:
    """What the documents of a patch hold, as resources: for the images of a patch that was not applied."""
    operations = [operation for document in documents if isinstance(document, list) for operation in document]
    whole = [document for document in documents if isinstance(document, dict)]
    holders = [document for operation in operations if isinstance(document := as_document(operation), dict)]
    return [Resource(document, file) for document in (*whole, *holders)]
