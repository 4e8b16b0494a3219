"""Compares ways to prepare a cluster, side by side on the same local Azure.

    make bench ARGS="--images 7 100 --speed 20"

Contenders: ``pratique prepare``; the deployment's run, on a server and by a worker; the walkthrough's ``az`` commands,
one import after another and eight at once; a bare asyncio script on the same SDKs. The critical path of Azure's own
times is computed. Writes every run to ``benchmarks/results/`` as soon as it ends, so that nothing is lost when the
benchmark is stopped, and exits with 1 when a goal is missed or a run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.comparison.contenders import CONTENDERS, Finished
from benchmarks.comparison.goals import goals
from benchmarks.comparison.process_tree import Usage
from benchmarks.comparison.report import goals_table, prefect_table, requests_table, runs_table
from benchmarks.comparison.results import Result, medians, result
from benchmarks.comparison.scene import scene
from benchmarks.machine import machine
from tests.flows.world import PROJECT

RESULTS = PROJECT / "benchmarks" / "results"
#: Runs that take less are repeated.
_REPEATED_SECONDS = 180.0
_REPEATS = 3
#: The walkthrough's commands wait for each import: a thousand would take a day of Azure's time.
_MOST_IMAGES = {"az": 100, "az, 8 at once": 100}
_NOTHING = Usage(flow=0, server=0, children=0, peak_mib=0)


def compare(options: argparse.Namespace) -> Iterator[Result]:
    """Run every contender with every number of images."""
    for images in options.images:
        for name in options.contenders:
            if images > _MOST_IMAGES.get(name, images):
                continue
            for _ in range(options.repeats):
                one = measure(name, images, options.speed)
                print(runs_table([one]).partition("\n")[2], flush=True)
                yield one
                if one.error or one.seconds > _REPEATED_SECONDS:
                    break


def measure(name: str, images: int, speed: int) -> Result:
    """One run. A contender that fails, or cannot start, gives a result that says so."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="pratique-bench-", ignore_cleanup_errors=True) as folder:
        try:
            with scene(Path(folder), images, speed) as where:
                finished = CONTENDERS[name](where)
                seen = where.requests()
                error = finished.error or where.unfinished()
        except Exception as failure:  # any: the other runs still count
            finished, seen = Finished(seconds=0, usage=_NOTHING), []
            error = f"{type(failure).__name__}: {failure}"
    return result(name, images, speed, finished, seen, load, cores, error)


def keep(path: Path, results: Sequence[Result]) -> None:
    """Write all runs so far."""
    document = {"machine": machine(), "runs": [one.document() for one in results]}
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def read(path: Path) -> list[Result]:
    """The runs that a file has; none without the file."""
    return [Result.read(one) for one in json.loads(path.read_text())["runs"]] if path.exists() else []


def main() -> int:
    options = _options()
    path = options.output or RESULTS / f"comparison-{datetime.now(UTC):%Y-%m-%dT%H%M}.json"
    results = read(path)
    print(runs_table(results), flush=True)
    try:
        for one in compare(options):
            results.append(one)
            keep(path, results)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    middle = medians(results)
    held = goals(middle)
    tables = (runs_table(middle), prefect_table(middle), requests_table(middle), goals_table(held))
    print("\n" + "\n\n".join(("Medians", *tables)) + f"\n\nAll runs: {path}")
    return 1 if any(goal.missed for goal in held) or any(one.error for one in results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[7, 100, 1000], help="sizes of the release")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--speed", type=int, default=10, help="divides Azure's durations (%(default)s)")
    parser.add_argument("--repeats", type=int, default=_REPEATS, help="runs of less than three minutes are repeated")
    parser.add_argument(
        "--output", type=Path, help="JSON file to add the runs to; default: a new one in benchmarks/results"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
