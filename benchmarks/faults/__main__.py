"""Run the fault campaign, print the results, and fail if any invariant was broken.

python -m benchmarks.faults --budget 20m
python -m benchmarks.faults --part kills --situation 'a live lease' --at 17
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.faults.campaign import Campaign
from benchmarks.faults.journal import Journal, read
from benchmarks.faults.points import Point, Tally
from benchmarks.faults.pool import Pool, Stop
from benchmarks.faults.schedule import Budget, Schedule, Shard, parse_duration
from benchmarks.faults.series import PARTS, SECRETS, Selection, Series

_RESULTS = Path(__file__).parents[1] / "results"
#: For the search for secrets at the end: so many seconds, or this share of a short budget.
_RESERVE_SECONDS, _RESERVE_SHARE = 20.0, 0.05
STOPPED = 130


def main() -> int:
    stop, started = Stop(), time.monotonic()
    stop.listen()
    parser = _parser()
    options = parser.parse_args()
    selection = Selection(**{name: getattr(options, name) for name in Selection.__dataclass_fields__})
    series = selection.series()
    try:
        tally = Tally([point for path in options.resume + options.report for point in read(path)])
    except (OSError, ValueError) as error:
        parser.error(str(error))
    known = len(tally.points)
    try:
        abandoned = [] if options.report else _run(options, selection, series, tally, stop)
        for name in abandoned:
            print(f"abandoned, and not counted: {name}")
    finally:
        print(Tally(_in_order(tally.points, series)).table())
        minutes = (time.monotonic() - started) / 60
        earlier = f" ({known} of them from files)" if known else ""
        summary = f"{len(tally.points)} points{earlier}, {tally.hit} of them hit, in {minutes:.1f} minutes"
        print(f"\n{summary}: {len(tally.broken)} with broken invariants", flush=True)
    if stop.is_set:
        print("stopped before its end", file=sys.stderr)
        return STOPPED
    return 1 if tally.broken else 0


def _run(
    options: argparse.Namespace, selection: Selection, series: Sequence[Series], tally: Tally, stop: Stop
) -> list[str]:
    """Run the points that are not in the tally, and add them. Returns the names of those that did not end."""
    known = {point.name: point.ended_before for point in tally.points if point.name != SECRETS}
    order = None if options.budget is None else options.seed
    schedule = Schedule(series, at=options.at, shard=options.shard, known=known, seed=order)
    reserve = min(_RESERVE_SECONDS, (options.budget or 0) * _RESERVE_SHARE)
    path = options.output or (options.resume or [_RESULTS / f"faults-{datetime.now(UTC):%Y-%m-%d}.jsonl"])[0]
    with (
        closing(Journal(path)) as journal,
        tempfile.TemporaryDirectory(prefix="pratique-faults-", ignore_cleanup_errors=True) as folder,
        closing(Pool(options.jobs, selection, Path(folder), stop)) as pool,
    ):

        def report(point: Point, seconds: float) -> None:
            journal.add(point, seconds)
            tally.points.append(point)
            if point.broken or options.verbose:
                print(f"{point.name}: {point.outcome} {point.request}", *point.broken, sep="\n    ", flush=True)

        campaign = Campaign(schedule, pool, Budget(options.budget, reserve=reserve), report, lambda: stop.is_set)
        campaign.run()
    print(f"Points: {path}")
    return [job.name for job in campaign.abandoned]


def _in_order(points: list[Point], series: Sequence[Series]) -> list[Point]:
    """The points in the order of the series, whenever they were run."""
    index = {each.options: place for place, each in enumerate(series)}
    return sorted(points, key=lambda point: index.get(point.name.partition(" --at ")[0], len(index)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--part", choices=PARTS, help="run only this part")
    add("--situation", help="only this situation, by its name in the table")
    add("--kind", help="only this kind of fault or obstacle, or this moment of a kill (before, after)")
    add("--at", type=int, metavar="N", help="only the Nth request, or case")
    default = Selection()
    add("--cases", type=int, default=default.cases, help="number of whole runs (%(default)s)")
    add("--pairs", type=int, default=default.pairs, help="number of pairs of each kind (%(default)s)")
    add("--seed", type=int, default=default.seed, help="of whole runs, pairs, and a budget's order (%(default)s)")
    add("--budget", type=_value(parse_duration), help="end after this time: 90s, 20m, 2h")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="points that run at once (%(default)s, the cores)")
    add("--shard", type=_value(Shard.parse), metavar="K/N", help="the Kth of N disjoint shares")
    add("--output", type=Path, help="file to which the points are appended; default: benchmarks/results/faults-…")
    add(
        "--resume",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="skip the points in these, append to the first",
    )
    add(
        "--report", type=Path, nargs="+", default=[], metavar="FILE", help="only print the table of the points in these"
    )
    add("--verbose", action="store_true", help="print every point")
    return parser


def _value(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of an argument whose refusal says why: argparse hides the text of a ValueError."""

    def read_value(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_value


if __name__ == "__main__":
    sys.exit(main())
