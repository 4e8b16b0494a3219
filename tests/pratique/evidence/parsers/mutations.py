"""Strategies for documents with one defect, for tests that parsers lose nothing silently."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

DIGEST = "sha256:" + "0f" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
DEEP = "[" * 100_000


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The document with one node dropped, replaced, doubled, turned into JSON text or made unprintable."""
    changed = copy.deepcopy(document)
    parent, key = draw(st.sampled_from(list(_places(changed))))
    value = parent[key]
    change = draw(st.sampled_from(["drop", "replace", "wrap", "text", "cut", "deep", "unprintable", "twice"]))
    if change == "drop":
        del parent[key]
    elif change == "replace":
        parent[key] = draw(JSON)
    elif change == "wrap":
        parent[key] = draw(st.sampled_from([[value], {"value": value}, [], {}, "", 0, False]))
    elif change == "text":
        parent[key] = json.dumps(value)
    elif change == "cut":
        text = json.dumps(value)
        parent[key] = text[: draw(st.integers(0, len(text)))]
    elif change == "deep":
        parent[key] = DEEP
    elif change == "unprintable":
        parent[key] = f"{value}{draw(st.sampled_from([chr(0), chr(0xD800), chr(0x202E), chr(10)]))}"
    elif isinstance(parent, dict):
        parent[key.swapcase()] = draw(JSON)
    return changed


@st.composite
def reduced(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The document with up to four nodes taken out."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(changed))
        if places:
            parent, key = draw(st.sampled_from(places))
            del parent[key]
    return changed


@st.composite
def encoded(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """The bytes of a mutated document, sometimes truncated or corrupted."""
    content = json.dumps(draw(mutated(document))).encode()
    at = draw(st.integers(0, len(content)))
    spoilt = [content[:at], content[:at] + b"\0" + content[at:], content[:at] + b"\xff\xfe"]
    return draw(st.sampled_from([content] * 9 + spoilt))


def listed(value: Any, *keys: str) -> list[Any]:
    """The items of a list, given directly or below the keys, also where JSON text is in between.

    Only an absent list is empty: a value that is not a list counts as one lost item.
    """
    for key in keys:
        value = _plain(value)
        if not isinstance(value, dict):
            return [value]
        value = value.get(key)
    value = [] if value is None else _plain(value)
    return value if isinstance(value, list) else [value]


def member(value: Any, *keys: str) -> Any:
    """The value below the keys, in any letter case, also where JSON text is in between; ``None`` when there is none."""
    for key in keys:
        value = _plain(value)
        if not isinstance(value, dict):
            return None
        value = next((held for name, held in value.items() if name.lower() == key.lower() and held is not None), None)
    return value


def _plain(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every key of an object and index of an array."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
