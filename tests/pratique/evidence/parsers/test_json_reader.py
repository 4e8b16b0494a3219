"""Other people's JSON is read with tolerance for its form and suspicion of its content."""

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
def test_no_object(value: object) -> None:
    """What is no JSON object in UTF-8, or has two values for a key, is an error."""
    with pytest.raises(UnreadableAnswer):
        read(value)


@pytest.mark.parametrize("key", ["digest", "Digest", "DIGEST"])
def test_letter_case(key: str) -> None:
    """A key is found in any letter case, also when it is there twice with one value."""
    assert read({key: "x"}).required("digest") == "x"
    assert read({key: "x", "dIGEST": "x", "diGest": None}).required("digest") == "x"


def test_two_values() -> None:
    """Two different values for one key are an error: another reader might take the other one."""
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
    """Nested objects and arrays come as such or as JSON text."""
    for nested in ({"b": [{"c": 1}]}, '{"b": [{"c": 1}]}', {"b": '[{"c": 1}]'}, {"b": ['{"c": 1}']}):
        assert [one.get("c") for one in read({"a": nested}).document("a").documents("b")] == [1]
    assert read({}).documents("b") == []
    assert read({}).optional("a").get("b") is None


@pytest.mark.parametrize("value", [{}, "", "{}", 0, False, "x", [7], [None], [[]], ["x"]], ids=repr)
def test_no_array_of_objects(value: object) -> None:
    """Something else than an array of objects is an error, and not an empty one."""
    with pytest.raises(UnreadableAnswer):
        read({"a": value}).documents("a")


@pytest.mark.parametrize("value", [None, 7, "", " ", "a\0", "a\nb", "\ud800", "\u202e", ["a"]], ids=repr)
def test_no_text(value: object) -> None:
    """Text that decorates is dropped when it is not printable; where it decides that is an error."""
    assert read({"a": value}).text("a") == ""
    with pytest.raises(UnreadableAnswer):
        read({"a": value}).required("a")


@pytest.mark.parametrize(
    ("text", "moment"),
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
def test_moments(text: object, moment: datetime | None) -> None:
    """Times are read with any fraction and offset; the zero time of .NET and Go is none, and not one long ago."""
    assert read({"a": text}).moment("a") == moment


@pytest.mark.parametrize("text", ["soon", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", 7, ["x"], "\ud800"])
def test_no_moment(text: object) -> None:
    """What is there and is no time is an error."""
    with pytest.raises(UnreadableAnswer):
        read({"a": text}).moment("a")


def test_digest() -> None:
    """A digest is read in any letter case, and nothing else is one."""
    assert read({"a": DIGEST.upper().replace("SHA", "sha")}).digest("a") == DIGEST
    for wrong in (DIGEST[:-1], DIGEST + "0", "sha512:" + "0f" * 64, None):
        with pytest.raises(UnreadableAnswer):
            read({"a": wrong}).digest("a")


def test_errors_are_printable() -> None:
    """An error can be shown whatever the answer holds, and does not grow with it."""
    error = str(unreadable("image\0\ud800" * 1000, "It is odd."))
    assert error.isprintable()
    assert len(error) < 1000
    with pytest.raises(UnreadableAnswer) as raised:
        read({"a": "\\" * 100_000}).digest("a")
    assert len(str(raised.value)) < 1000


@given(st.dictionaries(st.sampled_from(["a", "A", "b"]), JSON))
def test_nothing_else_is_raised(value: dict[str, Any]) -> None:
    """Whatever stands in an object, every way of reading it gives a value or our error."""
    reader = read(value)
    ways = (reader.get, reader.says, reader.document, reader.optional, reader.array, reader.documents, reader.text)
    for way in (*ways, reader.texts, reader.required, reader.digest, reader.moment, reader.required_moment):
        with suppress(UnreadableAnswer):
            way("a")
