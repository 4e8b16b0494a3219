"""The format of a records file: JSON with a version, one entry per line, always in the same order.

One ASCII line per entry keeps diffs readable, and lets Git store unchanged entries only once.

>>> dump("promotions", 1, [{"b": 1, "a": 2}])
'{"version": 1, "promotions": [\\n{"a": 2, "b": 1}\\n]}\\n'
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pratique.errors import UnreadableAnswer

T = TypeVar("T")
_REMEDY = "Restore the file from its branch's history; nothing is written until it can be read."


def dump(key: str, version: int, entries: Iterable[Mapping[str, Any]]) -> str:
    """The text of a records file.

    :param key: name of the list of entries
    :param entries: in the order in which to write them
    """
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in entries)
    body = f"\n{lines}\n" if lines else ""
    return f'{{"version": {version}, "{key}": [{body}]}}\n'


def load(text: str, name: str, key: str, version: int, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """The entries of a file.

    :param name: the file's name in errors
    :param version: the only supported version
    :param read: reads one entry; KeyError, TypeError, ValueError and AttributeError mean that it is malformed
    :raises UnreadableAnswer: when it has another version, or is malformed
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(name, f"It is not JSON: {error}.", _REMEDY) from None
    if not isinstance(document, dict) or not isinstance(document.get(key), list):
        raise _unreadable(name, f"It is not a document with a list {key!r}.", _REMEDY)
    if document.get("version") != version:
        observed = f"It has version {document.get('version')!r:.40}; this program reads version {version}."
        raise _unreadable(name, observed, "Run the version of the program that wrote it, or a newer one.")
    found: list[T] = []
    for number, entry in enumerate(document[key]):
        try:
            found.append(read(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            observed = f"Entry {number} of {key!r} is malformed: {type(error).__name__} {error}."
            raise _unreadable(name, observed, _REMEDY) from None
    return found


def parse_time(text: object) -> datetime:
    """Read a time that :func:`format_time` wrote.

    :raises ValueError: when it is not a time with an offset
    """
    stamp = datetime.fromisoformat(str(text))
    if stamp.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return stamp.astimezone(UTC)


def format_time(at: datetime) -> str:
    """A time in UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _unreadable(name: str, observed: str, remedy: str) -> UnreadableAnswer:
    return UnreadableAnswer("read the records", name, observed, remedy)
