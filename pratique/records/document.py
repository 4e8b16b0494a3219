"""The form of a file of records: JSON with a version, one entry a line, always in the same order.

One line an entry, in ASCII, keeps commits readable, and lets Git store what did not change only once.

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
_MEND = "Restore the file from its branch's history; nothing is written before it can be read."


def dump(key: str, version: int, entries: Iterable[Mapping[str, Any]]) -> str:
    """The file's text.

    :param key: what the entries are called
    :param entries: in their order
    """
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in entries)
    body = f"\n{lines}\n" if lines else ""
    return f'{{"version": {version}, "{key}": [{body}]}}\n'


def load(text: str, name: str, key: str, version: int, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """The entries of a file.

    :param name: what errors call the file
    :param version: the only one that is understood
    :param read: makes one entry; its KeyError, TypeError and ValueError say that it is malformed
    :raises UnreadableAnswer: when it is of another version, or malformed
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(name, f"It is not JSON: {error}.", _MEND) from None
    if not isinstance(document, dict) or not isinstance(document.get(key), list):
        raise _unreadable(name, f"It is no document with a list {key!r}.", _MEND)
    if document.get("version") != version:
        observed = f"It is of version {document.get('version')!r:.40}; this program knows version {version}."
        raise _unreadable(name, observed, "Run the program's version that wrote it, or a newer one.")
    found: list[T] = []
    for number, entry in enumerate(document[key]):
        try:
            found.append(read(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            observed = f"Entry {number} of {key!r} is malformed: {type(error).__name__} {error}."
            raise _unreadable(name, observed, _MEND) from None
    return found


def instant(text: object) -> datetime:
    """A time that :func:`written` wrote.

    :raises ValueError: when it is none
    """
    stamp = datetime.fromisoformat(str(text))
    if stamp.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return stamp.astimezone(UTC)


def written(at: datetime) -> str:
    """A time, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _unreadable(name: str, observed: str, remedy: str) -> UnreadableAnswer:
    return UnreadableAnswer("read the records", name, observed, remedy)
