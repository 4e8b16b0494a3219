"""Run the fault campaign, print the results, and fail if any invariant was broken.

python -m benchmarks.faults --part kills --situation 'a live lease' --at 17
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

from benchmarks.faults import kills, obstacles, preparations, refusals
from benchmarks.faults.points import Point, Tally
from benchmarks.faults.scene import Scene, Situation
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox

PARTS = ("kills", "faults", "obstacles", "flows")


def main() -> int:
    options = _options()
    tally, started = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pratique-faults-") as folder:
        for point in _points(options, Path(folder)):
            tally.points.append(point)
            if point.broken or options.verbose:
                print(f"{point.name}: {point.outcome} {point.request}", *point.broken, sep="\n    ", flush=True)
    print(tally.table())
    minutes = (time.monotonic() - started) / 60
    summary = f"{len(tally.points)} points, {tally.hit} of them hit, in {minutes:.1f} minutes"
    print(f"\n{summary}: {len(tally.broken)} with broken invariants")
    return 1 if tally.broken else 0


def _points(options: argparse.Namespace, folder: Path) -> Iterator[Point]:
    if options.part != "flows":
        with closing(RunningSandbox(folder / "sandbox", Scenario(), Scene.SPEED)) as sandbox:
            scene = Scene(sandbox)
            if options.part in (None, "kills"):
                yield from _requests(scene, options, kills, kills.kill)
            if options.part in (None, "faults"):
                yield from _requests(scene, options, refusals, refusals.refuse)
            if options.part in (None, "obstacles"):
                yield from obstacles.meet(scene, options.situation, options.kind, options.at)
    if options.part in (None, "flows"):
        with preparations.preparations(folder) as runs:
            numbers = [options.at] if options.at else range(1, options.cases + 1)
            for number in numbers:
                yield runs.point(options.seed, number)
            yield runs.check_secrets()


def _requests(
    scene: Scene, options: argparse.Namespace, part: ModuleType, point: Callable[[Scene, Situation, str, int], Point]
) -> Iterator[Point]:
    for situation, kind in part.choices():
        if options.situation in (None, situation.name) and options.kind in (None, kind):
            numbers = [options.at] if options.at else range(1, 1000)
            for number in numbers:
                done = point(scene, situation, kind, number)
                yield done
                if not done.request:
                    break


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, help="run only this part")
    parser.add_argument("--situation", help="only this situation, by its name in the table")
    parser.add_argument("--kind", help="only this kind of fault or obstacle, or this moment of a kill (before, after)")
    parser.add_argument("--at", type=int, metavar="N", help="only the Nth request, or case")
    parser.add_argument("--cases", type=int, default=60, help="number of prepare_cluster runs (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random cases (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print every point")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
