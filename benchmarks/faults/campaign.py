"""Runs the points of a schedule until there are no more, the time is up, or the campaign is told to end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.faults.points import Finished, Point
from benchmarks.faults.schedule import Budget, Job, Schedule


class Processes(Protocol):
    """What runs the points. See :class:`.pool.Pool`."""

    @property
    def running(self) -> Collection[Job]: ...

    @property
    def free(self) -> bool: ...

    def start(self, job: Job) -> None: ...

    def search(self) -> None: ...

    def wait(self, seconds: float | None) -> Sequence[tuple[Job, Finished]]: ...

    def abandon(self) -> Sequence[Job]: ...


#: After so many points in a row that could not be run, no other one will be.
_MOST_FAILURES = 10


@dataclass
class Campaign:
    """A campaign while it runs.

    :ivar report: is called with each point that has ended, and the seconds that it took
    :ivar stopped: whether the campaign was told to end
    :ivar abandoned: points that had not ended when the campaign did; they count as not run
    """

    schedule: Schedule
    processes: Processes
    budget: Budget
    report: Callable[[Point, float], None]
    stopped: Callable[[], bool]
    abandoned: list[Job] = field(default_factory=list)
    _started: dict[Job, float] = field(default_factory=dict)
    _failures: int = 0

    def run(self) -> None:
        """Run all points, or until many in a row cannot be run, and search for secrets in what whole runs have left."""
        self._run_points()
        self.abandoned += self.processes.abandon()
        self.budget.reserve = 0
        if not self.stopped():
            self.processes.search()
            while self.processes.running and self._collect():
                pass
            self.abandoned += self.processes.abandon()

    def _run_points(self) -> None:
        while not self.stopped() and self._failures < _MOST_FAILURES:
            while self.processes.free and (job := self.schedule.next(self.budget, self.processes.running)):
                self._started[job] = self.budget.clock()
                self.processes.start(job)
            if not self.processes.running or not self._collect():
                return

    def _collect(self) -> bool:
        """Wait for points, and report them. False when the time is up or the campaign shall end."""
        ended = self.processes.wait(self.budget.left)
        for job, finished in ended:
            if job in self._started:
                self.schedule.done(job, ended=finished.point.ended_before)
                self.budget.spend(job.part, self.budget.clock() - self._started.pop(job), finished.seconds)
            self._failures = self._failures + 1 if finished.point.failed else 0
            self.report(finished.point, finished.seconds)
        return bool(ended)
