"""Strategic merge patches, applied as kustomize does.

Facts: kustomize, ``kyaml/yaml/merge2`` and ``kyaml/yaml/walk``; Kubernetes' OpenAPI schema for merge keys of the lists
that hold images. Results are new values; neither the target nor the patch is changed.
"""

from __future__ import annotations

from typing import Any

from pratique.manifests.documents import NotFollowed, Value, is_null
from pratique.manifests.resources import mapping, text

# Resources whose schema kustomize knows. In others, such as custom resources, a patch replaces every list.
_KNOWN = {
    ("v1", "Pod"),
    ("v1", "PodTemplate"),
    ("v1", "ReplicationController"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("batch/v1beta1", "CronJob"),
}
_BY_NAME = ("containers", "initContainers", "ephemeralContainers", "volumes")  # lists whose merge key is the name
_DIRECTIVE = "$patch"


def merged(target: dict[str, Value], patch: dict[str, Value], *, keep_id: bool = True) -> dict[str, Value]:
    """A resource with a patch applied; empty when the patch deletes it.

    :param keep_id: whether kind, name and namespace stay, as kustomize has it unless a patch's options allow changes
    :raises NotFollowed: when kustomize would refuse the patch, or do something that its documentation does not say
    """
    by_name = _BY_NAME if (text(target, "apiVersion"), text(target, "kind")) in _KNOWN else ()
    result = _merged(target, patch, by_name)
    if result is None:
        return {}
    if keep_id:
        names = {key: value for key, value in mapping(target, "metadata").items() if key in ("name", "namespace")}
        kept = {key: value for key, value in mapping(result, "metadata").items() if key not in ("name", "namespace")}
        result |= {"kind": target.get("kind", ""), "metadata": kept | names}
    return result | {"apiVersion": target.get("apiVersion", "")}


def _merged(target: Value, patch: dict[str, Value], by_name: tuple[str, ...]) -> dict[str, Value] | None:
    """A mapping with a patch applied; ``None`` when it is deleted."""
    directive = _directive(patch)
    if directive == "delete":
        return None
    if target is not None and not isinstance(target, dict) and not is_null(target):
        raise NotFollowed("kustomize refuses its patch: a mapping would replace another kind of value.")
    result = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    for key, value in patch.items():
        if key == _DIRECTIVE:
            continue
        new = _value(result.get(key), value, key, by_name)
        if new is None:
            result.pop(key, None)
        else:
            result[key] = new
    return result


def _value(target: Value, patch: Value, key: str, by_name: tuple[str, ...]) -> Value:
    if isinstance(patch, dict):
        return _merged(target, patch, by_name)
    if isinstance(patch, list):
        return _list(target if isinstance(target, list) else [], patch, by_name) if key in by_name else patch
    return None if is_null(patch) else patch


def _list(target: list[Value], patch: list[Value], by_name: tuple[str, ...]) -> list[Value] | None:
    """A list with a patch applied, whose elements are told apart by their names. Those of the patch come first."""
    first = next((item for item in patch if isinstance(item, dict) and _DIRECTIVE in item), {})
    directive = _directive(first) if set(first) == {_DIRECTIVE} else "merge"
    if directive == "delete":
        return None
    items = {} if directive == "replace" else _named(target)
    changed: list[Value] = []
    for name, item in _named([item for item in patch if item is not first or set(first) != {_DIRECTIVE}]).items():
        if _directive(item) == "replace":
            raise NotFollowed("kustomize ignores $patch: replace in an element of a list.")
        new = _merged(items.pop(name, None), item, by_name)
        changed += [new] if new is not None else []
    return [*changed, *items.values()]


def _named(items: list[Value]) -> dict[str, dict[str, Value]]:
    named = {text(item, "name"): item for item in items if isinstance(item, dict)}
    if len(named) != len(items) or "" in named:
        raise NotFollowed("Its patch changes a list in which a name is missing or not unique.")
    return named


def _directive(patch: dict[str, Any]) -> str:
    directive = patch.get(_DIRECTIVE, "merge")
    if directive not in ("delete", "merge", "replace"):
        raise NotFollowed(f"kustomize refuses its patch: unknown directive {directive!r}.")
    return str(directive)
