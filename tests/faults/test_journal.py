"""The file of results: each point a line, whatever ends the campaign."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.faults.journal import Journal, read
from benchmarks.faults.points import Point

GOOD = Point(part="p", group="g", name="--part kills --at 1", outcome="left nothing", request="GET x")
BAD = Point(part="p", group="g", name="--part kills --at 2", outcome="succeeded", broken=("a\u2013b", "c"))


def write(path: Path, *points: Point) -> None:
    with closing(Journal(path)) as journal:
        for point in points:
            journal.add(point, 1.234)


def test_points_are_read_as_they_were(tmp_path: Path) -> None:
    """Also by a campaign that appends to them. Each has its time, machine, commit and seconds."""
    path = tmp_path / "new" / "faults.jsonl"
    write(path, GOOD)
    write(path, BAD)
    assert list(read(path)) == [GOOD, BAD]
    record = json.loads(path.read_text().splitlines()[1])
    assert record["machine"]["cores"] > 0
    assert record["commit"]
    assert record["date"].endswith("+00:00")
    assert (record["point"], record["broken"], record["seconds"]) == (BAD.name, list(BAD.broken), 1.23)


@pytest.mark.parametrize("whole", [0, 1])
def test_a_torn_line(tmp_path: Path, whole: int) -> None:
    """What a campaign was writing when it was killed is ignored, and gone before the next point."""
    path = tmp_path / "faults.jsonl"
    write(path, *[GOOD] * whole, BAD)
    text = path.read_bytes()
    for length in range(text.rindex(b'{"date"') + 1, len(text), 5):
        path.write_bytes(text[:length])
        assert list(read(path)) == [GOOD] * whole
    write(path, BAD, GOOD)
    assert list(read(path)) == [*[GOOD] * whole, BAD, GOOD]


def test_another_file(tmp_path: Path) -> None:
    """A line that is no point is an error that names it, and no point is lost silently."""
    path = tmp_path / "faults.jsonl"
    write(path, GOOD)
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(ValueError, match=r"faults\.jsonl, line 2: not a point"):
        list(read(path))
