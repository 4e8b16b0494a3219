"""The outline of JSON documents: which keys they have, and which kinds of values, without the values.

>>> rows = [{"Digest": "sha256:" + "0" * 64, "About": '{"Severity": "High"}'}]
>>> for path, kinds in outline(rows, Redactor()).items():
...     print(path, kinds)
About {'JSON text': 1}
About.Severity {'"High"': 1}
Digest {'digest': 1}

Objects in JSON text are opened. The values of vocabularies, such as severities, are kept; ids and references are kept
with placeholders (:mod:`.redaction`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pratique.images import DIGEST_PATTERN
from pratique.preflight.probe.redaction import LONGEST, Redactor
from pratique.preflight.probe.words import KEYS, REFERENCES, TYPES, VOCABULARIES

Outline = Mapping[str, Mapping[str, int]]

DEEPEST = 12
MOST_KEYS = 200  # of one object
MOST_ITEMS = 50  # of one array
MOST_KINDS = 12  # of one path; the others are counted together
MOST_PATHS = 600
LARGEST_TEXT = 1024 * 1024  # characters of JSON text that is parsed

#: Media types and predicate types that are not an organisation's own.
_PUBLIC_TYPE = re.compile(
    r"https://(?:in-toto\.io|slsa\.dev|openvex\.dev|spdx\.dev|cyclonedx\.org)/[\w./-]*"
    r"|application/vnd\.(?:oci|docker|in-toto|cncf|dev\.cosign|dev\.sigstore|microsoft|ms|azure|cyclonedx)[\w.+-]*"
    r"|application/(?:json|cose|jose\+json|spdx\+json|octet-stream|zip|pdf)"
)


def outline(documents: Iterable[Any], redactor: Redactor) -> dict[str, dict[str, int]]:
    """How often each kind of value is at each path, in all the documents together.

    Array items share a path, which ends in ``[]``.
    """
    found: dict[str, Counter[str]] = {}
    for document in documents:
        for path, kind in _walk(document, "", "", redactor, 0):
            if path in found or len(found) < MOST_PATHS:
                kinds = found.setdefault(path, Counter())
                kinds[kind if kind in kinds or len(kinds) < MOST_KINDS else "others"] += 1
    return {path: dict(found[path].most_common()) for path in sorted(found)}


def _walk(value: Any, path: str, key: str, redactor: Redactor, depth: int) -> Iterator[tuple[str, str]]:
    opened = parsed(value)
    if opened is not value and path:
        yield path, "JSON text"
    if depth >= DEEPEST and isinstance(opened, dict | list):
        yield path, "nested too deeply to show"
    elif isinstance(opened, dict):
        if not opened:
            yield path, "empty object"
        for name, inner in list(opened.items())[:MOST_KEYS]:
            shown = shown_key(str(name), redactor)
            yield from _walk(inner, f"{path}.{shown}" if path else shown, str(name).casefold(), redactor, depth + 1)
    elif isinstance(opened, list):
        if not opened:
            yield f"{path}[]", "empty array"
        for inner in opened[:MOST_ITEMS]:
            yield from _walk(inner, f"{path}[]", key, redactor, depth + 1)
    else:
        yield path, kind_of(opened, key, redactor)


def shown_key(name: str, redactor: Redactor) -> str:
    """The name of a key as it is when Microsoft documents it, otherwise redacted."""
    return name if name.casefold() in KEYS else redactor.key(name)


def kind_of(value: Any, key: str, redactor: Redactor) -> str:
    """What a value is, without telling it; in quotation marks where it may be told.

    :param key: in lower case
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return "number"
    text = str(value)[:LONGEST]
    if not text.strip():
        return "empty text"
    if key in TYPES and _PUBLIC_TYPE.fullmatch(text) and not redactor.mentions(text):
        return f'"{text}"'
    if key in VOCABULARIES:
        return f'"{redactor.word(text)}"'
    kind = _kind_of_text(text)
    return f'"{redactor.reference(text)}"' if kind == "text" and key in REFERENCES else kind


def _kind_of_text(text: str) -> str:
    if re.fullmatch(DIGEST_PATTERN, text.lower()):
        return "digest"
    if re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        return "GUID"
    if re.fullmatch(r"CVE-\d{4}-\d{4,}", text):
        return "CVE id"
    if re.match(r"\d{4}-\d\d-\d\d", text):
        try:
            return "time with offset" if datetime.fromisoformat(text).tzinfo else "time without offset"
        except ValueError:
            pass
    if re.fullmatch(r"-?\d+(?:\.\d+)?", text):
        return "number as text"
    return "text"


def parsed(value: Any) -> Any:
    """The object or array in a JSON text; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")) or len(value) > LARGEST_TEXT:
        return value
    try:
        opened = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return opened if isinstance(opened, dict | list) else value


def leaves(value: Any, depth: int = 0) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The path and value of everything that is neither an object nor an array; JSON text is opened."""
    opened = parsed(value)
    if depth >= DEEPEST:
        return
    if isinstance(opened, dict):
        for name, inner in list(opened.items())[:MOST_KEYS]:
            yield from (((str(name), *path), leaf) for path, leaf in leaves(inner, depth + 1))
    elif isinstance(opened, list):
        for inner in opened[:MOST_ITEMS]:
            yield from ((("[]", *path), leaf) for path, leaf in leaves(inner, depth + 1))
    else:
        yield (), opened


def objects(value: Any, key: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every object in a document that has the key, in any letter case; JSON text is opened."""
    opened = parsed(value)
    if depth >= DEEPEST:
        return
    if isinstance(opened, dict) and any(str(name).casefold() == key for name in opened):
        yield opened
    inner = opened.values() if isinstance(opened, dict) else opened if isinstance(opened, list) else ()
    for item in inner:
        yield from objects(item, key, depth + 1)


def named(document: Mapping[str, Any], key: str) -> Any:
    """The value under a key, in any letter case; ``None`` when there is none.

    :param key: in lower case
    """
    return next((value for name, value in document.items() if str(name).casefold() == key), None)
