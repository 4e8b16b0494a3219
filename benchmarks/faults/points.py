"""The results of the campaign's points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.faults.scene import Scene, Snapshot

#: The group of the points that could not be run to their end.
NOT_RUN = "not run to its end"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One fault or kill in one run.

    :ivar part: of the campaign
    :ivar group: the row of the table that counts it
    :ivar name: the command-line options that repeat it
    :ivar outcome: in a few words
    :ivar request: the request that was hit, or the obstacle that was met; empty when the run ended before
    :ivar broken: the broken invariants
    """

    part: str
    group: str
    name: str
    outcome: str
    request: str = ""
    broken: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it could not be run to its end."""
        return self.group == NOT_RUN

    @property
    def ended_before(self) -> bool:
        """Whether the run ended before its fault: later requests do not exist."""
        return not self.request and not self.failed


@dataclass(frozen=True)
class Finished:
    """A point that has ended.

    :ivar seconds: that it took, without the start of what it runs in
    """

    point: Point
    seconds: float


def failed(part: str, name: str, text: str) -> Finished:
    """A point that could not be run to its end: nothing shows that the invariants hold.

    :param text: what the process said
    """
    return Finished(Point(part=part, group=NOT_RUN, name=name, outcome="failed", broken=(text,)), 0)


@dataclass(frozen=True, kw_only=True)
class Encounter:
    """How a run fared with an obstacle. See :class:`Point`."""

    outcome: str
    request: str
    broken: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Something that others do and that temporary access has to cope with.

    :ivar situation: group of obstacles
    :ivar kind: unique in its group
    :ivar meet: runs it, at the request with a number if it is one at a request
    :ivar at_requests: whether every request of a run is a point
    """

    situation: str
    kind: str
    meet: Callable[[Scene, int], Encounter]
    at_requests: bool = False

    @property
    def selection(self) -> str:
        """The command-line options that select its points."""
        return f"--part obstacles --situation '{self.situation}' --kind '{self.kind}'"

    def options(self, number: int) -> str:
        """The command-line options that repeat it."""
        return f"{self.selection} --at {number}" if self.at_requests else self.selection

    def point(self, scene: Scene, number: int) -> Point:
        found = self.meet(scene, number)
        return Point(
            part="an obstacle",
            group=f"{self.situation}: {self.kind}" if self.at_requests else self.situation,
            name=self.options(number),
            outcome=found.outcome,
            request=found.request,
            broken=found.broken,
        )


@dataclass
class Tally:
    """All points so far."""

    points: list[Point] = field(default_factory=list)

    @property
    def broken(self) -> list[Point]:
        return [point for point in self.points if point.broken]

    @property
    def hit(self) -> int:
        """How many points met their fault; the other runs ended before."""
        return sum(1 for point in self.points if point.request)

    def table(self) -> str:
        """Points and outcomes as text: by group, and by the request that was hit."""
        lines: list[str] = []
        for part in dict.fromkeys(point.part for point in self.points):
            of_part = [point for point in self.points if point.part == part]
            lines += ["", f"{part:<88} points  broken  outcomes"]
            lines += _lines(of_part, [point.group for point in of_part])
            lines += [
                "  by request or obstacle:",
                *_lines(of_part, [point.request or "none: the run had ended" for point in of_part]),
            ]
        return "\n".join(lines)


def _lines(points: list[Point], keys: list[str]) -> Iterator[str]:
    for key in dict.fromkeys(keys):
        members = [point for point, its_key in zip(points, keys, strict=True) if its_key == key]
        outcomes = Counter(point.outcome for point in members)
        summary = ", ".join(f"{outcome} {times}" for outcome, times in outcomes.most_common())
        broken = sum(1 for point in members if point.broken)
        yield f"  {key:<86} {len(members):>6}  {broken:>6}  {summary}"


def difference(expected: Snapshot, found: Snapshot) -> tuple[str, ...]:
    """The differences, one line each."""
    before, after = dict(_leaves(expected)), dict(_leaves(found))
    return tuple(
        f"{place} was {before.get(place, 'not there')}, is {after.get(place, 'not there')}"
        for place in sorted(before.keys() | after.keys())
        if before.get(place) != after.get(place)
    )


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value with its path; the order of lists is ignored, since it means nothing in a vault."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for item in value:
            yield f"{place}[{item}]", "there"
    else:
        yield place, value
