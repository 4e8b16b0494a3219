"""JSON that somebody else wrote, read with tolerance for its form and suspicion of its content.

Keys count in any letter case, and nested documents as such or as JSON text: both have been seen. What decides must be
there, once, and be what it should; what only decorates may be missing or odd, and is then empty.

>>> answer = Reader.of({"About": '{"Digest": "sha256:0f"}', "note": 7}, "a row", "row")
>>> answer.document("about").required("digest"), answer.text("note")
('sha256:0f', '')
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from pratique.errors import UnreadableAnswer
from pratique.images import DIGEST_PATTERN


@dataclass(frozen=True)
class Reader:
    """One JSON object. Every method raises :class:`UnreadableAnswer` when it has two different values for the key.

    :ivar subject: what it is part of, for errors
    :ivar path: where in it
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
        same = [value for name, value in self.mapping.items() if name.lower() == key.lower() and value is not None]
        if len(same) > 1 and not _equal(same):
            raise self.wrong(key, "has two values")
        return same[0] if same else None

    def says(self, key: str) -> bool:
        """Whether there is anything under the key, readable or not."""
        return self.get(key) not in (None, "", [], {})

    def document(self, key: str) -> Reader:
        """A nested object."""
        return Reader.of(self.get(key), self.subject, f"{self.path}.{key}")

    def optional(self, key: str) -> Reader:
        """A nested object that may be missing, and is then empty."""
        return self.document(key) if self.get(key) is not None else Reader({}, self.subject, f"{self.path}.{key}")

    def array(self, key: str) -> list[Any]:
        """A nested array; empty when it is not there."""
        value = self.get(key)
        parsed = [] if value is None else _parsed(value, self.subject, f"{self.path}.{key}")
        if not isinstance(parsed, list):
            raise self.wrong(key, "is not an array")
        return parsed

    def documents(self, key: str) -> list[Reader]:
        """A nested array of objects, every one of which is readable; empty when it is not there."""
        return [
            Reader.of(value, self.subject, f"{self.path}.{key}[{index}]") for index, value in enumerate(self.array(key))
        ]

    def text(self, key: str) -> str:
        """A string that nothing hangs on: empty when it is not there or not printable text."""
        value = self.get(key)
        return value.strip() if isinstance(value, str) and value.isprintable() else ""

    def texts(self, key: str) -> list[str]:
        """The printable strings of an array."""
        return [value for value in self.array(key) if isinstance(value, str) and value.isprintable()]

    def required(self, key: str) -> str:
        """A string that has to be there."""
        if not (text := self.text(key)):
            raise self.wrong(key, "is missing, or not plain text")
        return text

    def digest(self, key: str) -> str:
        """A SHA-256 digest that has to be there, in lower case."""
        digest = self.required(key).lower()
        if not re.fullmatch(DIGEST_PATTERN, digest):
            raise self.wrong(key, f"is no digest: {digest!r:.100}")
        return digest

    def moment(self, key: str) -> datetime | None:
        """A time in UTC; ``None`` when there is none, or the year 1 by which .NET and Go say so."""
        if not self.says(key):
            return None
        try:
            moment = datetime.fromisoformat(self.required(key))
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.wrong(key, f"is not a time: {self.text(key)!r:.100}") from error
        return moment if moment.year > 1 else None

    def required_moment(self, key: str) -> datetime:
        """A time that has to be there."""
        if (moment := self.moment(key)) is None:
            raise self.wrong(key, "is missing")
        return moment

    def wrong(self, key: str, how: str) -> UnreadableAnswer:
        return unreadable(self.subject, f"{self.path}.{key} {how}.")


def unreadable(subject: str, observed: str) -> UnreadableAnswer:
    """The error for an answer that does not mean what it should.

    :param subject: what it is about, as it calls itself
    """
    return UnreadableAnswer(
        "read what a scanner found",
        (subject if subject.isprintable() else ascii(subject))[:300],
        observed,
        "Look at the image where the scanner shows it: until this can be read it does not count as assessed.",
    )


def _parsed(value: object, subject: str, path: str) -> object:
    """The value itself, or what it says when it is JSON text."""
    if not isinstance(value, str | bytes):
        return value
    try:
        text = value if isinstance(value, str) else value.decode()
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise unreadable(subject, f"{path} is not JSON: {error}.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers that see another one of two values under the same key must not disagree with this one (RFC 8259, 4)."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise ValueError(f"two values for {key!r:.100}")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _equal(values: list[Any]) -> bool:
    try:
        return all(value == values[0] for value in values)
    except RecursionError:
        return False
