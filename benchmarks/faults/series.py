"""All points of the campaign, as series of points that differ only in their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from benchmarks.faults import kills, obstacles, pairs, refusals
from benchmarks.faults.points import Obstacle, Point
from benchmarks.faults.scene import Scene, Situation
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox

if TYPE_CHECKING:
    from benchmarks.faults.preparations import Preparations

PARTS = ("kills", "faults", "obstacles", "pairs", "flows")
#: What searches for secrets in all that the whole runs of a process have left.
SECRETS = "secrets"


class Stage:
    """What points run in, started when the first one needs it: the scene's sandbox, or Prefect's server with another.

    :param folder: for all their files
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    @cached_property
    def scene(self) -> Scene:
        sandbox = RunningSandbox(self._folder / "sandbox", Scenario(), Scene.SPEED)
        return Scene(self._stack.enter_context(closing(sandbox)))

    @cached_property
    def preparations(self) -> Preparations:
        # Imports Prefect, which takes seconds.
        from benchmarks.faults.preparations import preparations

        return self._stack.enter_context(preparations(self._folder))

    def close(self) -> None:
        self._stack.close()


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that differ only in their number.

    :ivar options: the command-line options that select it, without a number; unique
    :ivar run: runs the point with a number
    :ivar situation: its name on the command line; empty if it has none
    :ivar kind: likewise
    :ivar last: its last number; None when it ends with the first run that ends before its fault
    :ivar numbered: whether it has more than one point
    """

    part: str
    options: str
    run: Callable[[Stage, int], Point]
    situation: str = ""
    kind: str = ""
    last: int | None = None
    numbered: bool = True

    def name(self, number: int) -> str:
        """The command-line options that repeat a point."""
        return f"{self.options} --at {number}" if self.numbered else self.options


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which series are run.

    :ivar part: only these; None for all, as for the others
    :ivar cases: number of whole runs
    :ivar pairs: number of pairs of each kind
    :ivar seed: of whole runs and pairs
    """

    part: str | None = None
    situation: str | None = None
    kind: str | None = None
    cases: int = 60
    pairs: int = 150
    seed: int = 1

    def series(self) -> Sequence[Series]:
        """The selected series, in the order of the parts."""
        everything = (
            *_at_requests("kills", kills, kills.kill),
            *_at_requests("faults", refusals, refusals.refuse),
            *_obstacles(),
            *_pairs(self),
            _flows(self),
        )
        return [
            series
            for series in everything
            if self.part in (None, series.part)
            and self.situation in (None, series.situation)
            and self.kind in (None, series.kind)
        ]


def _at_requests(part: str, module: ModuleType, run: Callable[[Scene, Situation, str, int], Point]) -> Iterator[Series]:
    """The series of a part whose points are the requests of a run."""
    for situation, kind in module.choices():
        yield Series(
            part=part,
            options=module.options(situation, kind),
            run=partial(_on_scene, run, situation, kind),
            situation=situation.name,
            kind=kind,
        )


def _obstacles() -> Iterator[Series]:
    for obstacle in obstacles.OBSTACLES:
        yield Series(
            part="obstacles",
            options=obstacle.selection,
            run=partial(_meet, obstacle),
            situation=obstacle.situation,
            kind=obstacle.kind,
            last=None if obstacle.at_requests else 1,
            numbered=obstacle.at_requests,
        )


def _pairs(selection: Selection) -> Iterator[Series]:
    for situation in pairs.PAIRS:
        yield Series(
            part="pairs",
            options=pairs.options(situation, selection.seed),
            run=partial(_pair, situation, selection.seed),
            situation=situation,
            last=selection.pairs,
        )


def _on_scene(
    run: Callable[[Scene, Situation, str, int], Point], situation: Situation, kind: str, stage: Stage, number: int
) -> Point:
    return run(stage.scene, situation, kind, number)


def _meet(obstacle: Obstacle, stage: Stage, number: int) -> Point:
    return obstacle.point(stage.scene, number)


def _pair(situation: str, seed: int, stage: Stage, number: int) -> Point:
    return pairs.strike_twice(stage.scene, situation, seed, number)


def _flows(selection: Selection) -> Series:
    return Series(
        part="flows",
        options=f"--part flows --seed {selection.seed}",
        run=lambda stage, number: stage.preparations.point(selection.seed, number),
        last=selection.cases,
    )
