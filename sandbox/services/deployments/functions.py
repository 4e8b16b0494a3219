"""The functions of ARM's template language that need only their arguments.

All take and return JSON values. For a value of the wrong type, Azure refuses the template and names the function.

Source: the template function reference of Azure Resource Manager.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.services.deployments import hashing
from sandbox.services.deployments.errors import TemplateError, unsupported

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<index>\d+)(?P<style>[^}]*)\}")


@dataclass(frozen=True)
class Function:
    """A function and its number of arguments (``most`` is ``None`` without an upper bound)."""

    name: str
    run: Callable[..., Any]
    least: int
    most: int | None

    def __call__(self, *arguments: Any) -> Any:
        """:raises TemplateError: when the number or the type of the arguments is wrong"""
        if len(arguments) < self.least or (self.most is not None and len(arguments) > self.most):
            raise TemplateError(
                f"Unable to evaluate template language function '{self.name}': function requires "
                f"{self._arity()} argument(s) while {len(arguments)} were provided."
            )
        try:
            return self.run(*arguments)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise TemplateError(
                f"The template language function '{self.name}' does not accept its argument(s): {error}"
            ) from error

    def _arity(self) -> str:
        if self.least == self.most:
            return str(self.least)
        return f"at least {self.least}" if self.most is None else f"{self.least} to {self.most}"


def text(value: Any) -> str:
    """``string()``: .NET's spelling of booleans, minified JSON for arrays and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def qualified(resource_type: str, *names: str) -> str:
    """The tail of a resource id, for ``A.B/c/d`` and the names ``x``, ``y``: ``A.B/c/x/d/y``."""
    namespace, *kinds = resource_type.strip("/").split("/")
    if not kinds or len(kinds) != len(names):
        raise TemplateError(
            f"Unable to evaluate template language: the type '{resource_type}' requires {len(kinds)} "
            f"resource name argument(s) while {len(names)} were provided."
        )
    return "/".join([namespace, *(part for pair in zip(kinds, names, strict=True) for part in pair)])


def key_of(value: Mapping[str, Any], name: str) -> str | None:
    """The key that ARM means by ``name``: keys compare without regard to letter case."""
    if name in value:
        return name
    return next((key for key in value if key.lower() == name.lower()), None)


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values; in Python alone, ``1`` equals ``true``."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is expected, not {text(value)}")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"a boolean is expected, not {text(value)}")
    return value


def _sequence(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise TypeError(f"a string or an array is expected, not {text(value)}")
    return value


def _concat(*values: Any) -> Any:
    if isinstance(values[0], list):
        if not all(isinstance(value, list) for value in values):
            raise TypeError("arrays and strings cannot be joined")
        return [item for value in values for item in value]
    if any(isinstance(value, list | dict) for value in values):
        raise TypeError("arrays and strings cannot be joined")
    return "".join(text(value) for value in values)


def _format(pattern: str, *values: Any) -> str:
    def fill(match: re.Match[str]) -> str:
        if match["index"] is None:
            return match[0][0]
        if match["style"]:
            raise unsupported(f"format item '{match[0]}'")
        return text(values[int(match["index"])])

    return _PLACEHOLDER.sub(fill, _string(pattern))


def _split(value: str, delimiter: str | list[str]) -> list[str]:
    delimiters = [delimiter] if isinstance(delimiter, str) else delimiter
    return re.split("|".join(map(re.escape, delimiters)), _string(value))


def _substring(value: str, start: int, length: int | None = None) -> str:
    end = len(_string(value)) if length is None else start + length
    if start < 0 or not start <= end <= len(value):
        raise ValueError("the index and length must refer to a location within the string")
    return value[start:end]


def _edge(index: int) -> Callable[[Any], Any]:
    def pick(value: Any) -> Any:
        if _sequence(value):
            return value[index]
        return "" if isinstance(value, str) else None

    return pick


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, dict):
        return key_of(container, text(item)) is not None
    if isinstance(container, str):
        return text(item) in container
    return any(same(member, item) for member in _sequence(container))


def _empty(value: Any) -> bool:
    if isinstance(value, bool | int):
        raise TypeError("a string, an array or an object is expected")
    return value is None or len(value) == 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict) else len(_sequence(value))


def _union(first: Any, *others: Any) -> Any:
    result: Any = first
    for other in others:
        if isinstance(result, dict) and isinstance(other, dict):
            result = {**result, **{key: _merged(result.get(key), value) for key, value in other.items()}}
        elif isinstance(result, list) and isinstance(other, list):
            result = result + other
        else:
            raise TypeError("all arguments must be arrays, or all objects")
    if isinstance(result, dict):
        return result
    return [item for index, item in enumerate(result) if not any(same(item, seen) for seen in result[:index])]


def _merged(former: Any, value: Any) -> Any:
    return _union(former, value) if isinstance(former, dict) and isinstance(value, dict) else value


def _create_object(*items: Any) -> dict[str, Any]:
    if len(items) % 2:
        raise ValueError("keys and values must come in pairs")
    return {_string(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _int(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError("a string or an integer is expected")
    return int(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    known = {"true": True, "1": True, "false": False, "0": False}
    return known[_string(value).lower()]


def _json(value: str) -> Any:
    return json.loads(_string(value))


def _extension_id(target: str, resource_type: str, *names: str) -> str:
    return f"{_string(target).rstrip('/')}/providers/{qualified(resource_type, *names)}"


def _hash_of(function: Callable[..., str]) -> Callable[..., str]:
    return lambda *parts: function(*(_string(part) for part in parts))


PURE: dict[str, Function] = {
    function.name.lower(): function
    for function in (
        Function("and", lambda *values: all(_boolean(value) for value in values), 2, None),
        Function("base64", lambda value: base64.b64encode(_string(value).encode()).decode(), 1, 1),
        Function("bool", _bool, 1, 1),
        Function("coalesce", lambda *values: next((v for v in values if v is not None), None), 1, None),
        Function("concat", _concat, 1, None),
        Function("contains", _contains, 2, 2),
        Function("createArray", lambda *items: list(items), 0, None),
        Function("createObject", _create_object, 0, None),
        Function("empty", _empty, 1, 1),
        Function("equals", same, 2, 2),
        Function("extensionResourceId", _extension_id, 3, None),
        Function("false", lambda: False, 0, 0),
        Function("first", _edge(0), 1, 1),
        Function("format", _format, 1, None),
        Function("guid", _hash_of(hashing.guid), 1, None),
        Function("int", _int, 1, 1),
        Function("json", _json, 1, 1),
        Function("last", _edge(-1), 1, 1),
        Function("length", _length, 1, 1),
        Function("not", lambda value: not _boolean(value), 1, 1),
        Function("null", lambda: None, 0, 0),
        Function("or", lambda *values: any(_boolean(value) for value in values), 2, None),
        Function("replace", lambda value, old, new: _string(value).replace(_string(old), _string(new)), 3, 3),
        Function("split", _split, 2, 2),
        Function("string", text, 1, 1),
        Function("substring", _substring, 2, 3),
        Function("take", lambda value, count: _sequence(value)[: max(0, count)], 2, 2),
        Function("tenantResourceId", lambda kind, *names: f"/providers/{qualified(kind, *names)}", 2, None),
        Function("toLower", lambda value: _string(value).lower(), 1, 1),
        Function("toUpper", lambda value: _string(value).upper(), 1, 1),
        Function("true", lambda: True, 0, 0),
        Function("union", _union, 1, None),
        Function("uniqueString", _hash_of(hashing.unique_string), 1, None),
    )
}
