"""JSON from other systems: tolerant of its form, strict about its content."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.json_reader import Reader, unreadable
from tests.pratique.evidence.parsers.mutations import DEEP, DIGEST, JSON


def read(value: Any) -> Reader:
    return Reader.of(value, "a row", "row")


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        "",
        b"",
        b"[]",
        b'{"a": ',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\0"}',
        b'\0{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": ' + b"9" * 5000 + b"}",
        DEEP,
        DEEP.encode(),
        b'{"a":' * 100_000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_not_an_object(value: object) -> None:
    """Anything but a JSON object in UTF-8 with one value per key raises an error."""
    with pytest.raises(UnreadableAnswer):
        read(value)


@pytest.mark.parametrize("key", ["digest", "Digest", "DIGEST"])
def test_letter_case(key: str) -> None:
    """A key is found in any letter case, also when it is present twice with the same value."""
    assert read({key: "x"}).required("digest") == "x"
    assert read({key: "x", "dIGEST": "x", "diGest": None}).required("digest") == "x"


def test_two_values() -> None:
    """Two different values for one key raise an error: another parser might take the other one."""
    with pytest.raises(UnreadableAnswer, match="two values"):
        read({"digest": "x", "Digest": "y"}).get("digest")


def test_two_deep_values() -> None:
    """Values that are nested too deeply to be compared count as different."""
    deep: list[list[Any]] = [[], []]
    for index in (0, 1):
        for _ in range(100_000):
            deep[index] = [deep[index]]
    with pytest.raises(UnreadableAnswer):
        read({"a": deep[0], "A": deep[1]}).get("a")


def test_nested_documents() -> None:
    """Nested objects and arrays are read as such or from JSON text."""
    for nested in ({"b": [{"c": 1}]}, '{"b": [{"c": 1}]}', {"b": '[{"c": 1}]'}, {"b": ['{"c": 1}']}):
        assert [item.get("c") for item in read({"a": nested}).document("a").documents("b")] == [1]
    assert read({}).documents("b") == []
    assert read({}).optional("a").get("b") is None


@pytest.mark.parametrize("value", [{}, "", "{}", 0, False, "x", [7], [None], [[]], ["x"]], ids=repr)
def test_not_an_array_of_objects(value: object) -> None:
    """Anything but an array of objects raises an error; it is not taken for an empty array."""
    with pytest.raises(UnreadableAnswer):
        read({"a": value}).documents("a")


@pytest.mark.parametrize("value", [None, 7, "", " ", "a\0", "a\nb", "\ud800", "\u202e", ["a"]], ids=repr)
def test_not_plain_text(value: object) -> None:
    """Optional text that is not printable is dropped; required text that is not printable raises an error."""
    assert read({"a": value}).text("a") == ""
    with pytest.raises(UnreadableAnswer):
        read({"a": value}).required("a")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-23T10:15:00Z", datetime(2026, 11, 23, 10, 15, tzinfo=UTC)),
        ("2026-11-23T10:15:00.1234567Z", datetime(2026, 11, 23, 10, 15, 0, 123456, UTC)),
        ("2026-11-23T12:15:00.000000001+02:00", datetime(2026, 11, 23, 10, 15, tzinfo=UTC)),
        ("2026-11-23T10:15:00", datetime(2026, 11, 23, 10, 15, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_timestamps(text: object, time: datetime | None) -> None:
    """Times are read with any fraction and offset; the zero time of .NET and Go counts as no time."""
    assert read({"a": text}).timestamp("a") == time


@pytest.mark.parametrize("text", ["soon", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", 7, ["x"], "\ud800"])
def test_not_a_timestamp(text: object) -> None:
    """A value that is not a time raises an error."""
    with pytest.raises(UnreadableAnswer):
        read({"a": text}).timestamp("a")


def test_digest() -> None:
    """A digest is read in any letter case, and anything else raises an error."""
    assert read({"a": DIGEST.upper().replace("SHA", "sha")}).digest("a") == DIGEST
    for wrong in (DIGEST[:-1], DIGEST + "0", "sha512:" + "0f" * 64, None):
        with pytest.raises(UnreadableAnswer):
            read({"a": wrong}).digest("a")


def test_errors_are_printable() -> None:
    """An error is printable and short, whatever the document contains."""
    error = str(unreadable("image\0\ud800" * 1000, "It is odd."))
    assert error.isprintable()
    assert len(error) < 1000
    with pytest.raises(UnreadableAnswer) as raised:
        read({"a": "\\" * 100_000}).digest("a")
    assert len(str(raised.value)) < 1000


@given(st.dictionaries(st.sampled_from(["a", "A", "b"]), JSON))
def test_nothing_else_is_raised(value: dict[str, Any]) -> None:
    """Whatever an object contains, every method returns a value or raises UnreadableAnswer."""
    reader = read(value)
    ways = (reader.get, reader.has, reader.document, reader.optional, reader.array, reader.documents, reader.text)
    for way in (*ways, reader.texts, reader.required, reader.digest, reader.timestamp, reader.required_timestamp):
        with suppress(UnreadableAnswer):
            way("a")
