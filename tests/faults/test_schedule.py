"""The campaign's order, budget and shards, on a clock that only points move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from benchmarks.faults.campaign import Campaign
from benchmarks.faults.points import Finished, Point, failed
from benchmarks.faults.schedule import Budget, Job, Schedule, Shard, parse_duration
from benchmarks.faults.series import PARTS, SECRETS, Selection

SECONDS = {"flows": 30.0}
#: A run sends so many requests.
REQUESTS = 7
SELECTION = Selection(cases=6, pairs=5)
SERIES = SELECTION.series()


@dataclass
class Processes:
    """Runs points that take some seconds of its clock.

    :ivar seconds: by part; others take a second
    :ivar ran: the points that were started
    :ivar fails: whether the point that was started as the Nth one cannot be run
    """

    jobs: int = 1
    seconds: Mapping[str, float] = field(default_factory=lambda: SECONDS)
    now: float = 0
    ran: list[Job] = field(default_factory=list)
    ends: dict[Job, float] = field(default_factory=dict)
    searches: int = 0
    fails: Callable[[int], bool] = lambda number: False

    @property
    def running(self) -> Collection[Job]:
        return list(self.ends)

    @property
    def free(self) -> bool:
        return len(self.ends) < self.jobs

    def start(self, job: Job) -> None:
        self.ran.append(job)
        self.ends[job] = self.now + self.seconds.get(job.part, 1)

    def search(self) -> None:
        self.searches += 1
        self.ends[Job("flows", 0, 0, SECRETS)] = self.now + 1

    def wait(self, seconds: float | None) -> Sequence[tuple[Job, Finished]]:
        job = min(self.ends, key=lambda each: self.ends[each])
        if seconds is not None and self.ends[job] > self.now + seconds:
            self.now += seconds
            return []
        self.now = self.ends.pop(job)
        if self.fails(len(self.ran)):
            return [(job, failed(job.part, job.name, "It died."))]
        took = self.seconds.get(job.part, 1)
        series = SERIES[job.series]
        hit = job.number <= (series.last or REQUESTS)
        return [(job, Finished(Point(part=job.part, group="", name=job.name, outcome="", request="GET" * hit), took))]

    def abandon(self) -> Sequence[Job]:
        abandoned, self.ends = list(self.ends), {}
        return abandoned


def campaign(
    processes: Processes, budget: float | None = None, shard: str = "1/1", known: Mapping[str, bool] | None = None
) -> tuple[Campaign, list[Point]]:
    """A campaign that has run, and its points without the search for secrets."""
    points: list[Point] = []
    schedule = Schedule(SERIES, shard=Shard.parse(shard), known=known, seed=None if budget is None else 1)
    made = Campaign(
        schedule,
        processes,
        Budget(budget, clock=lambda: processes.now, reserve=0 if budget is None else 2),
        lambda point, _: points.append(point),
        lambda: False,
    )
    made.run()
    return made, [point for point in points if point.name != SECRETS]


def hits(points: Sequence[Point]) -> Counter[str]:
    return Counter(point.name for point in points if point.request)


def test_without_a_budget_all_points_come_in_order() -> None:
    """Part by part, series by series, from the first request to the one that no run sends; then secrets are sought."""
    processes = Processes()
    made, points = campaign(processes)
    assert made.abandoned == []
    assert list(dict.fromkeys(job.part for job in processes.ran)) == list(PARTS)
    expected = [each.name(n) for each in SERIES for n in range(1, (each.last or REQUESTS + 1) + 1)]
    assert [point.name for point in points] == expected
    assert processes.searches == 1


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_a_short_budget_touches_every_part(jobs: int) -> None:
    """Each part runs points, of many series and with many numbers."""
    processes = Processes(jobs)
    campaign(processes, budget=400)
    seconds = Counter[str]()
    for job in processes.ran:
        seconds[job.part] += int(SECONDS.get(job.part, 1))
    assert seconds.keys() == set(PARTS)
    assert min(seconds[part] for part in ("kills", "faults", "obstacles")) >= 30
    assert len({job.series for job in processes.ran if job.part == "kills"}) > 10
    assert len({job.number for job in processes.ran if job.part == "kills"}) > 5


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_point_starts_that_is_unlikely_to_end(jobs: int) -> None:
    """The rest of the time has to be as long as the part's longest point so far; nothing is abandoned then."""
    processes = Processes(jobs)
    made, points = campaign(processes, budget=130)
    assert made.abandoned == []
    assert processes.now <= 130
    assert processes.searches == 1
    assert len(points) == len(processes.ran)


