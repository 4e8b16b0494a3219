"""The campaign's results as a file: a JSON object a line, appended when a point ends.

A line counts when its line feed is there, so that a campaign that was killed while it wrote loses one point at most.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.faults.points import Point
from benchmarks.machine import machine

_PROJECT = Path(__file__).parents[2]


class Journal:
    """Appends points to a file, each with its time, the machine, and the commit that was tested.

    :param path: of the file; made with its folder when it is missing
    :raises OSError: when it cannot be written
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._facts = {"machine": machine(), "commit": _commit()}
        self._remove_torn_line()

    def add(self, point: Point, seconds: float) -> None:
        """Append a point.

        :param seconds: that it took
        """
        record: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **self._facts,
            "point": point.name,
        }
        record |= {"part": point.part, "group": point.group, "outcome": point.outcome, "request": point.request}
        record |= {"broken": point.broken, "seconds": round(seconds, 2)}
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _remove_torn_line(self) -> None:
        self._file.seek(0)
        contents = self._file.read() if self._file.seekable() else b""
        if whole := len(contents) - len(contents.rpartition(b"\n")[2]):
            self._file.truncate(whole)
        elif contents:
            self._file.truncate(0)
        self._file.seek(0, os.SEEK_END)


def read(path: Path) -> Iterator[Point]:
    """The points in a file. A last line without its line feed is ignored.

    :raises ValueError: for any other line that is no point
    :raises OSError: when the file cannot be read
    """
    whole = path.read_bytes().rpartition(b"\n")[0]
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            yield _point(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a point of the campaign ({error!r})") from error


def _point(record: dict[str, Any]) -> Point:
    names = ("part", "group", "outcome", "request")
    return Point(**{name: record[name] for name in names}, name=record["point"], broken=tuple(record["broken"]))


def _commit() -> str:
    """The commit of the working tree, with ``-dirty`` if it has changes; ``unknown`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
