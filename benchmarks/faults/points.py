"""What came of the campaign's points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.faults.scene import Snapshot


@dataclass(frozen=True)
class Point:
    """One thing that was done to one run.

    :ivar part: of the campaign
    :ivar group: the line of the table that it counts for
    :ivar name: the options that repeat it
    :ivar outcome: in a few words
    :ivar request: that was hit; empty when the run ended before
    :ivar broken: invariants that do not hold
    """

    part: str
    group: str
    name: str
    outcome: str
    request: str = ""
    broken: tuple[str, ...] = ()


@dataclass
class Tally:
    """All points so far."""

    points: list[Point] = field(default_factory=list)

    @property
    def broken(self) -> list[Point]:
        return [point for point in self.points if point.broken]

    @property
    def hit(self) -> int:
        """How many met their fault; the others ended before."""
        return sum(1 for point in self.points if point.request)

    def table(self) -> str:
        """Points and outcomes for people: by group, and by the request that was hit."""
        lines: list[str] = []
        for part in dict.fromkeys(point.part for point in self.points):
            of_part = [point for point in self.points if point.part == part]
            lines += ["", f"{part:<88} points  broken  outcomes"]
            lines += _lines(of_part, [point.group for point in of_part])
            lines += ["  by request:", *_lines(of_part, [point.request or "none: it had ended" for point in of_part])]
        return "\n".join(lines)


def _lines(points: list[Point], keys: list[str]) -> Iterator[str]:
    for key in dict.fromkeys(keys):
        those = [point for point, its in zip(points, keys, strict=True) if its == key]
        outcomes = Counter(point.outcome for point in those)
        told = ", ".join(f"{outcome} {times}" for outcome, times in outcomes.most_common())
        broken = sum(1 for point in those if point.broken)
        yield f"  {key:<86} {len(those):>6}  {broken:>6}  {told}"


def difference(expected: Snapshot, found: Snapshot) -> tuple[str, ...]:
    """What differs, in one line each."""
    before, after = dict(_leaves(expected)), dict(_leaves(found))
    return tuple(
        f"{place} was {before.get(place, 'not there')}, is {after.get(place, 'not there')}"
        for place in sorted(before.keys() | after.keys())
        if before.get(place) != after.get(place)
    )


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value with its place; the order of lists means nothing in a vault."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for one in value:
            yield f"{place}[{one}]", "there"
    else:
        yield place, value