def test_the_time_is_up() -> None:
    """A point that takes longer than any before is abandoned when the time is up, and named."""
    processes = Processes(seconds={"flows": 1000.0})
    made, points = campaign(processes, budget=90)
    assert 88 <= processes.now <= 90
    assert [job.part for job in made.abandoned if job.name != SECRETS] == ["flows"]
    assert "flows" not in {point.part for point in points}


@pytest.mark.parametrize(("budget", "jobs"), [(None, 1), (None, 3), (10_000.0, 1), (10_000.0, 4)])
def test_shards_are_the_whole(budget: float | None, jobs: int) -> None:
    """Each point that meets its fault is in one shard, whatever the order, and however many processes there are."""
    _, whole = campaign(Processes())
    shards = [hits(campaign(Processes(jobs), budget, f"{k}/3")[1]) for k in (1, 2, 3)]
    assert sum(shards, Counter[str]()) == hits(whole)
    assert min(map(len, shards)) > len(hits(whole)) / 5


@pytest.mark.parametrize(("budget", "jobs"), [(None, 1), (None, 3), (10_000.0, 4)])
def test_resumed(budget: float | None, jobs: int) -> None:
    """What is left is run, once; where a series ends is known already."""
    _, whole = campaign(Processes())
    _, some = campaign(Processes(2), budget=90)
    known = {point.name: point.ended_before for point in some}
    _, rest = campaign(Processes(jobs), budget, known=known)
    assert hits(some) + hits(rest) == hits(whole)
    assert not known.keys() & {point.name for point in rest}
    _, nothing = campaign(Processes(), known={point.name: point.ended_before for point in (*whole, *some)})
    assert nothing == []


def test_told_to_end() -> None:
    """No further point starts, and the one that runs is abandoned and named."""
    processes, points = Processes(), list[Point]()
    ended = Campaign(
        Schedule(SERIES),
        processes,
        Budget(),
        lambda point, _: points.append(point),
        lambda: len(points) == 3,
    )
    processes.jobs = 2
    ended.run()
    assert len(points) == 3
    assert [job.name for job in ended.abandoned] == [processes.ran[3].name]
    assert processes.searches == 0


def test_points_that_cannot_be_run() -> None:
    """One of them does not end its series. After ten in a row the campaign gives up, before its time is up."""
    _, whole = campaign(Processes())
    processes = Processes(fails=lambda number: number == 3)
    _, points = campaign(processes)
    assert hits(whole).keys() == {point.name for point in points if not point.ended_before}
    processes = Processes(fails=lambda number: number > 5)
    _, points = campaign(processes)
    assert [point.failed for point in points] == [False] * 5 + [True] * 10


def test_one_number() -> None:
    """A number selects one point of each series; a series without numbers has one."""
    schedule, budget, names = Schedule(SERIES, at=3), Budget(), []
    while job := schedule.next(budget):
        names.append(job.name)
    assert names == [each.name(3) for each in SERIES]


def test_options_are_unique() -> None:
    """The options that a point prints name it alone."""
    names = [each.name(1) for each in SERIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("1.5h", 5400), ("0s", 0), ("20", None), ("m", None), ("-1s", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    """A number with its unit."""
    if seconds is not None:
        assert parse_duration(text) == seconds
        return
    with pytest.raises(ValueError, match="a number with its unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", ""])
def test_no_shard(text: str) -> None:
    """Shards count from 1."""
    with pytest.raises(ValueError, match="K from 1 to N"):
        Shard.parse(text)
