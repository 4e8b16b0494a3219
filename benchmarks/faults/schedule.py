"""Which point of the campaign comes next.

Without a budget the points come in order. With one they come in random order, and the part that has used the least
time comes first, so that a short campaign touches every part.
"""

from __future__ import annotations

import random
import re
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: No run sends more requests.
_MOST = 999
#: Numbers up to this come in random order: nearly all runs send fewer requests.
_SHUFFLED = 40
#: Seconds that a part's first point is expected to take, with the start of what it runs in.
_FIRST_SECONDS = {"flows": 60.0}
_OTHER_FIRST_SECONDS = 5.0


class Numbered(Protocol):
    """Points that differ only in their number. See :class:`.series.Series`."""

    @property
    def part(self) -> str: ...

    @property
    def last(self) -> int | None: ...

    def name(self, number: int) -> str: ...


@dataclass(frozen=True)
class Job:
    """A point that is to be run.

    :ivar series: its index
    """

    part: str
    series: int
    number: int
    name: str


@dataclass(frozen=True)
class Shard:
    """One of several disjoint shares of the campaign, counted from 1."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``K/N``.

        :raises ValueError: when it is anything else, or K is not between 1 and N
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0)
        if not 1 <= shard.index <= shard.count:
            raise ValueError(f"a shard is K/N with K from 1 to N, such as 2/3, not '{text}'")
        return shard

    def has(self, series: str, number: int) -> bool:
        """Whether a point is in this share: the numbers of a series take turns."""
        return (zlib.crc32(series.encode()) + number) % self.count == self.index - 1


@dataclass
class Budget:
    """The time that the campaign may take.

    :ivar seconds: in all; None for no limit
    :ivar clock: seconds that have passed
    :ivar reserve: seconds at the end in which no point runs
    """

    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    reserve: float = 0
    _started: float = field(init=False)
    _longest: dict[str, float] = field(default_factory=dict)
    _spent: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def left(self) -> float | None:
        """Seconds for points, or None."""
        return None if self.seconds is None else self.seconds - self.reserve - (self.clock() - self._started)

    def expected(self, part: str) -> float:
        """Seconds that a point of a part may take: as long as the longest so far."""
        return self._longest.get(part, _FIRST_SECONDS.get(part, _OTHER_FIRST_SECONDS))

    def allows(self, part: str) -> bool:
        """Whether a point of a part is likely to end in time."""
        return self.left is None or self.expected(part) <= self.left

    def spent(self, part: str) -> float:
        return self._spent.get(part, 0)

    def spend(self, part: str, seconds: float, alone: float) -> None:
        """Take note of a point.

        :param seconds: that it took
        :param alone: of them, those without the start of what it runs in
        """
        self._spent[part] = self.spent(part) + seconds
        self._longest[part] = max(self._longest.get(part, 0), alone)


def parse_duration(text: str) -> float:
    """Seconds in a duration such as ``90s``, ``20m`` or ``1.5h``.

    :raises ValueError: when it is anything else
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if found is None:
        raise ValueError(f"a duration is a number with its unit, such as 90s, 20m or 1.5h, not '{text}'")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


class _Progress:
    """One series: the numbers that are left, and where it ends."""

    def __init__(self, series: Numbered, numbers: Iterator[int], known: Mapping[str, bool]) -> None:
        self._series = series
        self._numbers = numbers
        self._known = known
        self._end = min(
            (n for n in range(1, _MOST + 1) if series.last is None and known.get(series.name(n))),
            default=_MOST + 1,
        )

    def next(self) -> int | None:
        for number in self._numbers:
            if number < self._end and self._series.name(number) not in self._known:
                return number
        return None

    def done(self, number: int, *, ended: bool) -> None:
        if ended and self._series.last is None:
            self._end = min(self._end, number)


class Schedule:
    """Yields each point once.

    :param at: only the points with this number, and those that have none
    :param shard: only the points of this share
    :param known: the points to skip, by name, and whether their runs ended before their faults
    :param seed: of the random order; None for the order of the series
    """

    def __init__(
        self,
        series: Sequence[Numbered],
        *,
        at: int | None = None,
        shard: Shard | None = None,
        known: Mapping[str, bool] | None = None,
        seed: int | None = None,
    ) -> None:
        self._series = series
        self._shard = shard or Shard()
        self._chance = None if seed is None else random.Random(seed)  # noqa: S311  # no secret
        self._progress = [_Progress(each, self._numbers(each, at), known or {}) for each in series]
        self._open = dict.fromkeys(range(len(series)))

    def next(self, budget: Budget, running: Collection[Job] = ()) -> Job | None:
        """The next point; None when there is none, or none that is likely to end in time.

        :param running: points that have not ended; they count with the time that they are expected to take
        """
        parts = list(dict.fromkeys(self._series[index].part for index in self._open))
        if self._chance is not None:
            under_way = {part: sum(budget.expected(part) for job in running if job.part == part) for part in parts}
            parts.sort(key=lambda part: budget.spent(part) + under_way[part])
        for part in parts:
            if budget.allows(part) and (job := self._next_of(part)):
                return job
        return None

    def done(self, job: Job, *, ended: bool) -> None:
        """Take note of a point.

        :param ended: whether its run ended before its fault: later requests do not exist
        """
        self._progress[job.series].done(job.number, ended=ended)

    def _next_of(self, part: str) -> Job | None:
        while indices := [index for index in self._open if self._series[index].part == part]:
            index = self._chance.choice(indices) if self._chance else indices[0]
            if number := self._progress[index].next():
                return Job(part, index, number, self._series[index].name(number))
            del self._open[index]
        return None

    def _numbers(self, series: Numbered, at: int | None) -> Iterator[int]:
        """The numbers of a series in this share, in order or shuffled."""
        if at is not None and series.name(1) != series.name(2):
            return iter([at])
        numbers = list(range(1, (series.last or _MOST) + 1))
        if self._chance is not None:
            shuffled = numbers[: series.last or _SHUFFLED]
            self._chance.shuffle(shuffled)
            numbers[: len(shuffled)] = shuffled
        return (number for number in numbers if self._shard.has(series.name(0), number))
