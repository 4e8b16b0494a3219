"""Reads the documents of a manifest as plain values: mappings, lists and strings, without anchors and merge keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

#: A mapping, a list or a string. Strings are not converted: ``1.10`` stays ``"1.10"``, and ``null`` is a string.
Value: TypeAlias = Any

NOT_A_MANIFEST = "It is no manifest, but a text, such as a symbolic link or a pointer of Git LFS."

_DEEPEST = 200  # levels of lists and mappings inside each other
_VALUE_LIMIT = 1_000_000  # with aliases expanded: a few lines can expand to more than fits into memory
_NULLS = {"", "~", "null", "Null", "NULL"}
_MERGE = "<<"
# A key with a value, or a flow mapping: what a symbolic link's target and a pointer of Git LFS do not have.
_MAPPING = re.compile(r":(?:\s|$)|\{|^\s*#|^---", re.MULTILINE)


class NotFollowed(Exception):
    """Only kustomize itself knows the result. The text says why, as a sentence about the file."""


def load(text: str) -> list[Value]:
    """The documents of a file.

    :raises NotFollowed: when the text is not YAML, or its aliases expand to too many values
    """
    reason = ""
    # The fast C parser comes first. It rejects {image: a:1}, and both parsers reject most tabs.
    for pure, source in ((False, text), (True, text), (True, text.replace("\t", " "))):
        try:
            if not pure:
                _require_shallow(source)
            documents = list(YAML(typ="base", pure=pure).load_all(source))  # base: scalars are not converted
        except (YAMLError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            reason = reason or f"{' '.join(str(error).split())}."
            continue
        try:
            counter = count()
            return [_expanded(document, counter) for document in documents]
        except RecursionError:
            raise NotFollowed("It is nested too deeply, or an alias contains itself.") from None
    raise NotFollowed(reason)


def is_null(value: Value) -> bool:
    """Whether a value is null. A quoted empty string counts as well: nothing that is read here tells them apart."""
    return isinstance(value, str) and value in _NULLS


def is_text_only(text: str) -> bool:
    """Whether a file has some text, but no key with a value: such as a symbolic link that was checked out as a file."""
    return bool(text.strip()) and not _MAPPING.search(text)


def _expanded(value: Value, counter: Iterator[int]) -> Value:
    if next(counter) > _VALUE_LIMIT:
        raise NotFollowed("Its aliases expand to too many values.")
    if isinstance(value, dict):
        merged: dict[str, Value] = {}
        sources = value.get(_MERGE, [])
        for source in reversed(sources if isinstance(sources, list) else [sources]):
            merged |= _expanded(source, counter) if isinstance(source, dict) else {}
        # Keys can be anything in YAML, but Kubernetes knows strings only.
        return merged | {str(key): _expanded(item, counter) for key, item in value.items() if key != _MERGE}
    if isinstance(value, list):
        return [_expanded(item, counter) for item in value]
    return value if isinstance(value, str) else ""


def _require_shallow(text: str) -> None:
    """Check the nesting before the C parser composes values: it recurses on the C stack, which crashes the process.

    :raises YAMLError: when the text is nested too deeply
    """
    depth = 0
    for event in YAML(typ="base", pure=False).parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            raise YAMLError(f"It is nested more than {_DEEPEST} levels deep")
