"""Which resources a patch applies to.

Facts: kustomize, ``api/types/selector.go`` and ``api/resmap/reswrangler.go``; Kubernetes, "Labels and Selectors".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pratique.manifests.documents import NotFollowed, Value
from pratique.manifests.resources import Id, Resource, mapping, text

# Regular expressions that certainly end soon on names of up to 253 characters: no groups, few repetitions.
_SAFE_PATTERN = re.compile(r"(?:[\w/:@ -]|\\\.|\[[\w-]+\]|\.|[|^$]|(?<=[.\]])[*+])*", re.ASCII)
_REPETITIONS = 3
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!\s*)?(?P<key>[\w./-]+)\s*(?:(?P<operator>==|!=|=)\s*(?P<value>[\w.-]*)|"
    r"\s(?P<set>in|notin)\s*\((?P<values>[\w.,\s-]*)\))?)\s*(?:,|$)",
    re.ASCII,
)


def identified(resources: Iterable[Resource], patch: dict[str, Value]) -> Resource:
    """The only resource that a patch without a target means.

    :raises NotFollowed: when there is none, or more than one: kustomize refuses the patch
    """
    wanted = Id.of(patch)
    found = [resource for resource in resources if resource.document and wanted in resource.ids]
    if len(found) != 1:
        raise NotFollowed(f"{len(found)} resources match its patch of {wanted.kind} {wanted.name} instead of one.")
    return found[0]


def selected(resources: Iterable[Resource], target: dict[str, Value]) -> list[Resource]:
    """The resources that a target selects.

    :raises NotFollowed: when it has a pattern or a selector that is not understood here
    """
    return [resource for resource in resources if resource.document and resource.ids and _is_selected(resource, target)]


def _is_selected(resource: Resource, target: dict[str, Value]) -> bool:
    original, current = resource.ids[0], resource.ids[-1]
    metadata = mapping(resource.document, "metadata")
    return (
        _matches(target, "group", current.group)
        and _matches(target, "version", current.version)
        and _matches(target, "kind", current.kind)
        and _matches(target, "name", original.name, current.name)
        and _matches(target, "namespace", original.namespace, current.namespace)
        and _meets(mapping(metadata, "labels"), text(target, "labelSelector"))
        and _meets(mapping(metadata, "annotations"), text(target, "annotationSelector"))
    )


def _matches(target: dict[str, Value], key: str, *values: str) -> bool:
    pattern = text(target, key)
    try:
        if _SAFE_PATTERN.fullmatch(pattern) and sum(map(pattern.count, "*+")) <= _REPETITIONS:
            return not pattern or any(re.fullmatch(pattern, value) for value in values)
    except re.error:
        pass
    raise NotFollowed(f"The target of its patch has a pattern that only kustomize can match: {pattern!r}.")


def _meets(labels: dict[str, Value], selector: str) -> bool:
    position, met = 0, True
    while position < len(selector.rstrip()):
        requirement = _REQUIREMENT.match(selector, position)
        if requirement is None or (requirement["absent"] and (requirement["operator"] or requirement["set"])):
            raise NotFollowed(f"The target of its patch has a selector that is not understood: {selector!r}.")
        met = met and _is_met(labels.get(requirement["key"]), requirement)
        position = requirement.end()
    return met


def _is_met(label: Value, requirement: re.Match[str]) -> bool:
    if requirement["operator"]:
        return bool((label == requirement["value"]) != (requirement["operator"] == "!="))
    if requirement["set"]:
        values = {value.strip() for value in requirement["values"].split(",")}
        return (label in values) != (requirement["set"] == "notin")
    return (label is None) == bool(requirement["absent"])
