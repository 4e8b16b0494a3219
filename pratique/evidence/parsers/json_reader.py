"""Reads JSON from other systems: tolerant of its form, strict about its content.

Keys match in any letter case, and a nested object may be JSON text: both have been observed. A field that decides
something must be present, unambiguous and valid. A field that is only displayed may be missing or malformed, and is
then empty.

>>> row = Reader.of({"About": '{"Digest": "sha256:0f"}', "note": 7}, "a row", "row")
>>> row.document("about").required("digest"), row.text("note")
('sha256:0f', '')
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

from pratique.errors import UnreadableAnswer
from pratique.images import DIGEST_PATTERN

_DEEPEST = 12  # levels of a nested value


@dataclass(frozen=True)
class Reader:
    """One JSON object. Every method raises :class:`UnreadableAnswer` when the key has two different values.

    :ivar subject: the document that it is part of, for errors
    :ivar path: of the object in that document
    """

    mapping: Mapping[str, Any]
    subject: str
    path: str

    @classmethod
    def of(cls, value: object, subject: str, path: str) -> Reader:
        """:raises UnreadableAnswer: unless the value is an object, or the JSON text of one"""
        parsed = _parsed(value, subject, path)
        if not isinstance(parsed, Mapping):
            raise unreadable(subject, f"{path} is not an object.")
        return cls(parsed, subject, path)

    def get(self, key: str) -> Any:
        """The value under the key; ``None`` when there is none."""
        values = self._values.get(key.lower(), ())
        if len(values) > 1 and not _equal(values):
            raise self.invalid(key, "has two values")
        return values[0] if values else None

    @cached_property
    def _values(self) -> Mapping[str, Sequence[Any]]:
        """The values that are not null, by key in lower case. Most objects are asked for a dozen keys."""
        values: dict[str, list[Any]] = {}
        for name, value in self.mapping.items():
            if value is not None:
                values.setdefault(name.lower(), []).append(value)
        return values

    def has(self, key: str) -> bool:
        """Whether the key has a value that is not empty, readable or not."""
        return self.get(key) not in (None, "", [], {})

    def document(self, key: str) -> Reader:
        """A nested object."""
        return Reader.of(self.get(key), self.subject, f"{self.path}.{key}")

    def optional(self, key: str) -> Reader:
        """A nested object; an empty one when it is missing."""
        return self.document(key) if self.get(key) is not None else Reader({}, self.subject, f"{self.path}.{key}")

    def array(self, key: str) -> list[Any]:
        """A nested array; empty when it is missing."""
        value = self.get(key)
        parsed = [] if value is None else _parsed(value, self.subject, f"{self.path}.{key}")
        if not isinstance(parsed, list):
            raise self.invalid(key, "is not an array")
        return parsed

    def documents(self, key: str) -> list[Reader]:
        """A nested array whose items must all be objects; empty when it is missing."""
        return [
            Reader.of(value, self.subject, f"{self.path}.{key}[{index}]") for index, value in enumerate(self.array(key))
        ]

    def leaves(self, key: str) -> Iterator[tuple[str, Any]]:
        """Every value at or below the key that is neither an object nor an array, with the name that it has there.

        An item of an array has the array's name. Names are in lower case; JSON text of objects and arrays is read.
        """
        return self._leaves(key.lower(), self.get(key), f"{self.path}.{key}", _DEEPEST)

    def _leaves(self, name: str, value: object, path: str, levels: int) -> Iterator[tuple[str, Any]]:
        if not levels:
            raise unreadable(self.subject, f"{path} is nested too deeply.")
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            value = _parsed(value, self.subject, path)
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from self._leaves(str(key).lower(), inner, path, levels - 1)
        elif isinstance(value, list):
            for inner in value:
                yield from self._leaves(name, inner, path, levels - 1)
        else:
            yield name, value

    def text(self, key: str) -> str:
        """An optional string; empty when it is missing or not printable text."""
        value = self.get(key)
        return value.strip() if isinstance(value, str) and value.isprintable() else ""

    def texts(self, key: str) -> list[str]:
        """The printable strings of an array."""
        return [value for value in self.array(key) if isinstance(value, str) and value.isprintable()]

    def required(self, key: str) -> str:
        """A string that must be present."""
        if not (text := self.text(key)):
            raise self.invalid(key, "is missing, or not plain text")
        return text

    def digest(self, key: str) -> str:
        """A SHA-256 digest that must be present, in lower case."""
        digest = self.required(key).lower()
        if not re.fullmatch(DIGEST_PATTERN, digest):
            raise self.invalid(key, f"is not a digest: {digest!r:.100}")
        return digest

    def timestamp(self, key: str) -> datetime | None:
        """A time in UTC; ``None`` when it is missing, or in the year 1, which .NET and Go write for no time."""
        if not self.has(key):
            return None
        try:
            time = datetime.fromisoformat(self.required(key))
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.invalid(key, f"is not a time: {self.text(key)!r:.100}") from error
        return time if time.year > 1 else None

    def required_timestamp(self, key: str) -> datetime:
        """A time that must be present."""
        if (time := self.timestamp(key)) is None:
            raise self.invalid(key, "is missing")
        return time

    def invalid(self, key: str, problem: str) -> UnreadableAnswer:
        """The error for a key with an unusable value."""
        return unreadable(self.subject, f"{self.path}.{key} {problem}.")


def unreadable(subject: str, observed: str) -> UnreadableAnswer:
    """The error for a document that cannot be used.

    :param subject: the document, or what it is about, by its own account
    """
    return UnreadableAnswer(
        "read a scanner's findings",
        (subject if subject.isprintable() else ascii(subject))[:300],
        observed,
        "Look at the image in the scanner's own view: while this cannot be read, the image does not count as assessed.",
    )


def _parsed(value: object, subject: str, path: str) -> object:
    """The value itself, or its content when it is JSON text."""
    if not isinstance(value, str | bytes):
        return value
    try:
        text = value if isinstance(value, str) else value.decode()
        return json.loads(text, object_pairs_hook=_object, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise unreadable(subject, f"{path} is not JSON: {error}.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without two values for one key: parsers differ in which of the two they take (RFC 8259, section 4)."""
    members: dict[str, Any] = {}
    for key, value in pairs:
        if members.setdefault(key, value) != value:
            raise ValueError(f"two values for {key!r:.100}")
    return members


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _equal(values: Sequence[Any]) -> bool:
    try:
        return all(value == values[0] for value in values)
    except RecursionError:
        return False
