"""JSON patches (RFC 6902), applied as kustomize does.

Facts: RFC 6902 and RFC 6901; ``gopkg.in/evanphx/json-patch.v4``, which kustomize uses: negative indexes count from the
end, and ``replace`` adds a missing key. Results are new values; the target is not changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from pratique.manifests.documents import NotFollowed, Value, is_null

#: Changes what a mapping or a list has under a key, and returns the new mapping or list.
_Change: TypeAlias = Callable[[Any, str], Value]

_END = "-"
_INDEX = re.compile(r"[+-]?[0-9]{1,9}")


def applied(document: Value, operations: Iterable[Value]) -> Value:
    """A document with the operations of a patch applied.

    :raises NotFollowed: when an operation does not apply, so that kustomize refuses it
    """
    for operation in operations:
        document = _applied(document, operation if isinstance(operation, dict) else {})
    return document


def _applied(document: Value, operation: dict[str, Value]) -> Value:
    kind, path, value = operation.get("op"), operation.get("path"), operation.get("value", "")
    match kind:
        case "add":
            return _changed(document, path, lambda holder, key: _added(holder, key, value, path))
        case "replace" if path == "":
            return value
        case "replace":
            return _changed(document, path, lambda holder, key: _replaced(holder, key, value, path))
        case "remove":
            return _changed(document, path, lambda holder, key: _removed(holder, key, path))
        case "test":
            found = _found(document, path, missing="")
            if found != value and not (is_null(found) and is_null(value)):
                raise NotFollowed(f"kustomize refuses its patch: the test of {path} fails.")
            return document
        case "copy" | "move":
            source = operation.get("from")
            copied = _found(document, source)
            if kind == "move":
                document = _changed(document, source, lambda holder, key: _removed(holder, key, source))
            return _changed(document, path, lambda holder, key: _added(holder, key, copied, path))
    raise NotFollowed(f"kustomize refuses its patch: there is no operation {kind!r}.")


def as_document(operation: Value) -> Value:
    """The value of an operation, inside the mappings and lists that its path names."""
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        return ""
    value = operation.get("value", "")
    for step in reversed(operation["path"].split("/")[1:]):
        value = [value] if step == _END or _INDEX.fullmatch(step) else {_unescaped(step): value}
    return value


def _changed(document: Value, pointer: Value, change: _Change) -> Value:
    steps = _steps(pointer)
    holders = [document]
    for step in steps[:-1]:
        holders.append(_child(holders[-1], step, pointer))
    new = change(holders[-1], steps[-1])
    for holder, step in zip(reversed(holders[:-1]), reversed(steps[:-1]), strict=True):
        new = _replaced(holder, step, new, pointer)
    return new


def _found(document: Value, pointer: Value, missing: Value = None) -> Value:
    for step in _steps(pointer):
        if missing is not None and isinstance(document, dict) and step not in document:
            return missing
        document = _child(document, step, pointer)
    return document


def _steps(pointer: Value) -> list[str]:
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise NotFollowed(f"Its patch has an unusual JSON pointer: {pointer!r}.")
    return [_unescaped(step) for step in pointer.split("/")[1:]]


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _child(holder: Value, step: str, pointer: Value) -> Value:
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    if isinstance(holder, list):
        return holder[_index(step, len(holder), pointer)]
    raise _missing(pointer)


def _added(holder: Value, step: str, value: Value, pointer: Value) -> Value:
    if isinstance(holder, dict):
        return holder | {step: value}
    if isinstance(holder, list):
        position = len(holder) if step == _END else _index(step, len(holder) + 1, pointer)
        return [*holder[:position], value, *holder[position:]]
    raise _missing(pointer)


def _replaced(holder: Value, step: str, value: Value, pointer: Value) -> Value:
    if isinstance(holder, dict):
        return holder | {step: value}
    if isinstance(holder, list):
        position = _index(step, len(holder), pointer)
        return [*holder[:position], value, *holder[position + 1 :]]
    raise _missing(pointer)


def _removed(holder: Value, step: str, pointer: Value) -> Value:
    if isinstance(holder, dict) and step in holder:
        return {key: value for key, value in holder.items() if key != step}
    if isinstance(holder, list):
        position = _index(step, len(holder), pointer)
        return [*holder[:position], *holder[position + 1 :]]
    raise _missing(pointer)


def _index(step: str, length: int, pointer: Value) -> int:
    position = int(step) if _INDEX.fullmatch(step) else length
    if not -length <= position < length:
        raise _missing(pointer)
    return position % length


def _missing(pointer: Value) -> NotFollowed:
    return NotFollowed(f"kustomize refuses its patch: there is no {pointer}.")
